"""The shipped weights give today what they gave when they were measured: values of stored events, and quoted gains."""

from pathlib import Path

import numpy as np
import pytest

from ptmiss import sample, table
from ptmiss.candidates import CATEGORIES, Candidates
from ptmiss.networks.features import FEATURES
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.registry import load_model
from ptmiss.resolutions import comparison
from ptmiss.segments import from_counts

STORED = Path(__file__).parent / "data" / "candidates.npz"

EXPECTED = {
    "deepmet": [[3.716, 1.282], [0.141, 12.999], [-4.94, 7.95], [72.315, -89.88]],
    "deepmet_local": [[1.959, 1.886], [5.215, 7.896], [-4.191, 11.633], [66.229, -87.533]],
    "deepmet_local_response": [[4.03, 2.637], [-2.042, 6.71], [-9.872, 3.045], [67.727, -100.863]],
    "deepmet_particles": [[4.523, 1.83], [4.363, 6.646], [-5.302, 16.089], [66.928, -79.78]],
    "deepmet_particles_response": [[8.153, 1.726], [-5.711, 10.478], [-5.436, 7.539], [70.954, -92.155]],
    "deepmet_response": [[6.472, -3.814], [-4.659, 14.917], [-8.134, -0.173], [69.434, -105.948]],
    "deepmet_v2": [[2.494, 1.069], [0.524, 11.617], [-4.535, 10.318], [70.892, -88.695]],
    "linear": [[6.245, 2.859], [-5.367, 13.555], [-4.055, 9.651], [64.648, -87.401]],
}
"""px and py of pTmiss, GeV, of two Z → μμ, a boosted one, and a top pair, with all candidates weighted."""

OF_LATENTS = {
    "deepmet_latent": [[-7.897, -36.355], [4.221, -5.636], [34.292, -32.927], [-4.681, -8.492]],
    "deepmet_latent_response": [[-10.858, -43.833], [0.457, -6.312], [39.712, -37.635], [-4.932, -9.246]],
}
"""The same of the first embedded Z → μμ, with candidates and latents of ``mlpf``, which rounds on each machine."""

QUOTED = {"deepmet": (0.160, 0.185), "linear": (0.135, 0.155)}
"""How much sharper than PUPPI the embedded Z → μμ are, par and perp; the errors are 0.008."""


@pytest.fixture(scope="module")
def stored():
    with np.load(STORED) as file:
        columns = {name: file[name] for name in (*FEATURES[:6], "phi")}
        columns |= {name: file[name].astype(np.int32) for name in CATEGORIES}
        return Inputs.from_candidates(Candidates(columns, from_counts(file["counts"])))


@pytest.mark.parametrize("name", EXPECTED)
def test_ptmiss_of_stored_events(stored, name):
    np.testing.assert_allclose(load_model(name).evaluate(stored), EXPECTED[name], atol=5e-3)


@pytest.fixture(scope="module")
def of_mlpf():
    pytest.importorskip("torch")
    from ptmiss.estimators import reconstruction
    from ptmiss.models.deepmet import dataset
    from ptmiss.models.deepmet.network import LAYOUTS

    path, columns = str(sample.events("zmumu")), LAYOUTS["latents"].columns
    made = dataset.read([path], 4, made_by=reconstruction.build("mlpf"), columns=columns)
    return Inputs(made.features, made.categories, made.offsets, made.latents)


@pytest.mark.parametrize("name", OF_LATENTS)
def test_ptmiss_of_candidates_with_latents(of_mlpf, name):
    np.testing.assert_allclose(load_model(name).evaluate(of_mlpf), OF_LATENTS[name], atol=0.05)


def test_gains_over_puppi_are_those_that_are_quoted():
    found = comparison.of_table(table.read(sample.recoil("zmumu")), ["puppi"], replicas=0).set_index("estimator")
    for name, (par, perp) in QUOTED.items():
        assert found.loc[name, "rms_par_vs_puppi"] == pytest.approx(par, abs=0.02)
        assert found.loc[name, "rms_perp_vs_puppi"] == pytest.approx(perp, abs=0.02)
