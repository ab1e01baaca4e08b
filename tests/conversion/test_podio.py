"""Layouts of podio, and files that cannot be converted: each says in one line what is wrong."""

import re

import numpy as np
import pytest

from ptmiss.conversion import edm4hep
from ptmiss.errors import ColumnError, FileError, PtmissError

from .podio_files import LATE, collections, write_rntuple, write_tree

WRITERS = {"tree": write_tree, "rntuple": write_rntuple}


@pytest.mark.parametrize(("write", "old"), [(write_tree, False), (write_tree, True), (write_rntuple, False)])
def test_each_layout_has_the_same_events(write, old, tmp_path):
    found = next(edm4hep.read(str(write(tmp_path / "e.root", collections(old))), "cld"))
    np.testing.assert_array_equal(found.elements["type"], [1, 4, 5] * 2)
    np.testing.assert_allclose(found.elements["pt"], [5, 9 / np.cosh(np.arcsinh(0.5)), 2.5] * 2, rtol=1e-6)
    np.testing.assert_array_equal(found.targets["type"], [1, 3, 0] * 2)  # the secondary counts as its photon
    np.testing.assert_array_equal(found.targets["nParticles"], [1, 1, 0] * 2)
    np.testing.assert_allclose(found.targets["energy"], [np.hypot(5, 0.13957), np.hypot(10, 5), 0] * 2, rtol=1e-6)
    np.testing.assert_allclose(found.neutrinos, [[1, 2]] * 2)
    np.testing.assert_array_equal(found.candidates["pdgId"], [211, 22] * 2)
    np.testing.assert_allclose(found.balance, 0, atol=1e-5)


def test_some_events_at_a_time_are_the_same(tmp_path):
    path = str(write_tree(tmp_path / "e.root", collections(), events=5))
    whole, parts = next(edm4hep.read(path, "cld")), list(edm4hep.read(path, "cld", chunk=2))
    assert [len(part) for part in parts] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([part.targets["pt"] for part in parts]), whole.targets["pt"])
    assert sum(map(len, edm4hep.read(path, "cld", limit=3))) == 3


def spoil(change):
    found = collections()
    change(found)
    return found


FAULTS = {
    "no PandoraPFOs; there: ": lambda c: c.pop("PandoraPFOs"),
    "has no MCParticles or MCParticle; there: ": lambda c: c.pop("MCParticles"),
    "has no ClusterMCTruthLink or CalohitMCTruthLink; there: ": lambda c: c.pop("ClusterMCTruthLink"),
    "has 2 tracks and no SiTracksMCTruthLink; links there: ClusterMCTruthLink": lambda c: c.pop("SiTracksMCTruthLink"),
    "ClusterMCTruthLink has no branches of its ends": lambda c: c.pop(LATE["to"][0].format("ClusterMCTruthLink")),
    "SiTracksMCTruthLink points to object 9 in event 0, which has 1": lambda c: c[
        LATE["from"][0].format("SiTracksMCTruthLink")
    ].update(index=[9]),
    "PDG code 0 of a generated particle in event 0": lambda c: c["MCParticles"].update(PDG=[0, 22, 11, 12]),
    "has no state at the vertex": lambda c: c[LATE["states"][0]].update(location=[3]),
    "PandoraClusters has no energy": lambda c: c["PandoraClusters"].pop("energy"),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(("message", "change"), FAULTS.items(), ids=FAULTS)
def test_what_is_missing_or_wrong_is_named(message, change, write, tmp_path):
    path = write(tmp_path / "e.root", spoil(change))
    with pytest.raises(PtmissError, match=re.escape(message)) as raised:
        next(edm4hep.read(str(path), "cld"))
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_later_podio(write, tmp_path):
    path = write(tmp_path / "e.root", collections(), version=(2, 1, 0))
    with pytest.raises(FileError, match=r"was written by podio 2\.1\.0; layouts up to 1\.x are read"):
        next(edm4hep.read(str(path), "cld"))


def test_a_file_that_is_cut_or_empty(tmp_path):
    content = write_tree(tmp_path / "e.root", collections()).read_bytes()
    for size in (0, 10, 200, len(content) // 2):
        (tmp_path / "cut.root").write_bytes(content[:size])
        with pytest.raises((FileError, ColumnError)) as raised:
            list(edm4hep.read(str(tmp_path / "cut.root"), "cld"))
        assert "\n" not in str(raised.value)
