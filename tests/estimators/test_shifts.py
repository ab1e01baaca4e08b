import pickle
from collections import Counter
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest

from ptmiss import candidates as pf_candidates
from ptmiss import events, sample
from ptmiss.candidates import puppi
from ptmiss.corrections import jets as jerc
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.estimators.shifts import LEAST_CHANGE, SYSTEMATICS
from ptmiss.leptons import match
from ptmiss.networks import kernels
from ptmiss.networks.registry import save_model
from ptmiss.scales import DEFAULT, KINDS
from ptmiss.systematics import NOMINAL

from ..helpers import random_attention, random_model

SOURCE_EVENTS = 8


@pytest.fixture(scope="module")
def source():
    return events.inspect(str(sample.events("zmumu"))).events(0, SOURCE_EVENTS)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights files of random networks: one, one that cuts events off, and two that look at neighbours."""
    folder = tmp_path_factory.mktemp("weights")
    made = {"net": random_model(), "padded": random_model(padding=1500), "local": random_model(context=6)}
    made["attends"] = random_attention()
    for name, model in made.items():
        save_model(model, folder / f"{name}.safetensors", "random")
    return {name: folder / f"{name}.safetensors" for name in made}


def shifted_by_hand(source, kind, sign):
    """The events with the candidates of one kind scaled, and PUPPI weights moved by what candidates.puppi says."""
    columns = ["pt", "eta", "phi", "charge", "fromPV", "dz", "pdgId", "puppiWeight"]
    flat = pf_candidates.read(source, columns)
    factor = 1 + sign * DEFAULT.of(kind, flat.columns)
    origin = puppi.charged_origin(flat["charge"], flat["fromPV"], flat["dz"])
    npv = ak.to_numpy(source.PV.npvsGood)
    pt = (flat["pt"] * factor).astype(np.float32)
    both = [puppi.weights(p, flat["eta"], flat["phi"], origin, flat.offsets, npv) for p in (flat["pt"], pt)]
    change = np.where(np.abs(both[1] - both[0]) < LEAST_CHANGE, 0, both[1] - both[0])
    weight = np.clip(flat["puppiWeight"] + change, 0, 1).astype(np.float32)
    counts = np.diff(flat.offsets)
    given = {name: source.PFCands[name] for name in source.PFCands.fields if name not in ("pt", "puppiWeight")}
    given |= {"pt": ak.unflatten(pt, counts), "puppiWeight": ak.unflatten(weight, counts)}
    return ak.zip({"PFCands": ak.zip(given), "PV": source.PV, "Muon": source.Muon}, depth_limit=1)


NAMES = ["pf", "puppi", "track", "linear", "net", "padded", "local", "attends"]


@pytest.mark.parametrize("kind", ["photons", "charged_hadrons", "hf"])
def test_a_variation_is_the_estimator_on_shifted_candidates(source, weights, kind):
    """Only what changes is weighed again, or all if it has neighbours, and the sum is the same as of everything."""
    varied = evaluate(make_estimators(NAMES, weights, systematics=[kind]), source, source.Muon)
    plain = evaluate(make_estimators(NAMES, weights), source, source.Muon)
    assert varied.notes == plain.notes
    for way, sign in (("up", 1), ("down", -1)):
        expected = evaluate(make_estimators(NAMES, weights), shifted_by_hand(source, kind, sign), source.Muon).met
        for name in NAMES:
            np.testing.assert_array_equal(varied.met[name], plain.met[name])
            np.testing.assert_allclose(varied.varied[name][f"{kind}_{way}"], expected[name], atol=2e-3, err_msg=name)
    if kind != "charged_hadrons":
        assert np.abs(varied.varied["net"][f"{kind}_up"] - varied.met["net"]).max() > 0.01
        np.testing.assert_array_equal(varied.varied["track"][f"{kind}_up"], varied.met["track"])


def test_selected_muons_move_pt_miss_by_their_own_uncertainty(source, weights):
    """They are outside of the network, and no other candidate is a muon of this size."""
    result = evaluate(make_estimators(["net"], {"net": weights["net"]}, systematics=["muons"]), source, source.Muon)
    muons = source.Muon[:, :2]
    total = np.stack([ak.to_numpy(ak.sum(muons.pt * f(muons.phi), axis=1)) for f in (np.cos, np.sin)], axis=-1)
    shift = result.varied["net"]["muons_up"] - result.met["net"]
    assert np.median(np.hypot(*(shift + 0.002 * total).T)) < 0.02


def test_kinds_add_up_for_a_linear_sum(source):
    """All kinds together are the sum of each, for an estimator without weights."""
    result = evaluate(make_estimators(["pf"], systematics=["kinds"]), source, source.Muon)
    assert list(result.varied["pf"]) == [f"{kind}_{way}" for kind in KINDS for way in ("up", "down")]
    flat = pf_candidates.read(source, ["pt", "eta", "phi", "pdgId"])
    size = sum(DEFAULT.of(kind, flat.columns) for kind in KINDS)
    expected = -kernels.sum_momenta(size, flat.momentum, flat.offsets)
    total = sum(result.varied["pf"][f"{kind}_up"] - result.met["pf"] for kind in KINDS)
    np.testing.assert_allclose(total, expected, atol=1e-3)


def two_in_a_jet(kind=211):
    """An event with a jet of two candidates, and one candidate outside of it."""
    columns = {"pt": [30.0, 20.0, 5.0], "eta": [0.5, 0.6, -1.0], "phi": [0.0, 0.1, 2.0], "pdgId": [kind, 22, 130]}
    jets = {"pt": [48.0, 10.0], "eta": [0.55, -1.0], "phi": [0.05, 2.0]}
    jagged = {"PFCands": ak.zip({k: ak.Array([v]) for k, v in columns.items()})}
    jagged |= {"Jet": ak.zip({k: ak.Array([v]) for k, v in jets.items()})}
    jagged |= {"Muon": ak.Array([[{"pt": 1.0, "eta": 0.0, "phi": 0.0, "pdgId": 13}]])[:, :0]}
    return ak.zip(jagged, depth_limit=1)


def test_unclustered_energy_is_what_no_jet_has():
    """A jet below 15 GeV does not count, and neither do leptons."""
    source = two_in_a_jet()
    result = evaluate(make_estimators(["pf"], systematics=["unclustered"]), source, source.Muon)
    shift = (result.varied["pf"]["unclustered_up"] - result.met["pf"])[0]
    np.testing.assert_allclose(shift, -5 * 0.25 * np.array([np.cos(2), np.sin(2)]), rtol=1e-5)  # at most 25 %


def test_candidates_in_jets_move_with_the_jet(shared):
    path = shared / "analysis" / "jme" / "jet_jerc_Summer22_V3.json.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    source = two_in_a_jet()
    result = evaluate(make_estimators(["pf"], systematics=["jes"], jerc=path), source, source.Muon)
    jet = {"JetPt": np.array([48.0]), "JetEta": np.array([0.55])}
    (size,) = jerc.load(path, "mc").uncertainty("Total", jet)
    inside = np.array([30 + 20 * np.cos(0.1), 20 * np.sin(0.1)])
    np.testing.assert_allclose((result.varied["pf"]["jes_up"] - result.met["pf"])[0], -size * inside, rtol=1e-4)
    muons = two_in_a_jet(13)
    result_of_muons = evaluate(make_estimators(["pf"], systematics=["jes"], jerc=path), muons, muons.Muon)
    alone = np.array([20 * np.cos(0.1), 20 * np.sin(0.1)])
    shift = (result_of_muons.varied["pf"]["jes_up"] - result_of_muons.met["pf"])[0]
    np.testing.assert_allclose(shift, -size * alone, rtol=1e-4)  # a muon is no part of its jet
    (groups,) = make_estimators(["pf"], systematics=["jes_regrouped"], jerc=path)
    varied = evaluate([groups], source, source.Muon).varied["pf"]
    parts = [met - result.met["pf"] for name, met in varied.items() if name.endswith("_up")]
    assert len(parts) == 11
    np.testing.assert_allclose(np.sqrt(np.sum(np.square(parts), axis=0))[0], size * np.abs(inside), rtol=0.02)
    (wrong,) = make_estimators(["pf"], systematics=["jes_FlavourQCD"], jerc=path)
    with pytest.raises(UnknownName, match=r"source of .* 'FlavourQCD', did you mean 'FlavorQCD'"):
        wrong.require_era({}, simulated=True)
    assert len(wrong.manifest_entry()["jerc"]["sha256"]) == 64


def test_candidates_of_a_reconstruction(source):
    """On the elements of the simulation: as many variations, and not those of the file's candidates."""
    result = evaluate(make_estimators(["elements", "pf"], systematics=["neutral_hadrons"]), source, source.Muon)
    size = {name: result.varied[name]["neutral_hadrons_up"] - result.met[name] for name in ("elements", "pf")}
    assert size["elements"].shape == (SOURCE_EVENTS, 2)
    assert 0.1 < np.abs(size["elements"]).mean() < 10
    assert np.abs(size["elements"] - size["pf"]).max() > 0.05


