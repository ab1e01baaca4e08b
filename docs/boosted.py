"""Response and widths of Z + jet at all pile-up, each event once: docs/deepmet.png.

ptmiss simulate zmumu_boosted -n 12000 --seed 9107 --pileup 40 --set pileup_spread=18 --output boosted.root
ptmiss skim boosted.root --estimators pf,puppi,deepmet,deepmet_local --raw-weights --output boosted.parquet
python docs/boosted.py boosted.parquet
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

import ptmiss

DOCS = Path(__file__).parent
LABEL = "CMS-like simulation (13 TeV)"
ESTIMATORS = ("pf", "puppi", "deepmet", "deepmet_local")


def unweighted(table: ptmiss.RecoilTable) -> ptmiss.RecoilTable:
    """A table whose events count once each."""
    place, ones = table.data.column_names.index("weight"), pa.array(np.ones(len(table)))
    return replace(table, data=table.data.set_column(place, "weight", ones))


if __name__ == "__main__":
    read = unweighted(ptmiss.read_table(sys.argv[1]).only(ESTIMATORS))
    read = read.select((read["boson_pt"] > 20) & (read["boson_pt"] < 350))
    with tempfile.TemporaryDirectory() as directory:
        overview, *_ = ptmiss.resolution(read).draw(directory, label=LABEL)
        shutil.copy(overview, DOCS / "deepmet.png")
    print(len(read), ptmiss.compare(read, ["puppi", "deepmet"], by=()).round(3).to_string())
