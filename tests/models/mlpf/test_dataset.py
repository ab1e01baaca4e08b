import numpy as np
import pytest

from ptmiss import sample
from ptmiss.elements import FULL_COLUMNS, TRACK, Elements, Targets
from ptmiss.errors import ColumnError, OptionError
from ptmiss.events import inspect
from ptmiss.segments import sum_by_event

torch = pytest.importorskip("torch")

from ptmiss.models.mlpf import dataset, inputs
from ptmiss.models.mlpf.dataset import Dataset, Loader

COMPACT = inputs.schema("compact")


def test_events_are_those_of_the_file(embedded):
    """The first 15 have elements; the other 45 are left out."""
    events = inspect(str(sample.events("zmumu"))).events(0, 15)
    elements, targets = Elements.of_events(events), Targets.of_events(events)
    np.testing.assert_array_equal(embedded.offsets, elements.offsets)
    for name, column in elements.columns.items():
        np.testing.assert_array_equal(embedded.elements[name], column)
    for name in dataset.TRUTH:
        np.testing.assert_array_equal(embedded.targets[name], targets[name])


def test_integers_are_kept_small(embedded):
    assert embedded.elements["type"].dtype == embedded.targets["type"].dtype == np.int8
    assert dataset.small(np.array([300], np.int32)).dtype == np.int16


def test_a_file_without_elements(nano_v15):
    with pytest.raises(ColumnError, match="NanoAOD has candidates, not elements"):
        dataset.read([str(nano_v15)])


def test_no_elements_at_all():
    with pytest.raises(OptionError, match=r"no elements to train on in .*tail\.root"):
        dataset.concatenate([dataset.of_events(inspect(str(sample.events("zmumu"))).events(20, 30))], "tail.root")


@pytest.mark.slow
def test_turned_and_mirrored_events_are_the_same_seen_from_elsewhere(embedded):
    few = embedded.first(3)
    turned = few.turn(np.array([0.5, -2.0, 3.0]), np.array([True, False, True]))
    angle, sign = np.repeat([0.5, -2.0, 3.0], np.diff(few.offsets)), np.repeat([-1, 1, -1], np.diff(few.offsets))
    for rows, old in ((turned.elements, few.elements), (turned.targets, few.targets)):
        np.testing.assert_allclose(rows["eta"], sign * old["eta"])
        np.testing.assert_allclose(np.cos(rows["phi"] - old["phi"] - angle), 1, atol=1e-5)
        assert np.abs(rows["phi"]).max() <= np.float32(np.pi)
    here, there = (inputs.pack(x.elements, COMPACT).features.numpy() for x in (few, turned))
    odd = [COMPACT.features.index(name) for name in ("eta", "calo_eta", "bend_eta", "dz", "dz_significance")]
    there[:, odd] *= sign[:, None]
    np.testing.assert_allclose(there, here, atol=2e-3)


def test_turning_keeps_momenta(embedded):
    turned = embedded.turn(np.full(15, 1.0), np.zeros(15, bool))
    before, after = (sum_by_event(x.targets.momentum, x.offsets) for x in (embedded, turned))
    np.testing.assert_allclose(np.hypot(*after.T), np.hypot(*before.T), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("budget", [1, 4000, 9000, 10**6])
def test_an_epoch_has_every_event_once(embedded, budget):
    loader = Loader(embedded, COMPACT, budget, seed=3)
    batches = list(loader.epoch(0))
    assert len(batches) == len(loader)
    sizes = np.concatenate([batch.elements.offsets.diff().numpy() for batch in batches])
    assert sorted(sizes) == sorted(np.diff(embedded.offsets))
    largest = np.diff(embedded.offsets).max()
    assert all(0 < len(batch.kind) <= 2 * max(budget, largest) + largest for batch in batches)


@pytest.mark.parametrize("parts", [2, 3, 100])
def test_epochs_that_together_have_every_event_once(embedded, parts):
    loader = Loader(embedded, COMPACT, 4000, seed=3, parts=parts)
    parts = min(parts, loader.pieces)
    epochs = [list(loader.epoch(number)) for number in range(parts)]
    assert {len(batches) for batches in epochs} == {len(loader)}
    sizes = np.concatenate([b.elements.offsets.diff().numpy() for batches in epochs for b in batches])
    assert sorted(sizes) == sorted(np.diff(embedded.offsets))


def test_an_epoch_is_the_same_whenever_it_is_asked_for(embedded):
    one, again, other = (next(iter(Loader(embedded, COMPACT, 4000, 3).epoch(n))) for n in (2, 2, 3))
    torch.testing.assert_close(one.elements.features, again.elements.features, rtol=0, atol=0)
    assert len(one.kind) != len(other.kind) or not torch.equal(one.pt, other.pt)


def test_plain_batches_are_all_events_in_their_order(embedded):
    batches = list(dataset.plain(embedded, COMPACT, 6000))
    assert len(batches) > 1
    np.testing.assert_array_equal(torch.cat([batch.pt for batch in batches]), embedded.targets["pt"])


def full(embedded):
    """The same events with columns of full simulation: clusters 2 m from the beam."""
    n, e = int(embedded.offsets[-1]), embedded.elements
    rng = np.random.default_rng(4)
    columns = {name: rng.uniform(0.1, 1, n).astype(np.float32) for name in FULL_COLUMNS}
    columns |= {"x": 2000 * np.cos(e["phi"]), "y": 2000 * np.sin(e["phi"]), "z": 2000 * np.sinh(e["eta"])}
    columns["iTheta"] = 2 * np.arctan(np.exp(-e["eta"]))
    return Dataset(Elements({**e.columns, **columns}, e.offsets), embedded.targets)


def test_positions_and_widths_turn_with_the_event(embedded):
    events = full(embedded)
    angle, mirrored = np.full(len(events), 0.7), np.ones(len(events), bool)
    turned, before = events.turn(angle, mirrored).elements, events.elements
    np.testing.assert_allclose(np.arctan2(turned["y"], turned["x"]), turned["phi"], atol=1e-4)
    np.testing.assert_allclose(turned["z"], -before["z"], rtol=1e-6)
    np.testing.assert_allclose(np.cos(turned["iTheta"]), np.tanh(turned["eta"]), atol=1e-4)
    width = [np.hypot(each["sigmaX"], each["sigmaY"]) for each in (before, turned)]
    np.testing.assert_allclose(*width, rtol=1e-5)


def test_columns_of_full_simulation_are_kept_and_are_the_published_features(embedded):
    events = full(embedded)
    both = Dataset.concatenate([events.first(2), events.first(1)])
    assert set(FULL_COLUMNS) <= set(both.elements.columns)
    chosen = inputs.schema("clic")
    features = dict(zip(chosen.features, inputs.pack(both.elements, chosen).features.numpy().T, strict=True))
    track, e = both.elements["type"] == TRACK, both.elements
    np.testing.assert_array_equal(features["chi2|x"], np.where(track, e["chi2"], e["x"]))
    np.testing.assert_array_equal(features["null|sigma_z"], np.where(track, 0, e["sigmaZ"]))
    np.testing.assert_array_equal(features["D0|energy_other"], np.where(track, e["d0"], e["otherEnergy"]))
