import pytest

from ptmiss import normalisation
from ptmiss.errors import LedgerError, OptionError
from ptmiss.normalisation import Skipped
from ptmiss.runs import ledger

LOST = Skipped("mc", "b.root", 0, 50, 50, "file", "corrupt")
UNKNOWN = Skipped("mc", "c.root", None, None, None, "file", "truncated")


def dataset(*skipped, duplicates=None, **metadata):
    record = {"listed": 200, "events": 150, "sumw": 300.0, "duplicates": duplicates or {}}
    return {"metadata": metadata, "ledger": {**record, "skipped": [vars(entry) for entry in skipped]}}


def test_the_normalisation_is_of_what_was_read():
    assert normalisation.factor("mc", dataset(cross_section=6.0), 10.0) == 1e3 * 6.0 * 10.0 / 300.0


def test_the_normalisation_refuses_what_is_not_complete():
    with pytest.raises(LedgerError, match=r"'mc' is not complete: skipped b\.root, entries 0 to 50 of .* and 1 more; "):
        normalisation.factor("mc", dataset(LOST, UNKNOWN, cross_section=6.0), 10.0)
    assert normalisation.factor("mc", dataset(LOST, cross_section=6.0), 10.0, rescale=True) == 200.0


def test_a_file_without_events_is_not_missing():
    assert normalisation.factor("mc", dataset(ledger.empty("mc", "e.root"), cross_section=6.0), 10.0) == 200.0


def test_weights_that_add_up_to_nothing():
    described = dataset(cross_section=6.0)
    described["ledger"]["sumw"] = 0.0
    with pytest.raises(LedgerError, match="add up to 0, which scales to nothing"):
        normalisation.factor("mc", described, 10.0)
    with pytest.raises(OptionError, match="needs a cross_section"):
        normalisation.factor("mc", dataset(), 10.0)


def test_the_luminosity_of_data_shrinks_with_what_is_missing():
    assert normalisation.luminosity("data", dataset(luminosity=8.0), rescale=False) == 8.0
    with pytest.raises(LedgerError, match="is not complete"):
        normalisation.luminosity("data", dataset(LOST, luminosity=8.0))
    assert normalisation.luminosity("data", dataset(LOST, luminosity=8.0), rescale=True) == 6.0
    with pytest.raises(LedgerError, match="its luminosity is unknown"):
        normalisation.luminosity("data", dataset(LOST, UNKNOWN, luminosity=8.0), rescale=True)
    with pytest.raises(OptionError, match="needs a luminosity"):
        normalisation.luminosity("data", dataset())


def test_data_that_are_there_twice_have_no_luminosity():
    twice = dataset(duplicates={"events": 3, "files": ["a.root", "b.root"]}, luminosity=8.0, kind="data")
    with pytest.raises(LedgerError, match=r"3 events \(run, lumi, event\) are there more than once, in a.root, b.root"):
        normalisation.luminosity("data", twice)
    assert normalisation.luminosity("data", twice, rescale=True) == 8.0
