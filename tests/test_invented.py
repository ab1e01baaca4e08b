import awkward as ak
import numpy as np

from ptmiss import events
from ptmiss.estimators import evaluate, make_estimators

from . import invented


def test_the_same_seed_gives_the_same_events(tmp_path):
    for name in ("a", "b"):
        invented.write_events(tmp_path / f"{name}.root", 20, seed=7)
    a, b = (events.inspect(str(tmp_path / f"{name}.root")).events() for name in ("a", "b"))
    assert ak.all(a.PFCands.pt == b.PFCands.pt)
    assert ak.all(a.Muon.phi == b.Muon.phi)


def test_the_muons_make_the_boson():
    rng = np.random.default_rng(0)
    muons, boson = invented.z_to_mumu(rng, 5000)
    px, py = (ak.to_numpy(ak.sum(muons["pt"] * f(muons["phi"]), axis=1)) for f in (np.cos, np.sin))
    np.testing.assert_allclose(np.stack([px, py], axis=1), boson, atol=0.05)
    energy = muons["pt"] * np.cosh(muons["eta"])
    pz = ak.sum(muons["pt"] * np.sinh(muons["eta"]), axis=1)
    mass = np.sqrt(ak.to_numpy(ak.sum(energy, axis=1) ** 2 - pz**2) - px**2 - py**2)
    assert np.median(mass) == np.clip(np.median(mass), 90.8, 91.6)


def test_puppi_is_better_than_pf_and_both_know_the_recoil(tmp_path):
    invented.write_events(tmp_path / "a.root", 300)
    source = events.inspect(str(tmp_path / "a.root")).events()
    mets = evaluate(make_estimators(["pf", "puppi"]), source, source.Muon[:, :0]).met
    spread = {name: np.std(met) for name, met in mets.items()}
    assert 5 < spread["puppi"] < spread["pf"] < 40
