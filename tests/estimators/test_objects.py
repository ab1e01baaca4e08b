import awkward as ak
import numpy as np
import pytest

from ptmiss.errors import ColumnError, OptionError
from ptmiss.estimators import Estimator, evaluate, make_estimators, objects

ONE = {"pt": 50.0, "eta": 0.1, "phi": 0.0}
FAR = {"pt": 20.0, "eta": 2.0, "phi": np.pi / 2}


@pytest.fixture
def source():
    photons = [{**ONE, "electronIdx": -1}, {**FAR, "electronIdx": 0}]
    none = ak.Array([[{**ONE, "pdgId": 13}]])[:, :0]
    return ak.zip(
        {
            "Muon": ak.Array([[{**ONE, "pdgId": 13}, {**FAR, "pdgId": -13}]]),
            "Electron": ak.Array([[FAR]]),
            "Photon": ak.Array([photons]),
            "PuppiMET": ak.Array([{"pt": 10.0, "phi": 0.0}]),
            "None": none,
        },
        depth_limit=1,
    )


def test_each_object_moves_pt_miss_against_itself(source):
    """Muons by 0.2 %, electrons by 1.5 % beyond the barrel, photons by 1 % within; one is an electron too."""
    expected = {"muons": [-0.1, -0.04], "electrons": [0, -0.3], "photons": [-0.5, 0]}
    for name, shift in expected.items():
        np.testing.assert_allclose(objects.shift(source, name)[0], shift, atol=1e-12)


def test_stored_mets_have_them(source):
    (estimator,) = make_estimators("stored.PuppiMET", systematics=["muons", "electrons"])
    result = evaluate([estimator], source, source["None"])
    np.testing.assert_allclose(result.varied["stored.PuppiMET"]["muons_up"][0], [9.9, -0.04], atol=1e-12)
    np.testing.assert_allclose(result.varied["stored.PuppiMET"]["electrons_down"][0], [10, 0.3], atol=1e-12)
    there = {"PuppiMET_pt", "PuppiMET_phi", *(f"Muon_{name}" for name in ("pt", "eta", "phi"))}
    with pytest.raises(ColumnError, match=r"'electrons' of 'stored\.PuppiMET' needs Electron_pt, Electron_eta"):
        estimator.require(there, "a.root")


def test_an_estimator_without_systematics_says_so():
    class Own(Estimator):
        name = "own"

    with pytest.raises(OptionError, match="estimator 'own' has no systematics, so none of jes, hf: name those"):
        Own().vary(["jes", "hf"])