def test_deepmet_on_candidates_of_mlpf():
    """The band of a scale, along the shift of DeepMET on the same candidates with that scale changed."""
    source = events.inspect(str(sample.events("zmumu"))).events(0, 4)
    (varied,) = make_estimators(["deepmet_mlpf"], systematics=["hf", "photons"])
    result = evaluate([varied], source, source.Muon)
    assert list(result.varied[varied.name]) == ["hf_up", "hf_down", "photons_up", "photons_down"]
    candidates = varied.reconstruction.candidates(source, varied.columns)
    selected, _ = match(candidates, source.Muon)
    for kind in ("hf", "photons"):
        pt = candidates["pt"] * (1 + DEFAULT.of(kind, candidates.columns))
        scaled = replace(candidates, columns={**candidates.columns, "pt": pt.astype(np.float32)})
        expected = varied.inner.met(source, scaled, selected, Counter()) - result.met[varied.name]
        half = (result.varied[varied.name][f"{kind}_up"] - result.varied[varied.name][f"{kind}_down"]) / 2
        assert np.sum(half * expected) / np.sum(expected**2) == pytest.approx(1, abs=0.3)


def test_data_are_not_varied(source):
    events_of_data = events.inspect(str(sample.events("zmumu"))).events(0, 2)
    events_of_data.metadata.update({"kind": "data"})
    result = evaluate(make_estimators(["puppi"], systematics=["kinds"]), events_of_data, events_of_data.Muon)
    assert result.varied == {}
    assert list(result.of("puppi", np.ones(2, bool))) == [NOMINAL]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_band_covers_a_true_shift(kind):
    """The scale of one kind is wrong by 0.8 standard deviations: so large is the pull, along the band of each event.

    A PUPPI weight jumps to 0 where the weighted pT is below a threshold, so that its pulls scatter.
    """
    source = events.inspect(str(sample.events("zmumu"))).events()
    names = {"pf": 0.01, "deepmet": 0.15, "puppi": 0.4}
    band = evaluate(make_estimators(names, systematics=[kind]), source, source.Muon)
    true = evaluate(make_estimators(names), shifted_by_hand(source, kind, 0.8), source.Muon).met
    for name, near in names.items():
        half = (band.varied[name][f"{kind}_up"] - band.varied[name][f"{kind}_down"]) / 2
        pull = np.sum(half * (true[name] - band.met[name])) / np.sum(half**2)
        assert pull == pytest.approx(0.8, abs=near), name


