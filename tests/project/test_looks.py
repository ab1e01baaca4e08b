"""What files allow: the channel of those of the embedded sample, whose processes are known."""

from dataclasses import replace

import pytest

from ptmiss import sample
from ptmiss.errors import ColumnError
from ptmiss.events import EventFile, inspect
from ptmiss.project import looks


@pytest.mark.parametrize(
    ("name", "selection", "against"),
    [
        ("zmumu", "default", "boson"),
        ("zee", "z-ee", "boson"),
        ("gammajet", "gamma-jet", "boson"),
        ("wmunu", "w-mu", "genboson"),
        ("ttbar", None, "genmet"),
    ],
)
def test_the_channel_of_a_file(name, selection, against):
    found = looks.look(inspect(str(sample.events(name))))
    assert found.against == against
    assert selection in (None, found.selection)
    assert 0 < found.found <= found.looked


def test_a_file_without_columns_of_leptons_allows_nothing():
    file = inspect(str(sample.events("zmumu")))
    bare = replace(file, branches=frozenset(name for name in file.branches if not name.startswith(("Muon", "PV"))))
    assert looks.look(bare) == looks.Look("default", None, 0, 60)


def test_estimators_that_a_file_has_what_it_takes_for():
    kept = EventFile("v15.root", "Events", "root", 1, b"", frozenset({"PFCand_pt", "PFCand_phi", "PuppiMET_pt"}))
    with pytest.raises(ColumnError, match=r"v15\.root has neither PF candidates nor a stored MET"):
        looks.estimators(kept)
    stored = {"PFCand_pt", "PFCand_phi", "PuppiMET_pt", "PuppiMET_phi"}
    assert looks.estimators(EventFile("", "", "root", 1, b"", frozenset(stored))) == ["stored.PuppiMET"]
