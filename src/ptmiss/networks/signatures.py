"""Hashes of models in one file, ``SHA256SUMS`` as of ``sha256sum``, and a signature of that file beside it.

The signature, ``SHA256SUMS.sig``, is OpenSSH's (``ssh-keygen -Y sign -n ptmiss``): made with a key that its owner has
already, and verified offline against a file of allowed signers, ``NAME ssh-ed25519 AAAA…`` in each line.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from ptmiss.errors import FileError, OptionError, WeightsError
from ptmiss.files import AnyPath, as_path, digest, write_atomically

from .store import WEIGHTS

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
NAMESPACE = "ptmiss"
DEPTH = 3  # folders above the weights in which the hashes may be
TIMEOUT = 60  # s, in which a user may enter a passphrase


def sign(folder: AnyPath, key: AnyPath) -> Path:
    """Write the hashes of all models in a folder and sign them.

    key: a private key of OpenSSH, or a public one whose private key an agent has. Returns the signature's path.
    """
    folder = as_path(folder)
    models = sorted(folder.rglob(WEIGHTS))
    if not models:
        raise FileError(f"no {WEIGHTS} in {folder} or in a folder of it")
    lines = [f"{digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in models]
    write_atomically(folder / SUMS, "".join(lines))
    (folder / SIGNATURE).unlink(missing_ok=True)  # ssh-keygen would ask
    ask_ssh(["sign", "-f", str(as_path(key)), "-n", NAMESPACE, str(folder / SUMS)])
    return folder / SIGNATURE


def verify(weights: Path, signers: AnyPath | None = None) -> str:
    """What the hashes nearest to a weights file say of it, in words.

    signers: a file of allowed signers, by one of whom the hashes have to be signed. WeightsError if the file has
    another hash or is not in the list, or the signature is not good; without signers no list is no error.
    """
    sums = nearest(weights)
    if sums is None:
        if signers is not None:
            raise WeightsError(f"{weights}: no {SUMS} beside it or above, so nobody signed it")
        return f"no {SUMS}"
    check_hash(weights, sums)
    signature = sums.with_name(SIGNATURE)
    if signers is None:
        return f"hash as in {sums}, {'signed: --signers checks by whom' if signature.is_file() else 'not signed'}"
    if not signature.is_file():
        raise WeightsError(f"{sums} is not signed: expected {SIGNATURE} beside it")
    return f"hash as in {sums}, signed by {signer(sums, as_path(signers))}"


def nearest(weights: Path) -> Path | None:
    """The list of hashes in the folder of a weights file, or in the nearest above."""
    folders = weights.absolute().parents[:DEPTH]
    return next((folder / SUMS for folder in folders if (folder / SUMS).is_file()), None)


def check_hash(weights: Path, sums: Path) -> None:
    """Raise WeightsError unless a file has the hash that a list has for it."""
    stated = {name: value for value, _, name in (line.partition("  ") for line in sums.read_text().splitlines())}
    name = weights.absolute().relative_to(sums.parent).as_posix()
    if name not in stated:
        raise WeightsError(f"{sums} has no hash of {name}")
    if (found := digest(weights)) != stated[name]:
        raise WeightsError(f"{weights} has another hash, {found[:12]}…, than {sums}, {stated[name][:12]}…")


def signer(sums: Path, signers: Path) -> str:
    """The name of the allowed signer who signed a list; WeightsError if that was none of them."""
    if not signers.is_file():
        raise FileError(f"no such file of allowed signers: {signers}")
    given = ["-s", str(sums.with_name(SIGNATURE)), "-f", str(signers)]
    name = ask_ssh(["find-principals", *given]).split("\n")[0]
    ask_ssh(["verify", "-I", name, "-n", NAMESPACE, *given], sums.read_bytes())
    return name


def ask_ssh(arguments: list[str], message: bytes = b"") -> str:
    """What ``ssh-keygen -Y`` says; WeightsError if it refuses, OptionError if it cannot be run."""
    command = ["ssh-keygen", "-Y", *arguments]
    try:
        said = subprocess.run(command, input=message, capture_output=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise OptionError(f"signatures need ssh-keygen of OpenSSH 8.0 or newer: {error}") from error
    if said.returncode:
        reason = (said.stderr or said.stdout).decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise WeightsError(f"ssh-keygen -Y {arguments[0]}: {reason[-1].strip()}")
    return said.stdout.decode()