def test_nothing_is_counted_twice():
    for wanted in (["kinds", "jes"], ["photons", "unclustered"], ["pf=unclustered", "hf"], ["jes_FlavorQCD", "pf=hf"]):
        with pytest.raises(OptionError, match=r"systematics '\w+' and '\w+' of pf shift the same candidates"):
            make_estimators(["pf"], systematics=wanted, jerc="absent.json")
    for name in ("pf", "type1.PuppiMET"):
        for other in ("jes_FlavorQCD", "jes_regrouped"):
            with pytest.raises(OptionError, match=rf"'jes' is all sources: '{other}' beside it would count twice"):
                make_estimators([name], systematics=["jes", other], jerc="absent.json")
    (leptons,) = make_estimators(["pf"], systematics=["muons", "electrons", "unclustered"])
    assert leptons.systematics == ("muons", "electrons", "unclustered")


def test_what_cannot_be(source):
    with pytest.raises(UnknownName, match="systematic of pf 'photon', did you mean 'photons'"):
        make_estimators(["pf"], systematics=["photon"])
    with pytest.raises(OptionError, match="systematic 'jes' of puppi needs a file with the energy of jets: --jerc"):
        make_estimators(["puppi"], systematics=["jes"])
    (estimator,) = make_estimators(["pf"], systematics=["unclustered"])
    there = {f"PFCands_{name}" for name in ("pt", "eta", "phi", "pdgId")}
    with pytest.raises(ColumnError, match=r"'unclustered' of 'pf' needs Jet_pt, Jet_eta, Jet_phi, which a\.root"):
        estimator.require(there, "a.root")
    with pytest.raises(ColumnError, match="'pf' needs PFCands column 'pdgId'"):
        estimator.require(there - {"PFCands_pdgId"}, "a.root")
    assert "photons" in SYSTEMATICS
    assert pickle.loads(pickle.dumps(estimator)) == estimator
    assert estimator.manifest_entry() == {"name": "pf", "systematics": ["unclustered"]}


@pytest.fixture
def simulate(tmp_path, small_library):
    """The same events of Z → μμ in a detector with some other parameters."""
    pytest.importorskip("fastjet")
    from ptmiss import simulation

    def run(**overrides):
        path = tmp_path / f"{'-'.join(overrides) or 'nominal'}.root"
        return simulation.simulate("zmumu_fiducial", 100, 5, path, overrides=overrides).path

    return run


@pytest.mark.slow
def test_the_band_covers_a_wrong_scale_of_the_detector(simulate):
    """A calorimeter's scale is 10 % high, and so is the uncertainty: the shift of the events is that of the variation.

    The detector is simulated anew. A shower has other clusters and so other candidates then, hence the scatter.
    """
    names = ["pf", "deepmet"]
    nominal = simulate()
    for parameter, kind in (("ecal_scale", "photons"), ("hcal_scale", "neutral_hadrons"), ("hf_scale", "hf")):
        source, wrong = (events.inspect(str(path)).events() for path in (nominal, simulate(**{parameter: 1.1})))
        scales = DEFAULT._replace(**{kind: 0.1})
        band = [replace(each, scales=scales) for each in make_estimators(names, systematics=[kind])]
        expected, found = evaluate(band, source, source.Muon), evaluate(make_estimators(names), wrong, wrong.Muon)
        for name in names:
            half = (expected.varied[name][f"{kind}_up"] - expected.varied[name][f"{kind}_down"]) / 2
            products = np.sum(half * (found.met[name] - expected.met[name]), axis=1) / np.sum(half**2)
            slope, error = products.sum(), products.std() * np.sqrt(len(products))
            assert error < 0.6
            assert abs(slope - 1) < 3 * error
