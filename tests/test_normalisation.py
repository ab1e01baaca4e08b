from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss import normalisation
from ptmiss.errors import LedgerError, OptionError
from ptmiss.events import EventFile, Generated
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
    with pytest.raises(LedgerError, match=r"add up to 0 \(by its events\), which scales to nothing"):
        normalisation.factor("mc", described, 10.0)
    with pytest.raises(OptionError, match="has no cross_section"):
        normalisation.factor("mc", dataset(), 10.0)


def test_the_luminosity_of_data_shrinks_with_what_is_missing():
    assert normalisation.luminosity("data", dataset(luminosity=8.0), rescale=False) == 8.0
    with pytest.raises(LedgerError, match="is not complete"):
        normalisation.luminosity("data", dataset(LOST, luminosity=8.0))
    assert normalisation.luminosity("data", dataset(LOST, luminosity=8.0), rescale=True) == 6.0
    with pytest.raises(LedgerError, match="its luminosity is unknown"):
        normalisation.luminosity("data", dataset(LOST, UNKNOWN, luminosity=8.0), rescale=True)
    with pytest.raises(OptionError, match="has no luminosity"):
        normalisation.luminosity("data", dataset())


def test_data_that_are_there_twice_have_no_luminosity():
    twice = dataset(duplicates={"events": 3, "files": ["a.root", "b.root"]}, luminosity=8.0, kind="data")
    with pytest.raises(LedgerError, match=r"3 events \(run, lumi, event\) are there more than once, in a.root, b.root"):
        normalisation.luminosity("data", twice)
    assert normalisation.luminosity("data", twice, rescale=True) == 8.0


def generated(events, sumw, elsewhere=0.0, files=1, of=1):
    return {"files": files, "of": of, "events": events, "sumw": sumw, "elsewhere": elsewhere}


def simulated(read, sumw, listed=None, said=None, skipped=(), **metadata):
    found = {"listed": listed or read, "events": read, "sumw": sumw, "duplicates": {}, "generated": said}
    return {"metadata": metadata, "ledger": {**found, "skipped": [vars(entry) for entry in skipped]}}


def test_a_skim_is_normalised_by_what_was_generated():
    """The real Drell-Yan file: 40 of 850 098 events, whose own weights would be wrong by a factor of 26 206."""
    skim = simulated(40, 578762.4375, said=generated(850098, 15166686735.858717), cross_section=6077.2)
    assert normalisation.total(skim) == (15166686735.858717, "Runs")
    assert normalisation.factor("dy", skim, 59.7) == pytest.approx(
        1e3 * 6077.2 * 59.7 / 1.5166686735858717e10, rel=1e-12
    )
    assert normalisation.warning(skim) is None


def test_what_was_skipped_is_taken_from_what_was_generated():
    half = simulated(50, 50.0, listed=100, said=generated(1000, 1000.0), skipped=[LOST], cross_section=1.0)
    with pytest.raises(LedgerError, match="is not complete"):
        normalisation.factor("mc", half, 1.0)
    assert normalisation.total(half).sumw == 500.0


def test_the_fileset_may_say_what_was_generated():
    stated = simulated(40, 40.0, said=generated(100, 100.0), cross_section=1.0)
    stated["metadata"]["sumw"] = 2000.0
    assert normalisation.total(stated) == (2000.0, "metadata")
    stated["ledger"]["skipped"] = [vars(UNKNOWN)]
    with pytest.raises(LedgerError, match="its sum of weights is unknown"):
        normalisation.total(stated)


@pytest.mark.parametrize(
    ("read", "sumw", "said", "used", "words"),
    [
        (100, 100.0, generated(100, 100.0001), "Runs", None),
        (
            100,
            50.0,
            generated(100, 100.0),
            "events",
            "add up to 50, `Runs` of the files say 100 events and 100; that of the",
        ),
        (100, 100.0, generated(60, 60.0), "events", "`Runs` of the files say 60 events and 60"),
        (100, 100.0, generated(None, 900.0), "Runs", None),
        (100, 100.0, generated(0, 0.0), "events", "say 0 events and 0"),
        (100, 100.0, generated(400, 500.0, 30.0, files=2, of=3), "Runs", "1 of 3 files have no sums in `Runs`"),
    ],
)
def test_what_was_generated_is_checked_against_what_was_read(read, sumw, said, used, words):
    described = simulated(read, sumw, said=said)
    found = normalisation.total(described)
    assert found == (sumw if used == "events" else said["sumw"] + said["elsewhere"], used)
    told = normalisation.warning(described)
    assert told is None if words is None else words in told and "\n" not in told


