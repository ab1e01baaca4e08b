import itertools

import awkward as ak
import numpy as np
import pytest
import uproot

from ptmiss import candidates as pf_candidates
from ptmiss import sample, truth
from ptmiss.errors import ColumnError, FileError, OptionError
from ptmiss.estimators import evaluate, make_estimators, reconstruction
from ptmiss.events import inspect
from ptmiss.recoil import cartesian

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet import dataset
from ptmiss.models.deepmet.dataset import Dataset, Loader

EVENTS = 60
WITH_ELEMENTS = 15
CENTRAL, FORWARD = 2.4, 3.0  # abs(eta) below which the detector sees muons, and above which it sees none


@pytest.fixture(scope="module")
def source():
    return inspect(str(sample.events("zmumu"))).events()


@pytest.fixture(scope="module")
def muons(source):
    """The generated muons of the boson, leading first: jagged records."""
    particles = source.GenPart
    found = particles[(abs(particles.pdgId) == 13) & (particles.status == 1) & (particles.statusFlags % 2 == 1)]
    return found[ak.argsort(found.pt, ascending=False)]


def same(one, other):
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_candidates_are_those_of_the_file(embedded, source):
    np.testing.assert_array_equal(np.diff(embedded.offsets), ak.num(source.PFCands.pt))
    momenta = cartesian(ak.flatten(source.PFCands.pt), ak.flatten(source.PFCands.phi))
    np.testing.assert_allclose(50 * embedded.features[:, 6:], momenta, rtol=1e-4, atol=1e-4)


def test_leptons_that_the_detector_sees_are_found(embedded, muons):
    assert embedded.lepton.shape == (EVENTS, 2)
    for i in range(2):
        central = ak.to_numpy((abs(muons.eta[:, i]) < CENTRAL) & (muons.pt[:, i] > 5))
        assert (embedded.lepton[central, i] >= 0).mean() > 0.9
        assert (embedded.lepton[ak.to_numpy(abs(muons.eta[:, i]) > FORWARD), i] == -1).all()


def test_a_lepton_is_the_candidate_that_points_where_it_was_generated(embedded, source, muons):
    event, i = np.nonzero(embedded.lepton >= 0)
    local = embedded.lepton[event, i]
    flat = embedded.offsets[event] + local
    columns = {name: ak.to_numpy(ak.flatten(source.PFCands[name])) for name in ("eta", "charge")}
    true = {name: ak.to_numpy(muons[name][:, :2])[event, i] for name in ("eta", "pdgId")}
    np.testing.assert_allclose(columns["eta"][flat], true["eta"], atol=0.1)
    np.testing.assert_array_equal(columns["charge"][flat], -np.sign(true["pdgId"]))
    reconstructed = 50 * embedded.features[flat, 6:]
    generated = embedded.lepton_momentum[event, i]
    assert (np.hypot(*(reconstructed - generated).T) < 0.5 * np.hypot(*generated.T)).all()


def test_the_target_is_the_generated_pt_miss_and_the_lost_leptons(embedded, source, muons):
    expected = cartesian(source.GenMET.pt, source.GenMET.phi)
    momentum = cartesian(muons.pt[:, :2], muons.phi[:, :2])
    np.testing.assert_allclose(embedded.lepton_momentum, momentum, rtol=1e-5, atol=1e-4)
    lost = embedded.lepton < 0
    assert 5 < np.count_nonzero(lost) < 2 * EVENTS
    np.testing.assert_allclose(embedded.target, expected + (lost[..., None] * momentum).sum(axis=1), atol=1e-3)


def candidates(**columns):
    """One event of candidates beside a lepton of 40 GeV at eta 1, phi 3.1."""
    n = len(columns["pt"])
    columns = {"eta": np.ones(n), "phi": np.full(n, 3.1), "charge": np.ones(n)} | columns
    arrays = {name: np.asarray(v, np.int32 if name == "charge" else np.float32) for name, v in columns.items()}
    return pf_candidates.Candidates(arrays, np.array([0, n]))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"pt": [39, 41, 40], "eta": [1.05, 1.01, 1.2]}, 1),
        ({"pt": [39, 41], "phi": [3.05, -np.pi + 0.02]}, 0),
        ({"pt": [40], "phi": [-np.pi + 0.02]}, 0),
        ({"pt": [40, 40], "charge": [-1, 0]}, -1),
        ({"pt": [19, 81]}, -1),
        ({"pt": [21, 79], "eta": [1.02, 1.01]}, 1),
        ({"pt": [40], "eta": [1.11]}, -1),
        ({"pt": []}, -1),
    ],
)
def test_the_nearest_candidate_of_the_same_charge_and_about_the_same_pt(columns, expected):
    lepton = {"pt": np.array([40.0]), "eta": np.array([1.0]), "phi": np.array([3.1]), "pdgId": np.array([-13])}
    assert dataset.nearest(candidates(**columns), lepton).tolist() == [expected]


