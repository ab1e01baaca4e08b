"""Signed hashes of models, with keys that OpenSSH makes and nothing but its own program in between."""

import os
import shutil
import subprocess

import pytest

from ptmiss.errors import FileError, OptionError, WeightsError
from ptmiss.models.cards import ship
from ptmiss.networks import signatures
from ptmiss.networks.signatures import SIGNATURE, SUMS

from ..helpers import call, failure, random_model

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
MADE = {"command": "ptmiss train deepmet z.root", "events": {"z.root": 12}, "seed": 4}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Private keys of two people, and a file of allowed signers with each alone."""
    place = tmp_path_factory.mktemp("keys")
    for name in ("ana", "ben"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        kind, public = (place / f"{name}.pub").read_text().split()[:2]
        (place / f"{name}.txt").write_text(f"{name}@example.org {kind} {public}\n")
    return place


@pytest.fixture
def folder(tmp_path, keys):
    """Two models that ana has signed."""
    for version in ("1.0.0", "1.1.0"):
        ship(random_model(), tmp_path / "models" / "mine" / version, MADE, {})
    signatures.sign(tmp_path / "models", keys / "ana")
    return tmp_path / "models"


def test_what_is_signed_is_verified(folder, keys):
    said = call("models", "check", folder / "mine" / "1.1.0", "--signers", keys / "ana.txt")
    assert "signed by ana@example.org" in " ".join(said.split())
    assert "signed: --signers checks by whom" in " ".join(call("models", "check", folder / "mine" / "1.0.0").split())
    sums = shutil.which("sha256sum")
    if sums:
        subprocess.run([sums, "--check", "--strict", "--quiet", SUMS], cwd=folder, check=True)


def test_openssh_verifies_it_alone(folder, keys):
    command = ["ssh-keygen", "-Y", "verify", "-f", str(keys / "ana.txt"), "-I", "ana@example.org", "-n", "ptmiss"]
    with (folder / SUMS).open() as message:
        subprocess.run([*command, "-s", str(folder / SIGNATURE)], stdin=message, check=True, capture_output=True)


def test_hashes_that_another_signed_or_changed_are_one_line(folder, keys):
    weights = folder / "mine" / "1.0.0" / "model.safetensors"
    with pytest.raises(WeightsError, match="find-principals: No principal matched"):
        signatures.verify(weights, keys / "ben.txt")
    with (folder / SUMS).open("a") as file:
        file.write(f"{'0' * 64}  other/model.safetensors\n")
    with pytest.raises(WeightsError, match="verify: Signature verification failed"):
        signatures.verify(weights, keys / "ana.txt")


def test_weights_that_were_changed_after_signing_are_one_line(folder, keys):
    ship(random_model(padding=4500), folder / "mine" / "1.0.0", MADE, {})
    assert "has another hash" in failure("models", "check", folder / "mine" / "1.0.0", "--signers", keys / "ana.txt")
    ship(random_model(), folder / "mine" / "2.0.0", MADE, {})
    assert "has no hash of mine/2.0.0/model.safetensors" in failure("models", "check", folder / "mine" / "2.0.0")


def test_without_a_signature_or_hashes_a_signer_is_an_error(folder, keys, tmp_path):
    (folder / SIGNATURE).unlink()
    weights = folder / "mine" / "1.0.0" / "model.safetensors"
    assert signatures.verify(weights).endswith("not signed")
    with pytest.raises(WeightsError, match=f"is not signed: expected {SIGNATURE} beside it"):
        signatures.verify(weights, keys / "ana.txt")
    (folder / SUMS).unlink()
    assert signatures.verify(weights) == f"no {SUMS}"
    with pytest.raises(WeightsError, match="so nobody signed it"):
        signatures.verify(weights, keys / "ana.txt")
    with pytest.raises(FileError, match=r"no model\.safetensors in"):
        signatures.sign(tmp_path / "models" / "mine" / "none", keys / "ana")


def test_a_key_that_is_not_there_and_no_openssh_are_one_line(folder, keys, monkeypatch):
    with pytest.raises(WeightsError, match=r"ssh-keygen -Y sign: .*No such file"):
        signatures.sign(folder, keys / "nobody")
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(OptionError, match=r"signatures need ssh-keygen of OpenSSH 8\.0 or newer"):
        signatures.sign(folder, keys / "ana")


def test_the_hashes_of_the_package_are_not_signed():
    assert "not signed" in " ".join(call("models", "check", "deepmet").split())
