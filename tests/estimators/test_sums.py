"""Sums over candidates: the photon that is the boson counts with weight one, whatever PUPPI takes it for."""

import awkward as ak
import numpy as np
import pytest

from ptmiss import events, sample
from ptmiss.candidates import Candidates
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.estimators.sums import mark_photons

NAMES = ["pf", "puppi", "track"]


@pytest.fixture(scope="module")
def source():
    found = events.inspect(str(sample.events("gammajet"))).events()
    return found[ak.num(found.Photon) > 0]


@pytest.fixture(scope="module")
def photons(source):
    """The hardest photon of each event, and the candidate with its direction."""
    hardest = source.Photon[:, :1]
    fields = {name: hardest[name] for name in ("pt", "eta", "phi")}
    candidates = source.PFCands[source.PFCands.pdgId == 22]
    nearest = ak.argmin(
        np.hypot(candidates.eta - hardest.eta[:, 0], candidates.phi - hardest.phi[:, 0]), axis=1, keepdims=True
    )
    return ak.zip({**fields, "pdgId": ak.full_like(fields["pt"], 22, dtype=np.int32)}), candidates[nearest]


def test_the_photon_counts_once_in_every_sum(source, photons):
    leptons, candidate = photons
    plain, found = (evaluate(make_estimators(NAMES), source, of).met for of in (leptons[:, :0], leptons))
    momentum = ak.flatten(candidate.pt * np.exp(1j * ak.values_astype(candidate.phi, float))).to_numpy()
    weights = {"pf": 1.0, "puppi": ak.flatten(candidate.puppiWeight).to_numpy(), "track": 0.0}
    assert np.mean(weights["puppi"] < 0.9) > 0.02
    for name, weight in weights.items():
        moved = found[name] - plain[name]
        expected = -(1 - weight) * momentum
        assert moved[:, 0] + 1j * moved[:, 1] == pytest.approx(expected, abs=2e-3)


def test_a_network_beside_them_changes_no_sum(source, photons):
    with_network = evaluate(make_estimators([*NAMES, "linear"]), source[:5], photons[0][:5]).met
    alone = evaluate(make_estimators(NAMES), source[:5], photons[0][:5]).met
    for name in NAMES:
        np.testing.assert_array_equal(with_network[name], alone[name])


def test_selected_leptons_are_not_marked():
    candidates = Candidates({"pdgId": np.array([22, 13, 22], np.int32)}, np.array([0, 3]))
    assert mark_photons(candidates, np.array([True, True, False]))["isBoson"].tolist() == [True, False, False]
