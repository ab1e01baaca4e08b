import awkward as ak
import numpy as np
import pytest

from ptmiss import elements as pf_elements
from ptmiss import sample
from ptmiss.elements import COLUMNS, TARGET_COLUMNS, Elements, Targets
from ptmiss.errors import ColumnError
from ptmiss.events import inspect
from ptmiss.segments import from_counts, sum_by_event


@pytest.fixture(scope="module")
def source():
    return inspect(str(sample.events("zmumu")))


@pytest.fixture(scope="module")
def events(source):
    return source.events(0, 20)


def empty(counts):
    """Tracks that are all zero, so many an event."""
    n = int(np.sum(counts))
    columns = {name: np.zeros(n, dtype) for name, dtype in COLUMNS.items()}
    return Elements({**columns, "type": np.ones(n, np.int32)}, from_counts(np.array(counts)))


def changed(events, **columns):
    """Plain records with some columns of the elements replaced; None removes one."""
    record = {name: columns.get(name, events.PFElement[name]) for name in COLUMNS}
    return ak.Array({"PFElement": ak.zip({name: value for name, value in record.items() if value is not None})})


def test_columns_are_those_of_the_file(events):
    elements = Elements.of_events(events)
    assert len(elements) == 20
    assert list(elements.columns) == list(COLUMNS)
    for name, dtype in COLUMNS.items():
        assert elements[name].dtype == dtype
        np.testing.assert_array_equal(elements[name], ak.flatten(events.PFElement[name]))
    np.testing.assert_array_equal(np.diff(elements.offsets), ak.num(events.PFElement.pt))
    assert np.diff(elements.offsets)[-5:].tolist() == [0] * 5


def test_targets_balance_the_candidates(events):
    """The energy of all targets is about that of all candidates: what no element stands for is little."""
    targets = Targets.of_events(events)
    assert list(targets.columns) == list(TARGET_COLUMNS)
    found = sum_by_event(targets["pt"], targets.offsets)[:15]
    seen = ak.to_numpy(ak.sum(events.PFCands.pt, axis=1))[:15]
    np.testing.assert_allclose(found, seen, rtol=0.2)
    np.testing.assert_allclose(targets["emEnergy"] + targets["hadEnergy"], targets["energy"], rtol=2e-3, atol=1e-3)


def test_parts_are_whole_events():
    elements = empty([0, 20_000, 3, 0, 5])
    parts = elements.parts(size=10)
    assert [(part.start, part.stop) for part in parts] == [(0, 1), (1, 2), (2, 5)]
    assert [elements.events(part).offsets.tolist() for part in parts] == [[0, 0], [0, 20_000], [0, 3, 3, 8]]
    assert empty([]).parts(10) == [slice(0, 0)]


def test_a_file_without_elements(tmp_path):
    there = {"PFCands_pt", "nPFCands"}
    with pytest.raises(ColumnError, match=r"nano\.root has no .*NanoAOD has candidates, not elements; ptmiss simulate"):
        pf_elements.require(there, "nano.root")
    with pytest.raises(ColumnError, match="has no particle-flow elements"):
        Elements.of_events(ak.Array({"PFCands": [[{"pt": 1.0}]]}))


def test_missing_columns_are_named(source, events):
    with pytest.raises(
        ColumnError, match=r"a\.root lacks PFElement_caloEta, PFElement_width; there: PFElement_caloPhi"
    ):
        pf_elements.require(source.branches - {"PFElement_caloEta", "PFElement_width"}, "a.root")
    with pytest.raises(ColumnError, match=r"lacks PFElementTarget_type, .*PFElementTarget_nParticles; there"):
        Targets.of_events(changed(events))
    with pytest.raises(ColumnError, match=r"this array of events lacks PFElement_dz; there"):
        Elements.of_events(changed(events, dz=None))
    pf_elements.require(source.branches, "a.root", targets=True)


def test_unknown_types(events):
    types = ak.where(events.PFElement.pt > 30, 12, events.PFElement["type"])
    n = int(ak.sum(events.PFElement.pt > 30))
    first = int(np.argmax(ak.to_numpy(ak.any(events.PFElement.pt > 30, axis=1))))
    message = rf"unknown PFElement_type 12 in {n} of \d+ elements, first in event {first}; known: 1 track, 4 ECAL"
    with pytest.raises(ColumnError, match=message):
        Elements.of_events(changed(events, type=types))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number(events, value):
    local = ak.local_index(events.PFElement.pt)
    event = np.arange(20)
    energy = ak.where((event >= 3) & (local == 7), np.float32(value), events.PFElement.energy)
    with pytest.raises(
        ColumnError, match=r"PFElement_energy is not a finite number in 12 of \d+ elements, first in event 3"
    ):
        Elements.of_events(changed(events, energy=energy))


def with_material(parent):
    """A track with its GSF track, a brem point, a cluster with its supercluster; in the second event a GSF track."""
    kind = [[1, 4, 6, 7, 10], [1, 6, 10], []]
    record = {name: ak.values_astype(ak.ones_like(ak.Array(kind)), dtype) for name, dtype in COLUMNS.items()}
    details = {name: ak.values_astype(ak.Array(kind), t) for name, t in pf_elements.DETAIL_COLUMNS.items()}
    details["parent"] = ak.values_astype(ak.Array(parent), np.int32)
    targets = {name: ak.values_astype(ak.ones_like(ak.Array(kind)), t) for name, t in TARGET_COLUMNS.items()}
    return ak.zip(
        {
            "PFElement": ak.zip({**record, "type": ak.Array(kind)}),
            "PFElementDetail": ak.zip(details),
            "PFElementTarget": ak.zip(targets),
        },
        depth_limit=1,
    )


def test_what_repeats_others_is_left_out():
    """Targets stay beside the elements; a GSF track without a general track is read as one."""
    parent = [[-1, 4, 0, 2, -1], [-1, -1, -1], []]
    events = with_material(parent)
    found = Elements.of_events(events)
    assert found["type"].tolist() == [1, 4, 1, 1]
    assert found["nHits"].tolist() == [1, 4, 1, 6]
    assert found["gsfAlone"].tolist() == [False, False, False, True]
    assert found.offsets.tolist() == Targets.of_events(events).offsets.tolist() == [0, 2, 4, 4]
    assert "parent" not in found.columns
    every = Elements.of_events(events, repeated=True)
    assert np.diff(every.offsets).tolist() == [5, 3, 0]
    assert every["parent"].tolist() == [-1, 4, 0, 2, -1, -1, -1, -1]


def test_a_parent_that_is_not_there():
    events = with_material([[-1, 4, 0, 2, -1], [-1, 3, -1], []])
    with pytest.raises(
        ColumnError, match=r"PFElementDetail_parent is a row that .* in 1 of 8 elements, first in event 1"
    ):
        Elements.of_events(events)
