import pickle
from dataclasses import dataclass

import awkward as ak
import numpy as np
import pytest

from ptmiss import candidates as pf_candidates
from ptmiss import events, sample
from ptmiss.elements import COLUMNS, ECAL, HF_HAD, TRACK, Elements, Prediction, Targets
from ptmiss.errors import ColumnError, FileError, OptionError
from ptmiss.estimators import reconstruction
from ptmiss.estimators.reconstruction import MIN_PT, build, candidates, classes, codes
from ptmiss.segments import from_counts, sum_by_event

WITH_ELEMENTS = 15


@pytest.fixture(scope="module")
def zmumu():
    return events.inspect(str(sample.events("zmumu"))).events(0, WITH_ELEMENTS)


def invented(counts, seed=0):
    """Elements of events with so many tracks each."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    columns = {name: np.ones(n, dtype) for name, dtype in COLUMNS.items()}
    columns |= {"eta": rng.uniform(-2, 2, n).astype("f4"), "phi": rng.uniform(-3, 3, n).astype("f4")}
    columns |= {"charge": rng.choice([-1, 1], n).astype("i4"), "d0": rng.normal(0, 0.1, n).astype("f4")}
    return Elements(columns, from_counts(np.asarray(counts)))


@dataclass
class Soft:
    """What a network says."""

    pt: np.ndarray
    probability: np.ndarray
    latents: None = None

    def __post_init__(self):
        self.kind = self.probability.argmax(axis=1)
        self.eta, self.phi, self.energy = self.pt * 0, self.pt * 0, self.pt


def test_sums_of_the_ideal_candidates_are_those_of_the_targets(zmumu):
    targets = Targets.of_events(zmumu)
    made = build("targets").candidates(zmumu, ["pt"])
    left_out = np.where(targets["pt"] > MIN_PT, 0, targets["pt"])
    expected = sum_by_event(targets.momentum, targets.offsets)
    most = sum_by_event(left_out, targets.offsets)[:, np.newaxis] + 1e-2
    assert (np.abs(sum_by_event(made.momentum, made.offsets) - expected) < most).all()
    assert most.max() < 10
    everything = candidates(Elements.of_events(zmumu), reconstruction.of_targets(targets), least=0)
    np.testing.assert_allclose(sum_by_event(everything.momentum, everything.offsets), expected, atol=1e-3)


def test_the_record_is_that_of_the_files_candidates(zmumu):
    made = build("targets").candidates(zmumu, ["puppiWeight"])
    stored = pf_candidates.read(zmumu, made.columns)
    assert list(made.columns) == list(stored.columns)
    assert {name: c.dtype for name, c in made.columns.items()} == {name: c.dtype for name, c in stored.columns.items()}
    assert set(np.unique(made["pdgId"])) <= set(np.unique(stored["pdgId"]))
    for code in np.unique(made["pdgId"]):
        np.testing.assert_allclose(
            np.unique(made["mass"][made["pdgId"] == code]),
            np.unique(stored["mass"][stored["pdgId"] == code]),
            atol=1e-4,
        )
    neutral = {name: np.unique(made[name][made["charge"] == 0]) for name in reconstruction.NEUTRAL}
    assert {name: values.tolist() for name, values in neutral.items()} == {
        k: [v] for k, v in reconstruction.NEUTRAL.items()
    }


def test_charge_and_vertex_are_those_of_the_track(zmumu):
    elements = Elements.of_events(zmumu)
    found = reconstruction.of_elements(elements)
    made = candidates(elements, found, least=0)
    np.testing.assert_array_equal(made["charge"], np.where(elements["type"] == TRACK, elements["charge"], 0))
    charged = made["charge"] != 0
    for name, own in reconstruction.OF_TRACK.items():
        np.testing.assert_array_equal(made[name][charged], elements[own][charged])
    hadron = np.abs(made["pdgId"]) == 211
    np.testing.assert_array_equal(np.sign(made["pdgId"][hadron]), made["charge"][hadron])
    lepton = np.isin(np.abs(made["pdgId"]), (11, 13))
    assert lepton.any()
    np.testing.assert_array_equal(np.sign(made["pdgId"][lepton]), -made["charge"][lepton])


def test_only_a_track_is_charged_and_only_hf_has_its_codes():
    types, kinds = np.asarray([TRACK, TRACK, ECAL, ECAL, HF_HAD, HF_HAD]), np.asarray([3, 5, 1, 4, 2, 3])
    np.testing.assert_array_equal(codes(types, kinds), [211, 13, 130, 22, 1, 2])
    np.testing.assert_array_equal(classes(np.asarray([-211, 130, 22, -11, 13, 1, 2])), [1, 2, 3, 4, 5, 6, 7])


def test_a_row_is_one_candidate_of_its_likeliest_class_with_its_soft_pt():
    elements = invented([3])
    probability = np.full((3, 8), 0.05)
    probability[:, 0], probability[:, 5] = 0.5, 0.2
    made = candidates(elements, Soft(np.asarray([4.0, MIN_PT, 0.2]), probability))
    np.testing.assert_allclose(made["pt"], [4.0, 0.2])
    assert np.abs(made["pdgId"]).tolist() == [13, 13]
    assert made.offsets.tolist() == [0, 2]


def test_what_is_not_finite_is_dropped_and_counted():
    found = Prediction(np.ones(2, int), np.asarray([1.0, np.inf]), *(np.ones(2),) * 3, np.ones((2, 8)))
    made = candidates(invented([2]), found)
    assert made.offsets.tolist() == [0, 1]
    assert made.repaired == {"momentum not finite": 1}


def test_puppi_is_called_once_and_only_if_asked_for(zmumu, monkeypatch):
    calls = []
    weigh = reconstruction.puppi_weights
    monkeypatch.setattr(reconstruction, "puppi_weights", lambda *args: calls.append(1) or weigh(*args))
    assert "puppiWeight" not in build("elements").candidates(zmumu, ["pt"]).columns
    assert not calls
    weight = build("elements").candidates(zmumu, ["puppiWeight"])["puppiWeight"]
    assert len(calls) == 1
    assert 0 < np.mean(weight) < 1


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 3, 0], [20_000]])
def test_empty_and_full_events(counts):
    elements = invented(counts)
    made = reconstruction.add_puppi_weights(
        candidates(elements, reconstruction.of_elements(elements)), np.full(len(counts), 20)
    )
    assert np.diff(made.offsets).tolist() == counts


def test_files_with_elements_of_their_first_events_only():
    source = events.inspect(str(sample.events("zmumu"))).events()
    blind = reconstruction.without_elements(source)
    assert blind.tolist() == [False] * WITH_ELEMENTS + [True] * 45
    without_candidates = ak.zip({"PFElement": ak.zip({"pt": ak.Array([[1.0], []])})}, depth_limit=1)
    assert not reconstruction.without_elements(without_candidates).any()


def test_what_a_file_must_have():
    elements = {f"PFElement_{name}" for name in COLUMNS}
    for name, there, message in (
        ("elements", {"PFCands_pt"}, "estimator 'x': a.root has no particle-flow elements .* NanoAOD has candidates"),
        ("elements", elements - {"PFElement_d0"}, "a.root lacks PFElement_d0; there: PFElement_caloEta"),
        ("targets", elements, "a.root lacks PFElementTarget_type"),
        ("elements", elements, "'x' needs branch PV_npvs for PUPPI weights"),
    ):
        with pytest.raises(ColumnError, match=message):
            build(name).require(["puppiWeight"], there, "x", "a.root")
    build("elements").require(["pt"], elements, "x", "a.root")


def test_mlpf_needs_weights(nothing_shipped, tmp_path):
    with pytest.raises(OptionError, match=r"none comes with this package: name its weights file with --weights"):
        build("mlpf")
    with pytest.raises(FileError, match="no such weights file"):
        build("mlpf", tmp_path / "none.safetensors")


def test_a_reconstruction_travels_with_its_weights(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"weights")
    made_by = reconstruction.Reconstruction("mlpf", str(path))
    state, digest = pickle.dumps(made_by), made_by.sha256
    path.unlink()
    there = pickle.loads(state)
    assert there.weights != str(path)
    assert there.sha256 == digest
    assert pickle.loads(pickle.dumps(build("targets"))) == build("targets")


def test_whose_candidates():
    assert reconstruction.of_candidates("pf") is None
    assert reconstruction.of_candidates("targets") == build("targets")
    assert reconstruction.whose({}) == "the candidates of files"
    assert reconstruction.whose(build("targets").identity) == "candidates of targets"
    identity = {"reconstruction": "mlpf", "min_pt": "0.1", "mlpf_sha256": "0123456789abcdef"}
    assert reconstruction.whose(identity) == "candidates of mlpf (sha256 0123456789ab…)"
