import json
import pickle

import awkward as ak
import numpy as np
import pytest

from ptmiss import events, sample
from ptmiss.elements import Targets
from ptmiss.errors import ColumnError, FileError, OptionError, UnknownName
from ptmiss.estimators import MetResult, NetworkEstimator, evaluate, make_estimators, reconstruction
from ptmiss.leptons import AS_CANDIDATES
from ptmiss.models import cmssw
from ptmiss.networks.registry import load_model, save_model
from ptmiss.recoil import cartesian
from ptmiss.runs import addresses
from ptmiss.segments import sum_by_event

from ..helpers import random_model

NO_LEPTONS = ak.Array([[{"eta": 0.0, "phi": 0.0, "pdgId": 13}]])[:, :0]


def none_of(n):
    return ak.concatenate([NO_LEPTONS] * n)


@pytest.fixture(scope="module")
def real(pfnano):
    return events.inspect(str(pfnano)).events()


def stored(source, name):
    return cartesian(ak.to_numpy(source[name].pt), ak.to_numpy(source[name].phi))


@pytest.fixture(scope="module")
def released(shared, tmp_path_factory):
    """Weights files of the two released tunes."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for name, graph in (("deepmet", 1), ("deepmet_response", 2)):
        paths[name] = folder / f"{name}.safetensors"
        save_model(cmssw.read_deepmet(shared / "deepmet" / f"deepmet_{graph}.graphdef"), paths[name], "released")
    return paths


def test_pf_is_raw_met(real):
    met = evaluate(make_estimators(["pf"]), real, none_of(10)).met["pf"]
    np.testing.assert_allclose(np.hypot(*met.T), np.hypot(*stored(real, "RawMET").T), rtol=0.01)


def test_puppi_and_track_follow_their_definitions(real):
    mets = evaluate(make_estimators(["puppi", "track"]), real, none_of(10)).met
    cands = real.PFCands
    weight = cands.puppiWeight
    np.testing.assert_allclose(mets["puppi"][:, 0], -ak.sum(weight * cands.pt * np.cos(cands.phi), axis=1), atol=0.01)
    charged = cands[
        (cands.charge != 0) & ((cands.puppiWeight > 0.999) | (abs(cands.pdgId) == 13) | (abs(cands.pdgId) == 11))
    ]
    np.testing.assert_allclose(mets["track"][:, 1], -ak.sum(charged.pt * np.sin(charged.phi), axis=1), atol=0.01)


@pytest.mark.parametrize(
    ("name", "branch", "median"),
    [("deepmet", "DeepMETResolutionTune", 2.5), ("deepmet_response", "DeepMETResponseTune", 3.2)],
)
def test_released_deepmet_is_near_what_cmssw_stored(real, released, name, branch, median):
    network = make_estimators([name], {name: released[name]}, AS_CANDIDATES)
    met = evaluate(network, real, none_of(10)).met[name]
    assert np.median(np.hypot(*(met - stored(real, branch)).T)) < median


def test_stored_is_what_the_file_says(real):
    met = evaluate(make_estimators(["stored.PuppiMET"]), real, none_of(10)).met["stored.PuppiMET"]
    np.testing.assert_array_equal(met, stored(real, "PuppiMET"))


def test_stored_estimators_touch_no_candidates(pfnano):
    source = events.inspect(str(pfnano)).events()
    evaluate(make_estimators(["stored.RawMET"]), source, none_of(10))
    assert not source.PFCands.pt.layout.is_all_materialized


def test_selected_leptons_are_left_out_of_a_network_and_put_back(invented, weights):
    source = events.inspect(str(invented)).events()
    muons = ak.zip({"eta": source.Muon.eta, "phi": source.Muon.phi, "pdgId": -13 * source.Muon.charge})
    exact = evaluate(make_estimators(["net"], {"net": weights}), source, muons)
    as_candidates = evaluate(make_estimators(["net"], {"net": weights}, AS_CANDIDATES), source, muons)
    boson = cartesian(0, 0) + sum(cartesian(source.Muon.pt[:, i], source.Muon.phi[:, i]) for i in (0, 1))
    without = source.PFCands[abs(source.PFCands.pdgId) != 13]
    bare = evaluate(
        make_estimators(["net"], {"net": weights}), ak.zip({"PFCands": without}, depth_limit=1), none_of(300)
    )
    np.testing.assert_allclose(exact.met["net"], bare.met["net"] - boson, atol=0.01)
    assert np.abs(exact.met["net"] - as_candidates.met["net"]).max() > 1
    assert not exact.notes


def test_a_lepton_that_is_no_candidate_is_noted(invented, weights):
    source = events.inspect(str(invented)).events(0, 5)
    muons = ak.zip({"eta": source.Muon.eta, "phi": source.Muon.phi + 1, "pdgId": -13 * source.Muon.charge})
    notes = evaluate(make_estimators(["net"], {"net": weights}), source, muons).notes
    assert notes == {"selected lepton without a candidate": 10}


def test_the_treatment_of_leptons_changes_nothing_for_sums(invented):
    source = events.inspect(str(invented)).events()
    muons = ak.zip({"eta": source.Muon.eta, "phi": source.Muon.phi, "pdgId": -13 * source.Muon.charge})
    a = evaluate(make_estimators(["pf", "puppi"]), source, muons).met
    b = evaluate(make_estimators(["pf", "puppi"], leptons=AS_CANDIDATES), source, muons).met
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_repairs_and_cuts_are_noted(tmp_path):
    from ptmiss.networks.registry import save_model

    from ..helpers import random_model

    save_model(random_model(padding=2), tmp_path / "w.safetensors", "")
    columns = {name: [0.1, 0.2, 0.3] for name in ("pt", "eta", "phi", "mass", "dxy", "dz", "puppiWeight")}
    columns |= {"charge": [0, 0, 0], "pdgId": [22, 77, 130], "fromPV": [3, 3, 3]}
    source = ak.zip({"PFCands": ak.zip({k: ak.Array([v, []]) for k, v in columns.items()})}, depth_limit=1)
    notes = evaluate(make_estimators(["net"], {"net": tmp_path / "w.safetensors"}), source, none_of(2)).notes
    assert notes.pop("event with fewer than 50 candidates: does the file keep all of them?") == 2
    assert notes == {"candidate repaired: pdgId unknown": 1, "net: event with more than 2 candidates, cut": 1}


@pytest.mark.slow
def test_files_that_keep_only_some_candidates(nano_v15, pfnano):
    """The sum of the candidates of large jets is no pTmiss; a stored MET of the same file is one."""
    source = events.inspect(str(nano_v15)).events()
    with pytest.raises(ColumnError, match=r"181 of 200 events have fewer than 50 .*: --estimators stored\.PuppiMET"):
        evaluate(make_estimators(["pf"]), source, none_of(len(source)))
    assert not evaluate(make_estimators(["stored.PuppiMET"]), source, none_of(len(source))).notes
    whole = events.inspect(str(pfnano)).events()
    assert not [n for n in evaluate(make_estimators(["pf"]), whole, none_of(10)).notes if "fewer" in n]


def test_a_stored_met_that_is_not_finite_is_noted():
    source = ak.Array([{"MET": {"pt": np.nan, "phi": 0.0}}, {"MET": {"pt": 1.0, "phi": 0.0}}])
    assert evaluate(make_estimators(["stored.MET"]), source, none_of(2)).notes == {"stored.MET: pTmiss not finite": 1}


def test_a_network_travels_as_its_weights_file(weights):
    network = make_estimators(["deepmet"], {"deepmet": weights})
    assert network[0].model.parameters == 5149  # loaded in this process, and still not shipped
    assert len(pickle.dumps(network)) < weights.stat().st_size + 1000
    assert pickle.loads(pickle.dumps(network)) == network


@pytest.mark.parametrize("names", [["pfx"], ["deepmett"], ["stored."], ["pf", "nonsense"]])
def test_unknown_names_are_refused_with_the_nearest(names):
    with pytest.raises(UnknownName, match="unknown estimator"):
        make_estimators(names)
    with pytest.raises(UnknownName, match="did you mean 'puppi'"):
        make_estimators(["pupi"])


def test_wrong_options():
    with pytest.raises(UnknownName, match="unknown estimator 'deepmat', did you mean 'deepmet'"):
        make_estimators(["deepmat"])
    with pytest.raises(FileError, match="no such weights file: none"):
        make_estimators(["deepmet"], {"deepmet": "none"})
    with pytest.raises(OptionError, match="--weights names other, which is not among the estimators: pf"):
        make_estimators(["pf"], {"other": "x"})
    with pytest.raises(OptionError, match="expected at least one estimator"):
        make_estimators([])
    with pytest.raises(UnknownName, match="treatment of the leptons 'exakt', did you mean 'exact'"):
        make_estimators(["pf"], leptons="exakt")


def test_each_estimator_is_made_once():
    assert [e.name for e in make_estimators(["pf", "puppi", "pf"])] == ["pf", "puppi"]


def test_what_a_file_must_have(weights):
    there = {"PFCands_pt", "PFCands_phi", "PFCands_eta", "MET_pt"}
    make_estimators(["pf"])[0].require(there, "a.root")
    for names, message in (
        (["puppi"], "'puppi' needs PFCands column 'puppiWeight'"),
        (["track"], "'track' needs PFCands column 'charge'"),
        (["stored.MET"], "needs branch MET_phi, which a.root does not have; METs there: MET"),
        (["stored.PuppiMET"], "needs branch PuppiMET_pt"),
    ):
        with pytest.raises(ColumnError, match=message):
            make_estimators(names)[0].require(there, "a.root")
    with pytest.raises(ColumnError, match="'net' needs PFCands column"):
        make_estimators(["net"], {"net": weights})[0].require(there, "a.root")


def test_manifest_entry_names_the_weights_by_their_hash(weights):
    described = make_estimators(["net"], {"net": weights})[0].manifest_entry()
    assert described["leptons"] == "exact"
    assert len(described["sha256"]) == 64
    assert make_estimators(["pf"])[0].manifest_entry() == {"name": "pf"}


@pytest.fixture(scope="module")
def with_elements():
    return events.inspect(str(sample.events("zmumu"))).events(0, 15)


@pytest.fixture
def mlpf(monkeypatch, tmp_path):
    """A weights file of an MLPF that takes elements as they are, and how often it was called."""
    path, calls = tmp_path / "mlpf.safetensors", []
    path.write_bytes(b"weights")
    network = lambda elements, latents: calls.append(len(elements)) or reconstruction.of_elements(elements)
    monkeypatch.setattr(reconstruction, "network", lambda path: network)
    return path, calls


def test_mlpf_beside_the_others_and_reconstructed_once(with_elements, weights, mlpf):
    path, calls = mlpf
    names = ["pf", "mlpf", "mlpf_puppi", "deepmet_mlpf", "elements", "puppi", "targets", "targets_puppi"]
    chosen = make_estimators(names, {"mlpf": path, "deepmet": weights})
    muons = ak.zip({"eta": with_elements.Muon.eta, "phi": with_elements.Muon.phi, "pdgId": with_elements.Muon.pdgId})
    mets = evaluate(chosen, with_elements, muons).met
    assert list(mets) == names
    assert calls == [15]
    np.testing.assert_array_equal(mets["mlpf"], mets["elements"])
    assert np.abs(mets["mlpf"] - mets["mlpf_puppi"]).max() > 1
    assert np.isfinite(mets["deepmet_mlpf"]).all()
    targets = Targets.of_events(with_elements)
    np.testing.assert_allclose(mets["targets"], -sum_by_event(targets.momentum, targets.offsets), atol=3)
    truth = cartesian(with_elements.GenMET.pt, with_elements.GenMET.phi)
    assert np.std(mets["targets"] - truth) < np.std(mets["pf"] - truth) < np.std(mets["elements"] - truth)


def test_the_network_for_material_is_a_reconstruction_by_name():
    chosen = make_estimators("mlpf,mlpf_electrons,mlpf_electrons_puppi,deepmet_mlpf_electrons")
    entries = [estimator.manifest_entry() for estimator in chosen]
    assert [entry["reconstruction"] for entry in entries] == ["mlpf", *["mlpf_electrons"] * 3]
    assert len({entry["mlpf_sha256"] for entry in entries}) == 2


def test_events_without_elements_have_no_ptmiss_and_are_noted_once(weights):
    source = events.inspect(str(sample.events("zmumu"))).events(10, 20)
    muons = ak.zip({"eta": source.Muon.eta, "phi": source.Muon.phi, "pdgId": source.Muon.pdgId})
    mets = evaluate(
        make_estimators(["pf", "elements", "elements_puppi", "net_elements"], {"net": weights}), source, muons
    )
    assert np.isfinite(mets.met["pf"]).all()
    assert np.isfinite(mets.met["elements"]).all(axis=1).tolist() == [True] * 5 + [False] * 5
    assert np.isnan(mets.met["net_elements"][5:]).all()
    assert mets.notes == {"elements: event without elements, so without pTmiss": 5}


def test_what_estimators_on_elements_need(mlpf, pfnano):
    there = events.inspect(str(pfnano)).branches
    for estimator in make_estimators(["mlpf", "targets_puppi"], {"mlpf": mlpf[0]}):
        with pytest.raises(
            ColumnError, match=f"'{estimator.name}': a.root has no particle-flow elements .* NanoAOD has"
        ):
            estimator.require(there, "a.root")
    with pytest.raises(UnknownName, match="unknown estimator 'deepmat_mlpf', did you mean"):
        make_estimators(["deepmat_mlpf"], {"mlpf": mlpf[0]})
    with pytest.raises(OptionError, match="--weights names mlpf, which is not among the estimators: pf, targets"):
        make_estimators(["pf", "targets"], {"mlpf": mlpf[0]})


def test_a_network_on_other_candidates_than_those_of_its_training_is_noted(tmp_path, caplog):
    mine = tmp_path / "model.safetensors"
    made = {"candidates": {"reconstruction": "elements", "min_pt": "0.1"}}
    save_model(random_model(), mine, json.dumps(made))
    make_estimators(["pf", "deepmet", "mine_elements"], {"mine_elements": mine})
    assert not caplog.messages
    make_estimators(["mine", "deepmet_elements"], {"mine": mine})
    assert caplog.messages == [
        "mine: its network was trained on candidates of elements, and is given the candidates of files",
        "deepmet_elements: its network was trained on the candidates of files, and is given candidates of elements",
    ]


def test_mlpf_without_a_network(nothing_shipped):
    with pytest.raises(OptionError, match="none comes with this package: name its weights file with --weights"):
        make_estimators(["mlpf_puppi"])


def test_an_estimator_on_elements_is_described_and_travels_with_both_files(weights, mlpf):
    estimator = make_estimators(["deepmet_mlpf"], {"mlpf": mlpf[0], "deepmet": weights})[0]
    described = estimator.manifest_entry()
    assert (described["name"], described["reconstruction"], described["min_pt"]) == ("deepmet_mlpf", "mlpf", "0.1")
    assert {len(described["sha256"]), len(described["mlpf_sha256"])} == {64}
    assert pickle.loads(pickle.dumps(estimator)) == estimator
    before = addresses.describe(estimator)
    mlpf[0].write_bytes(b"others")
    assert addresses.describe(estimator) != before


def test_a_network_brings_its_weights_along(weights, model):
    travelling = pickle.dumps(NetworkEstimator("net", str(weights)))
    weights.unlink()
    arrived = pickle.loads(travelling)
    assert arrived.name == "net"
    assert load_model(arrived.weights).tensors.keys() == model.tensors.keys()


def test_ptmiss_as_vectors_of_events():
    some = events.inspect(str(sample.events("zmumu"))).events()
    found = evaluate(make_estimators("pf,deepmet"), some, some.Muon)
    some["DeepMET"] = record = found.record("deepmet")
    assert record.fields == ["pt", "phi"]
    x, y = found.met["deepmet"].T
    np.testing.assert_allclose(record.pt, np.sqrt(x**2 + y**2))
    np.testing.assert_allclose(np.stack([record.px, record.py]), np.stack([x, y]), atol=1e-9)
    np.testing.assert_allclose(some.DeepMET.phi, np.arctan2(y, x))
    with pytest.raises(UnknownName, match="unknown estimator in the result 'pupi'"):
        found.record("pupi")


def test_what_is_shown_of_a_result_fits_on_a_screen():
    found = MetResult({"pf": np.array([[3.0, 4.0], [6.0, 8.0]])}, {"a note": 2})
    assert repr(found) == "pTmiss of 2 events by pf\na note: 2"
    assert "<td>7.5</td>" in found._repr_html_()
    assert "<p>a note: 2</p>" in found._repr_html_()
