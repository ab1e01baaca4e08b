import awkward as ak
import numpy as np
import pytest
import uproot

import ptmiss
from ptmiss import events, sample
from ptmiss import significance as sig
from ptmiss.candidates import Candidates
from ptmiss.errors import ColumnError, FileError, OptionError, UnknownName
from ptmiss.estimators import Estimator, evaluate, make_estimators
from ptmiss.estimators.noise import fit_noise, parts_of
from ptmiss.processors.validation import Validation
from ptmiss.recoil import cartesian
from ptmiss.scales import resolution


def one_event():
    columns = {"pt": [10.0, 20.0, 40.0], "eta": [0.0, 1.0, 2.0], "phi": [0.0, np.pi / 2, 0.0], "pdgId": [130, 211, 13]}
    return Candidates({name: np.array(values) for name, values in columns.items()}, np.array([0, 3]))


def test_the_covariance_of_three_candidates_by_hand():
    """Half of a neutral hadron, a track, and a selected muon, along x, y and x."""
    made = sig.parts(one_event(), np.array([0.5, -1.0, 1.0]), np.array([False, False, True]))
    hadron, track, muon = resolution(one_event().columns) * np.array([5.0, 20.0, 40.0])
    np.testing.assert_allclose(made.leptons[0], [[muon**2, 0], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(made.resolution[0], [[hadron**2, 0], [0, track**2]], atol=1e-12)
    np.testing.assert_allclose(made.momenta[0], [[25, 0], [0, 400]], atol=1e-12)
    np.testing.assert_allclose(made.doubt[0], [[0.25 * 100, 0], [0, 0]], atol=1e-12)
    assert made.activity[0] == pytest.approx(25)
    x = muon**2 + 2 * hadron**2 + 0.2 * 25 + 3 * 25 + 0.1 * 25 + 4
    y = 2 * track**2 + 0.2 * 400 + 0.1 * 25 + 4
    np.testing.assert_allclose(sig.covariance(made, sig.Noise(2.0, 0.2, 3.0, 0.1, 4.0))[0], np.diag([x, y]), atol=1e-12)


def test_the_significance_is_the_form_of_the_inverse():
    rng = np.random.default_rng(1)
    root, met = rng.normal(size=(50, 2, 2)), rng.normal(size=(50, 2))
    matrix = root @ np.swapaxes(root, 1, 2)
    expected = [m @ np.linalg.solve(c, m) for m, c in zip(met, matrix, strict=True)]
    np.testing.assert_allclose(sig.significance(met, matrix), expected, rtol=1e-6)
    assert np.isnan(sig.significance(met[:1], np.zeros((1, 2, 2)))).all()


def gaussian(n, noise, seed):
    """Parts of n events, and pTmiss drawn with their covariance."""
    rng = np.random.default_rng(seed)
    matrices = [root @ np.swapaxes(root, 1, 2) for root in rng.normal(0, 4, (4, n, 2, 2))]
    made = sig.Parts(0.01 * matrices[0], *matrices[1:], rng.gamma(5, 40, n))
    return np.einsum("nij,nj->ni", np.linalg.cholesky(sig.covariance(made, noise)), rng.normal(size=(n, 2))), made


def test_it_follows_chi2_of_two_degrees_and_the_fit_finds_the_noise():
    noise = sig.Noise(1.5, 0.8, 0.5, 0.2, 30.0)
    met, made = gaussian(20_000, noise, seed=2)
    values = sig.significance(met, sig.covariance(made, noise))
    assert values.mean() == pytest.approx(2, abs=0.05)
    assert values.var() == pytest.approx(4, abs=0.3)
    counts = np.histogram(sig.probability(values), 10, (0, 1))[0]
    assert np.sum((counts - 2000) ** 2 / 2000) < 30  # nine degrees
    np.testing.assert_allclose(sig.fit(met, made), noise, rtol=0.25)
    with pytest.raises(OptionError, match="needs 20 events or more, not 5"):
        sig.fit(met[:5], made.part(slice(5)))


def test_the_fit_leaves_its_start_and_finds_what_is_not_there():
    met, made = gaussian(5_000, sig.Noise(0.0, 0.0, 0.0, 0.5, 10.0), seed=3)
    found = sig.fit(met, made)
    assert found.activity == pytest.approx(0.5, rel=0.15)
    assert max(found[:3]) < 0.2


@pytest.fixture(scope="module")
def with_both_muons():
    source = events.inspect(str(sample.events("zmumu"))).events()
    muons = source.Muon[source.Muon.pt > 15]
    both = ak.num(muons) == 2
    return source[both], muons[both]


def test_simulated_events_without_true_pt_miss(with_both_muons):
    """The shipped numbers come from other events; docs/significance.py has many."""
    found = evaluate(make_estimators("pf,puppi,deepmet,linear", significance="shipped"), *with_both_muons)
    for name in found.met:
        values = found.significance(name)
        assert values.mean() == pytest.approx(2, abs=4 * 2 / np.sqrt(len(values)))
        assert 0.1 < np.mean(sig.probability(values) < 0.5) < 0.9
    with pytest.raises(UnknownName, match="estimator with a significance 'track'"):
        found.significance("track")


def test_numbers_of_ones_own_are_fitted_written_and_read(with_both_muons, tmp_path):
    estimators = make_estimators("puppi,deepmet")
    noise = fit_noise(estimators, *with_both_muons)
    sig.write(tmp_path / "noise.json", noise, sample="zmumu")
    assert sig.read(tmp_path / "noise.json") == noise
    (puppi,) = make_estimators("puppi", significance=tmp_path / "noise.json")
    made = evaluate([puppi], *with_both_muons).covariance["puppi"]
    parts = parts_of(estimators[0], *with_both_muons)
    np.testing.assert_allclose(made, sig.covariance(parts, noise["puppi"]), rtol=1e-6)
    assert puppi.manifest_entry()["significance"] == noise["puppi"]._asdict()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file of significance"),
        ("{}", "is no file of significance: 'noise'"),
        ("no", "is no file of sign"),
    ],
)
def test_a_file_that_is_another(content, message, tmp_path):
    if content:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(FileError, match=message):
        sig.read(tmp_path / "a.json")