WEIGHTS = st.lists(st.floats(-100, 1000, width=32).filter(lambda w: abs(w) > 1e-2), min_size=1, max_size=30)


@given(WEIGHTS, st.floats(1e-3, 1e6), st.booleans())
def test_a_constant_in_all_weights_changes_nothing(weights, constant, with_runs):
    def yields(scale):
        values = scale * np.array(weights)
        said = generated(3 * len(values), 3 * values.sum()) if with_runs else None
        one = simulated(len(values), values.sum(), said=said, cross_section=2.0)
        return normalisation.factor("mc", one, 5.0) * values

    if np.sum(weights) <= 1e-3 * np.abs(weights).sum():
        return
    np.testing.assert_allclose(yields(constant), yields(1.0), rtol=1e-9)


@given(WEIGHTS, st.lists(st.integers(0, 30), max_size=6))
def test_splitting_files_changes_nothing(weights, cuts):
    """Empty files and files of one event among them."""
    edges = [0, *sorted(min(cut, len(weights)) for cut in cuts), len(weights)]
    parts = [np.array(weights[a:b]) for a, b in pairwise(edges)]
    for said in (lambda part: Generated(2 * len(part), 2 * part.sum()), lambda part: None):
        files = [EventFile(f"{i}", "Events", "root", len(p), b"", frozenset(), 0, said(p)) for i, p in enumerate(parts)]
        read = {file.path: float(part.sum()) for file, part in zip(files, parts, strict=True)}
        split = simulated(len(weights), sum(weights), said=ledger.generated(files, read))
        whole = np.array(weights)
        one = EventFile("one", "Events", "root", len(whole), b"", frozenset(), 0, said(whole))
        alone = simulated(len(weights), sum(weights), said=ledger.generated([one], {"one": whole.sum()}))
        found, expected = normalisation.total(split), normalisation.total(alone)
        assert found.of == expected.of
        assert found.sumw == pytest.approx(expected.sumw, rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(-10, 0) | st.just(float("nan")), max_size=5), st.booleans())
def test_sums_that_are_zero_negative_or_no_number_are_one_line(weights, with_runs):
    said = generated(2 * len(weights), 2 * sum(weights)) if with_runs else None
    with pytest.raises(LedgerError, match="which scales to nothing") as error:
        normalisation.factor("mc", simulated(len(weights), sum(weights), said=said, cross_section=1.0), 1.0)
    assert "\n" not in str(error.value)


def test_data_without_events_keep_their_luminosity():
    assert normalisation.luminosity("data", simulated(0, 0.0, luminosity=3.0, kind="data")) == 3.0


def test_data_that_share_events_have_no_luminosity_together():
    """The same 10 fb^-1 as two datasets are not 20."""
    twice = {"events": 7, "files": ["a.root"], "datasets": ["DoubleMuon"]}
    one = dataset(luminosity=10.0, kind="data", duplicates=twice)
    other = dataset(luminosity=10.0, kind="data", duplicates={**twice, "datasets": ["SingleMuon"]})
    both = {"SingleMuon": one, "DoubleMuon": other}
    with pytest.raises(
        LedgerError, match=r"'SingleMuon' and 'DoubleMuon' share events, of which 7 .* would count twice"
    ):
        normalisation.luminosities(both, rescale=True)
    apart = {name: dataset(luminosity=10.0, kind="data") for name in both}
    assert normalisation.luminosities(apart) == 20.0


def test_weights_that_were_scaled_already():
    once = simulated(10, 10.0, cross_section=2.0)
    scale = normalisation.factor("dy", once, 5.0)
    assert normalisation.factor("dy", {**once, "scale": scale}, 5.0) == pytest.approx(1.0)
    other = {
        **simulated(10, 40.0, cross_section=7.0),
        "scale": normalisation.factor("top", simulated(10, 40.0, cross_section=7.0), 5.0),
    }
    assert normalisation.common_factor({"dy": {**once, "scale": scale}, "top": other}, 15.0) == pytest.approx(3.0)
    with pytest.raises(LedgerError, match="are of different luminosities"):
        normalisation.common_factor({"dy": once, "top": other}, 15.0)


def test_a_kind_that_nothing_says():
    with pytest.raises(OptionError, match=r"dataset 'x' needs a kind in its metadata, .*: 'data' or 'mc'"):
        normalisation.kind_of("x", simulated(1, 1.0))


def test_a_dataset_without_a_ledger_is_one_line():
    described = dataset(cross_section=1.0)
    del described["ledger"]["sumw"]
    with pytest.raises(LedgerError, match="ledger of a dataset has no sumw"):
        normalisation.factor("dy", described, 1.0)
