import numpy as np
import pytest

from ptmiss import bootstrap
from ptmiss.elements import ECAL, HCAL, HF_EM, HF_HAD, TARGET_COLUMNS, TRACK, TRACKLESS, Elements, Prediction, Targets
from ptmiss.evaluation import oracle
from ptmiss.segments import from_counts

EVENTS, AN_EVENT = 400, 12
RESPONSE = {ECAL: 0.5, HCAL: 0.8, HF_EM: 1.25, HF_HAD: 2.0}


@pytest.fixture(scope="module")
def invented():
    """Deposits that are a known share of the truth, half of each left by particles with a track."""
    rng = np.random.default_rng(1)
    n = EVENTS * AN_EVENT
    kind = np.tile(np.repeat([TRACK, ECAL, HCAL, HF_EM, HF_HAD], [4, 2, 2, 2, 2]), EVENTS)
    true, phi = rng.exponential(10, n), rng.uniform(-np.pi, np.pi, n)
    share = np.where(kind == TRACK, 0, 0.5)
    measured = np.select([kind == one for one in RESPONSE], [r * true / 0.5 for r in RESPONSE.values()], 1.1 * true)
    offsets = from_counts(np.full(EVENTS, AN_EVENT))
    elements = {"type": kind, "pt": measured, "eta": np.zeros(n), "phi": phi}
    targets = {name: np.zeros(n, dtype) for name, dtype in TARGET_COLUMNS.items()}
    targets |= {"type": np.ones(n, int), "pt": true, "phi": phi, "hadEnergy": true, TRACKLESS: share}
    return Elements(elements, offsets), Targets(targets, offsets)


def test_tracks_are_as_measured_and_deposits_are_calibrated(invented):
    elements, targets = invented
    found = oracle.deposits(elements, targets)
    track = (elements["type"] == TRACK).reshape(EVENTS, AN_EVENT)
    known = np.where(track.ravel(), elements["pt"], targets["pt"])
    expected = -(known * np.exp(1j * elements["phi"])).reshape(EVENTS, AN_EVENT).sum(axis=1)
    got = oracle.met(found) @ [1, 1j]
    assert np.std(got - expected) < 0.06 * np.std(expected)  # 320 events fit 64 constants
    constants = oracle.constants(found.classes, found.truth)
    kinds = oracle.classes(elements, targets)
    for one, response in RESPONSE.items():
        hardest = np.bincount(kinds, (elements["type"] == one) * elements["pt"] ** 2).argmax()
        assert constants[hardest] == pytest.approx(1 / response, rel=0.1)


def test_a_fake_track_is_left_out(invented):
    elements, targets = invented
    fakes = Targets({**targets.columns, "type": np.where(elements["type"] == TRACK, 0, 1)}, targets.offsets)
    assert np.all(oracle.deposits(elements, fakes).tracks == 0)


def test_nothing_is_known_without_the_share(invented):
    elements, targets = invented
    old = Targets({name: c for name, c in targets.columns.items() if name != TRACKLESS}, targets.offsets)
    assert oracle.deposits(elements, old) is None


def test_few_events_leave_the_constants_near_one():
    assert np.all(oracle.constants(np.zeros((3, oracle.CLASSES, 2)), np.ones((3, 2))) == 1)


def test_the_truth_put_in_for_one_type(invented):
    """With the truth in the only type that is wrong, nothing is; in another, nothing changes."""
    elements, targets = invented
    n = len(elements["pt"])
    kind, wrong = np.ones(n, np.int32), elements["type"] == HCAL
    noise = np.random.default_rng(2).normal(1, 0.3, n)

    def parts(pt):
        found = Prediction(kind, pt, np.zeros(n), elements["phi"], pt, np.eye(8)[kind])
        return oracle.by_type(elements, found, 0.0)

    ideal = parts(targets["pt"])
    made = {"mlpf": parts(targets["pt"] * np.where(wrong, noise, 1)), "targets": ideal}
    table = oracle.table(made, "targets", ideal.sum(axis=1), bootstrap.draws(EVENTS, 20)).set_index("element")
    assert set(table["estimator"]) == {"mlpf"}
    assert table.loc["HCAL cluster", "rms"] == pytest.approx(0, abs=1e-4)
    assert table.loc["track", "half_width_vs_whole"] == 1
    assert table.loc["track", "alone"] == 0
    assert table.loc["HCAL cluster", "alone"] == pytest.approx(table.loc["track", "half_width"], rel=0.01)
    assert table.loc["ECAL and HCAL", "alone"] == pytest.approx(table.loc["HCAL cluster", "alone"])
    np.testing.assert_allclose(
        made["mlpf"].sum(axis=1)[0, 0],
        -np.sum((targets["pt"] * np.where(wrong, noise, 1) * np.cos(elements["phi"]))[:AN_EVENT]),
    )