def test_estimators_without_a_significance():
    with pytest.raises(UnknownName, match="numbers for its significance 'mlpf'"):
        make_estimators("mlpf", significance="shipped")
    with pytest.raises(OptionError, match="'own' has no significance: sums over candidates and stored METs have one"):
        Own().with_significance({})


class Own(Estimator):
    name = "own"


def test_it_is_in_tables_friends_and_histograms(tmp_path):
    path = sample.events("zmumu")
    chosen = make_estimators("pf,deepmet", significance="shipped", systematics=["pf=hf"])
    ptmiss.skim([path], tmp_path / "t.parquet", chosen, friend=tmp_path / "friends")
    rows = ptmiss.read_table(tmp_path / "t.parquet")
    assert rows.estimators == ["pf", "deepmet"]
    covariance = sig.matrices(*(rows[f"met_deepmet_cov{element}"].astype(float) for element in ("XX", "XY", "YY")))
    expected = sig.significance(rows.met("deepmet"), covariance)
    np.testing.assert_allclose(rows["met_deepmet_significance"], expected, rtol=1e-4)
    assert not [column for column in rows.only(["pf"]).data.column_names if "deepmet" in column]
    with uproot.open(f"{tmp_path / 'friends' / 'zmumu.root'}:Friends") as tree:
        np.testing.assert_array_equal(tree["ptmiss_pf_significance"].array(), rows["met_pf_significance"])
    out = Validation(chosen).process(events.inspect(str(path)).events())["significance"]
    counts = np.histogram(rows["met_pf_significance"], out.axes["significance"].edges)[0]
    np.testing.assert_array_equal(out["nominal", "pf", :].values(), counts)
    assert list(out.axes["systematic"]) == ["nominal", "hf_up", "hf_down"]


@pytest.mark.slow
def test_what_nanoaod_stores(shared):
    path = shared / "analysis" / "nano" / "nano_tt_v15.root"
    if not path.is_file():
        pytest.skip(f"no {path}")
    source = events.inspect(str(path)).events()
    for name in ("PFMET", "PuppiMET"):
        found = sig.stored(source, name)
        met = cartesian(ak.to_numpy(source[name].pt), ak.to_numpy(source[name].phi))
        ours = sig.significance(met, found.covariance)
        assert np.median(np.abs(ours / found.significance - 1)) < 0.01
        (met,) = make_estimators(f"stored.{name}", significance="shipped")
        evaluated = evaluate([met], source, source.Muon)
        np.testing.assert_allclose(evaluated.significance(met.name), ours, rtol=1e-6)
    with pytest.raises(ColumnError, match="DeepMETResolutionTune has no significance, covXX"):
        sig.stored(source, "DeepMETResolutionTune")
    (met,) = make_estimators("stored.DeepMETResolutionTune", significance="shipped")
    with pytest.raises(
        ColumnError, match=r"a\.root has no DeepMETResolutionTune_significance, .*: NanoAOD stores them"
    ):
        met.require({f"{met.branch}_pt", f"{met.branch}_phi"}, "a.root")