def test_no_lepton_has_no_candidate():
    none = {name: np.zeros(1) for name in ("pt", "eta", "phi", "pdgId")}
    assert dataset.nearest(candidates(pt=[0.0, 5.0], charge=[0, 1]), none).tolist() == [-1]


def test_removing_a_lepton_moves_its_momentum_into_the_target(embedded):
    events = np.arange(EVENTS)
    whole = dataset.batch(embedded, events, np.zeros((EVENTS, 2), bool))
    for which in ([True, False], [False, True], [True, True]):
        removed = np.tile(which, (EVENTS, 1))
        rest = dataset.batch(embedded, events, removed)
        gone = removed & (embedded.lepton >= 0)
        assert len(whole.features) - len(rest.features) == np.count_nonzero(gone)
        moved = (gone[..., None] * embedded.lepton_momentum).sum(axis=1)
        np.testing.assert_allclose(rest.target - whole.target, moved, atol=1e-4)
        taken = 50 * (whole.sum_by_event(whole.features[:, 6:]) - rest.sum_by_event(rest.features[:, 6:])).numpy()
        assert np.median(np.hypot(*(taken - moved)[gone.any(axis=1)].T)) < 2


def test_a_batch_is_the_chosen_events_in_their_order(embedded):
    chosen = np.array([7, 0, 31])
    made = dataset.batch(embedded, chosen, np.zeros((3, 2), bool))
    for i, event in enumerate(chosen):
        here = slice(*embedded.offsets[event : event + 2])
        np.testing.assert_array_equal(made.features[made.event == i], embedded.features[here])
        np.testing.assert_array_equal(made.categories[made.event == i], embedded.categories[here])
    np.testing.assert_array_equal(made.target, embedded.target[chosen])


def test_turning_an_event_turns_inputs_and_target_alike(embedded):
    events, removed = np.arange(20), np.ones((20, 2), bool)
    angle = np.random.default_rng(0).uniform(-np.pi, np.pi, 20)
    plain, turned = (dataset.batch(embedded, events, removed, a) for a in (None, angle))
    np.testing.assert_array_equal(turned.features[:, :6], plain.features[:, :6])
    phase = np.exp(1j * angle)
    for before, after, turn in (
        (plain.features[:, 6:], turned.features[:, 6:], phase[plain.event]),
        (plain.target, turned.target, phase),
    ):
        x, y = before.numpy().T.astype(float)
        expected = (x + 1j * y) * turn
        np.testing.assert_allclose(after, np.stack([expected.real, expected.imag], axis=1), rtol=1e-5, atol=1e-4)


def test_making_batches_leaves_the_events_as_they_are(embedded):
    before = embedded.features.copy(), embedded.target.copy()
    list(Loader(embedded, 16, 1).epoch(0))
    np.testing.assert_array_equal(embedded.features, before[0])
    np.testing.assert_array_equal(embedded.target, before[1])


def test_an_epoch_is_always_the_same_and_no_other(embedded):
    first, again, other, seed = (
        torch.cat([batch.target for batch in Loader(embedded, 16, s).epoch(n)])
        for n, s in ((3, 1), (3, 1), (4, 1), (3, 2))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, seed)


def test_an_epoch_has_each_event_at_most_once(embedded):
    sizes = [len(batch.target) for batch in Loader(embedded, 16, 1).epoch(0)]
    assert sizes == [16, 16, 16] == [16] * len(Loader(embedded, 16, 1))
    whole = list(Loader(embedded, 500, 1).epoch(0))
    assert [len(batch.target) for batch in whole] == [EVENTS]
    keep = Loader(embedded, 500, 1, remove_leptons=False)
    lengths = torch.cat([batch.target.norm(dim=1) for batch in keep.epoch(0)])
    np.testing.assert_allclose(np.sort(lengths), np.sort(np.hypot(*embedded.target.T)), rtol=1e-4, atol=1e-4)


def test_none_one_or_both_leptons_are_removed_with_equal_shares(embedded):
    removed = Loader(embedded, 16, 1).draw_removed(30_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(removed.sum(axis=1)) / 30_000, [1 / 3] * 3, atol=0.01)
    np.testing.assert_allclose(removed.mean(axis=0), [0.5, 0.5], atol=0.01)
    assert not Loader(embedded, 16, 1, remove_leptons=False).draw_removed(100, np.random.default_rng(0)).any()


def test_plain_batches_are_all_events_with_the_leptons_left_out(embedded):
    batches = list(dataset.plain(embedded, 25))
    assert [len(batch.target) for batch in batches] == [25, 25, 10]
    left = sum(len(batch.features) for batch in batches)
    assert left == len(embedded.features) - np.count_nonzero(embedded.lepton >= 0)


