"""Real files of full simulation."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "shared/data/analysis/edm4hep"
CLD, CLIC = FOLDER / "cld_fullsim_output_jettags.root", FOLDER / "clic_gamma_10GeV_k4Clue.root"
needs_cld = pytest.mark.skipif(not CLD.is_file(), reason=f"no {CLD}")
needs_clic = pytest.mark.skipif(not CLIC.is_file(), reason=f"no {CLIC}")
