import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from ptmiss import sample, table
from ptmiss.errors import ColumnError, FileError, UnknownName


def columns(n=4, truth=True):
    rng = np.random.default_rng(0)
    out = {name: rng.integers(1, 50, n) for name in table.EVENT_COLUMNS}
    out |= table.polar("boson", rng.normal(0, 30, (n, 2))) | {"boson_mass": np.full(n, 91.2)}
    out |= table.polar("met_pf", rng.normal(0, 20, (n, 2))) | table.polar("met_stored.MET", rng.normal(0, 20, (n, 2)))
    vectors = {"genmet": np.zeros((n, 2)), "genboson": np.ones((n, 2)), "genseen": np.ones((n, 2))}
    generated = [table.polar(name, vector) for name, vector in vectors.items()] if truth else []
    return out | {name: column for polar in generated for name, column in polar.items()}


def written(path, *parts):
    with table.writing(path) as writer:
        for part in parts:
            writer.write(table.rows(part))
        writer.close({"how": "by hand"})
    return path


def test_columns_and_types_are_those_of_the_contract(tmp_path):
    frame = pd.read_parquet(written(tmp_path / "t.parquet", columns()))
    assert list(frame.columns) == [
        *("run", "luminosityBlock", "event", "weight", "npv", "njets"),
        *("boson_pt", "boson_phi", "boson_mass", "lepton_pt", "lepton_phi"),
        *("met_pf_pt", "met_pf_phi", "met_stored.MET_pt", "met_stored.MET_phi"),
        *("genmet_pt", "genmet_phi", "genboson_pt", "genboson_phi", "genseen_pt", "genseen_phi"),
    ]
    assert frame["event"].dtype == np.uint64
    assert frame["met_pf_pt"].dtype == np.float32
    assert "genmet_pt" not in pd.read_parquet(written(tmp_path / "d.parquet", columns(truth=False)))


def test_round_trip_of_vectors_and_provenance(tmp_path):
    first, second = columns(4), columns(3)
    loaded = table.read(written(tmp_path / "t.parquet", first, second))
    assert len(loaded) == 7
    assert loaded.provenance == {"how": "by hand"}
    assert loaded.estimators == ["pf", "stored.MET"]
    expected = np.concatenate([c["met_pf_pt"] for c in (first, second)])
    np.testing.assert_allclose(np.hypot(*loaded.met("pf").T), expected, rtol=1e-6)
    assert len(loaded.select(np.arange(7) < 2)) == 2


def test_a_failure_leaves_no_table(tmp_path):
    path = tmp_path / "t.parquet"
    with pytest.raises(ZeroDivisionError), table.writing(path) as writer:
        writer.write(table.rows(columns(1 // 0)))
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_there(tmp_path):
    loaded = table.read(written(tmp_path / "t.parquet", columns()))
    with pytest.raises(UnknownName, match="estimator in the table 'puppi'"):
        loaded.met("puppi")
    with pytest.raises(ColumnError, match="no column 'nonsense'; there: run"):
        loaded["nonsense"]


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(FileError, match="no such recoil table"):
        table.read(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("text" * 100)
    with pytest.raises(FileError, match="is a directory, expected a recoil table"):
        table.read(tmp_path)
    with pytest.raises(FileError, match="is not a readable parquet file"):
        table.read(tmp_path / "text.parquet")
    pd.DataFrame({"run": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(ColumnError, match="is not a recoil table: it has no column luminosityBlock"):
        table.read(tmp_path / "other.parquet")


def test_provenance_is_in_the_file_for_other_readers(tmp_path):
    metadata = pyarrow.parquet.read_metadata(written(tmp_path / "t.parquet", columns())).metadata
    assert metadata[b"ptmiss"] == b'{"how": "by hand"}'


def test_only_some_estimators():
    columns = {f"met_{name}_{part}": [1.0] for name in ("pf", "puppi", "track") for part in ("pt", "phi")}
    found = table.RecoilTable(pyarrow.table({"npv": [20], **columns}), {}).only(["puppi", "pf"])
    assert found.estimators == ["pf", "puppi"]
    assert found["npv"].tolist() == [20]


def test_what_is_shown_of_a_table():
    found = table.read(sample.recoil("zmumu"))
    assert repr(found) == "20750 events, pTmiss by pf, puppi, track, deepmet, deepmet_response, linear"
    assert found._repr_html_().count("<tr") == table.SHOWN + 1