def test_parts_and_their_union(embedded):
    mask = np.arange(EVENTS) < 20
    first, rest = embedded.select(mask), embedded.select(~mask)
    same(first, embedded.first(20))
    same(Dataset.concatenate([first, rest]), embedded)
    same(Dataset.concatenate(embedded.select(np.arange(EVENTS) // 7 == i) for i in range(9)), embedded)
    same(first, embedded.first(20))
    assert (len(first), len(rest)) == (20, 40)
    same(embedded.first(10**6), embedded)


def test_the_first_events_of_each_file_in_pieces(monkeypatch, embedded):
    monkeypatch.setattr(dataset, "CHUNK", 7)
    told = []
    files = [str(sample.events(name)) for name in ("zmumu", "wmunu")]
    made = dataset.read(files, 17, lambda *progress: told.append(progress))
    assert len(made) == 34
    same(made.first(17), embedded.first(17))
    assert told[-1] == ("read", 34, 34)
    assert all(a[1] < b[1] for a, b in itertools.pairwise(told))


def test_files_without_truth_or_without_candidates(drell_yan, pfnano, tmp_path):
    with pytest.raises(ColumnError, match="estimator 'deepmet' needs PF candidates") as refused:
        dataset.read([str(drell_yan)])
    assert "\n" not in str(refused.value)
    data = tmp_path / "data.parquet"
    events = inspect(str(pfnano)).events()
    ak.to_parquet(ak.zip({"PFCands_pt": events.PFCands.pt, "run": events.run}, depth_limit=1), data)
    with pytest.raises(FileError, match=r"data\.parquet cannot be trained on: it has no truth \(branch GenMET_pt"):
        dataset.read([str(data)])


def test_a_file_without_events(tmp_path):
    path = tmp_path / "none.root"
    with uproot.recreate(path) as file:
        names = ("GenMET_pt", "GenMET_phi", *(f"GenPart_{name}" for name in truth.COLUMNS))
        stored = ("pt", "eta", "phi", "mass", "charge", "pdgId", "d0", "dz", "puppiWeight", "fromPV")
        columns = [f"PFCands_{name}" for name in stored]
        file.mktree("Events", dict.fromkeys((*names, *columns), "float32"))
    with pytest.raises(OptionError, match="no events to train on"):
        dataset.read([str(path)])


@pytest.fixture(scope="module")
def on_elements():
    """The embedded Z → μμ that have elements, on candidates made of these."""
    return dataset.read([str(sample.events("zmumu"))], made_by=reconstruction.build("elements"))


def test_candidates_of_a_reconstruction_are_those_that_its_estimators_have(on_elements, source):
    """Minus their sum is its pTmiss; target and leptons do not depend on the candidates."""
    muons = ak.zip({"eta": source.Muon.eta, "phi": source.Muon.phi, "pdgId": source.Muon.pdgId})[:WITH_ELEMENTS]
    expected = evaluate(make_estimators(["elements"]), source[:WITH_ELEMENTS], muons).met["elements"]
    momenta = 50 * np.add.reduceat(on_elements.features[:, 6:], on_elements.offsets[:-1])
    np.testing.assert_allclose(-momenta, expected, atol=1e-2)


def test_the_truth_does_not_depend_on_the_candidates(on_elements, embedded):
    assert len(on_elements) == WITH_ELEMENTS
    first = embedded.first(WITH_ELEMENTS)
    found = (on_elements.lepton >= 0) & (first.lepton >= 0)
    assert found.mean() > 0.6
    both = found.all(axis=1)
    np.testing.assert_array_equal(on_elements.lepton_momentum, first.lepton_momentum)
    np.testing.assert_allclose(on_elements.target[both], first.target[both], atol=1e-4)


def test_events_without_elements_are_left_out_and_told(caplog):
    dataset.read([str(sample.events("zmumu"))], 20, made_by=reconstruction.build("elements"))
    assert "5 of 20 events have no elements and are left out" in caplog.text


def test_files_without_elements(pfnano):
    by = reconstruction.build("elements")
    with pytest.raises(ColumnError, match=r"has no particle-flow elements .* --elements -1 writes them") as refused:
        dataset.read([str(sample.events("zmumu")), str(pfnano)], made_by=by)
    assert "\n" not in str(refused.value)


def test_a_file_none_of_whose_events_has_elements(monkeypatch):
    monkeypatch.setattr(dataset, "without_elements", lambda events: np.ones(len(events), bool))
    with pytest.raises(OptionError, match="no events to train on: the files have no elements"):
        dataset.read([str(sample.events("zmumu"))], 5, made_by=reconstruction.build("elements"))
