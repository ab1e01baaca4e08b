"""Makes data/particles.npz, the frozen collisions that the tests use instead of Pythia.

Run ``python tests/simulation/make_particles.py``. Momenta keep 10 mantissa bits, which makes the file small.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ptmiss.simulation import generator
from ptmiss.simulation.schema import Branch, cut

SAMPLES = {
    "minbias": (generator.MINIMUM_BIAS, 60),
    "zmumu": (generator.PROCESSES["zmumu"], 10),
    "ttbar": (generator.PROCESSES["ttbar_dilepton"], 3),
}
SHORT = Branch("", "float32", "", "", bits=10)


def main() -> None:
    arrays = {}
    for seed, (name, (process, n)) in enumerate(SAMPLES.items(), start=1):
        events = generator.generate(process, n, seed)
        parts = {"particles": events.library.particles, "history": events.history}
        for part, record in parts.items():
            for field, column in record._asdict().items():
                arrays[f"{name}_{part}_{field}"] = cut(column, SHORT) if column.dtype.kind == "f" else column
        arrays |= {
            f"{name}_offsets": events.library.offsets,
            f"{name}_weight": events.weight,
            f"{name}_invisible": events.invisible,
        }
    np.savez_compressed(Path(__file__).parent / "data" / "particles.npz", **arrays)


if __name__ == "__main__":
    main()
