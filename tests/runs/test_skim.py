import awkward as ak
import numpy as np
import pandas as pd
import pytest

from ptmiss import events, table
from ptmiss.errors import ColumnError
from ptmiss.estimators import make_estimators
from ptmiss.recoil import cartesian
from ptmiss.runs import fileset
from ptmiss.runs.skim import skim


def test_rows_are_the_events_in_their_order(invented, tmp_path):
    made = skim(
        fileset.parse({"z": [str(invented)]}), make_estimators(["pf", "puppi"]), tmp_path / "t.parquet", chunksize=77
    )
    rows = table.read(tmp_path / "t.parquet")
    assert rows["event"].tolist() == list(range(1, 301))
    assert rows.provenance["metrics"]["entries"] == made["metrics"]["entries"] == 300
    assert [e["name"] for e in rows.provenance["estimators"]] == ["pf", "puppi"]
    assert rows.provenance["datasets"]["z"]["files"][0]["path"] == str(invented)


def test_chunk_size_changes_nothing(invented, tmp_path):
    files = fileset.parse({"z": [str(invented)]})
    for size in (300, 41):
        skim(files, make_estimators(["pf", "track"]), tmp_path / f"{size}.parquet", chunksize=size)
    one, other = (table.read(tmp_path / f"{size}.parquet").data.to_pandas() for size in (300, 41))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_real_events_agree_with_what_cms_stored(pfnano, tmp_path):
    names = ["pf", "stored.RawMET", "stored.PuppiMET"]
    skim(fileset.parse({"qcd": [str(pfnano)]}), make_estimators(names), tmp_path / "t.parquet")
    rows = table.read(tmp_path / "t.parquet")
    np.testing.assert_allclose(rows["met_pf_pt"], rows["met_stored.RawMET_pt"], rtol=0.01)
    source = events.inspect(str(pfnano)).events()
    np.testing.assert_allclose(rows.vector("genmet"), cartesian(source.GenMET.pt, source.GenMET.phi), rtol=1e-4)
    np.testing.assert_array_equal(rows["npv"], ak.to_numpy(source.PV.npvs))


def test_a_missing_column_leaves_nothing_behind(drell_yan, tmp_path):
    with pytest.raises(ColumnError, match="needs PF candidates"):
        skim(fileset.parse({"dy": [str(drell_yan)]}), make_estimators(["pf"]), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []
