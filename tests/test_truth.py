import awkward as ak
import numpy as np
import pytest

from ptmiss import events, truth


def particle(pdg_id, pt, eta=0.0, phi=0.0, status=1, flags=1):
    return {"pdgId": pdg_id, "pt": pt, "eta": eta, "phi": phi, "status": status, "statusFlags": flags}


def event(*particles):
    return ak.Array([{"GenPart": list(particles)}])


def test_w_boson_is_neutrino_and_dressed_lepton():
    w = event(
        particle(13, 40.0),
        particle(-14, 30.0, phi=np.pi / 2),
        particle(22, 5.0, eta=0.05),
        particle(22, 7.0, eta=0.5),  # too far
        particle(13, 9.0, flags=0),  # not prompt
        particle(24, 50.0, status=62),
    )
    np.testing.assert_allclose(truth.generated_boson(w), [[45, 30]], atol=1e-6)


def test_z_boson_is_two_leptons():
    z = event(particle(13, 40.0), particle(-13, 30.0, phi=np.pi))
    np.testing.assert_allclose(truth.generated_boson(z), [[10, 0]], atol=1e-5)


@pytest.mark.parametrize("number", [0, 1, 3, 4])
def test_another_number_of_leptons_makes_no_boson(number):
    assert np.isnan(truth.generated_boson(event(particle(22, 1.0), *[particle(12, 10.0)] * number))).all()


def test_data_have_no_truth():
    data = ak.Array([{"run": 1}, {"run": 1}])
    assert not truth.has_truth(data)
    assert np.isnan(truth.generated_boson(data)).all()
    assert np.isnan(truth.generated_met(data)).all()


def test_the_boson_of_real_drell_yan_events_is_near_the_generated_z(drell_yan):
    source = events.inspect(str(drell_yan)).events()
    boson = truth.generated_boson(source)
    particles = source.GenPart
    z = particles[(particles.pdgId == 23) & ((particles.statusFlags & (1 << 13)) != 0)]
    known = np.isfinite(boson[:, 0]) & ak.to_numpy(ak.num(z) == 1)
    assert known.sum() > 5
    pt = ak.to_numpy(z.pt[known][:, 0])
    assert np.median(np.abs(np.hypot(*boson[known].T) - pt)) < 0.5  # GeV: photons outside the cone


def test_pseudo_data_keep_their_truth_to_themselves(invented):
    source = events.inspect(str(invented)).events()
    assert truth.has_truth(source)
    source.metadata["kind"] = "data"
    assert not truth.has_truth(source)
    assert np.isnan(truth.generated_met(source)).all()
