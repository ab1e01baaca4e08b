import awkward as ak
import numpy as np
import pytest

from ptmiss import candidates as pf_candidates
from ptmiss import events, sample
from ptmiss import significance as sig
from ptmiss.candidates import Candidates
from ptmiss.errors import ColumnError, OptionError
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.recoil import cartesian
from ptmiss.scales import resolution


def one_event():
    columns = {"pt": [10.0, 20.0], "eta": [0.0, 1.0], "phi": [0.0, np.pi / 2], "pdgId": [130, 22]}
    return Candidates({name: np.array(values) for name, values in columns.items()}, np.array([0, 2]))


def test_the_covariance_of_two_candidates_by_hand():
    made = sig.parts(one_event(), np.array([0.5, -1.0]))
    first, second = resolution(one_event().columns) * np.array([5.0, 20.0])
    np.testing.assert_allclose(made.resolution[0], [[first**2, 0], [0, second**2]], atol=1e-12)
    assert made.activity[0] == pytest.approx(25)
    full = sig.covariance(made, sig.Noise(2.0, 0.1, 3.0))[0]
    np.testing.assert_allclose(full, np.diag([2 * first**2 + 5.5, 2 * second**2 + 5.5]), atol=1e-12)


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
    root = rng.normal(0, 4, (n, 2, 2))
    made = sig.Parts(root @ np.swapaxes(root, 1, 2), rng.gamma(5, 40, n))
    return np.einsum("nij,nj->ni", np.linalg.cholesky(sig.covariance(made, noise)), rng.normal(size=(n, 2))), made


def test_it_follows_chi2_of_two_degrees_and_the_fit_finds_the_noise():
    noise = sig.Noise(1.5, 0.2, 30.0)
    met, made = gaussian(20_000, noise, seed=2)
    values = sig.significance(met, sig.covariance(made, noise))
    assert values.mean() == pytest.approx(2, abs=0.05)
    assert values.var() == pytest.approx(4, abs=0.3)
    counts = np.histogram(sig.probability(values), 10, (0, 1))[0]
    assert np.sum((counts - 2000) ** 2 / 2000) < 30  # nine degrees
    np.testing.assert_allclose(sig.fit(met, made), noise, rtol=0.25)
    with pytest.raises(OptionError, match="needs 20 events or more, not 5"):
        sig.fit(met[:5], made)


def of_sample(estimator):
    """PTmiss without the true one of Z → μμ, and the parts of its covariance."""
    source = events.inspect(str(sample.events("zmumu"))).events()
    made = estimator.covariance_parts(pf_candidates.read(source, {*estimator.columns, "pt", "eta", "phi", "pdgId"}))
    truth = cartesian(ak.to_numpy(source.GenMET.pt), ak.to_numpy(source.GenMET.phi))
    return evaluate([estimator], source, source.Muon).met[estimator.name] - truth, made


@pytest.mark.parametrize("name", ["pf", "puppi", "deepmet", "linear"])
def test_simulated_events_without_true_pt_miss(name):
    """The noise is fitted on every other event; the others have a chi² of two degrees."""
    met, made = of_sample(make_estimators([name])[0])
    half = lambda start: (met[start::2], sig.Parts(made.resolution[start::2], made.activity[start::2]))
    noise = sig.fit(*half(0))
    rest, parts = half(1)
    values = sig.significance(rest, sig.covariance(parts, noise))
    assert values.mean() == pytest.approx(2, abs=1.0)  # 30 events: 0.37 is one standard deviation
    assert 0.2 < np.mean(sig.probability(values) < 0.5) < 0.8


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
    with pytest.raises(ColumnError, match="DeepMETResolutionTune has no significance, covXX"):
        sig.stored(source, "DeepMETResolutionTune")
