import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest

from ptmiss import sample, table
from ptmiss.errors import ColumnError, FileError, LedgerError, OptionError, UnknownName


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


def test_the_rapidity_of_a_boson_is_a_column_where_it_is_known(tmp_path):
    known = columns() | {"boson_rapidity": np.array([-1.0, 0.5, np.nan, 2.0])}
    loaded = table.read(written(tmp_path / "t.parquet", known))
    np.testing.assert_array_equal(loaded["boson_rapidity"], known["boson_rapidity"])
    assert loaded["boson_rapidity"].dtype == np.float32
    others = table.rows(known).column_names
    without = table.of_dataset(table.rows(columns()), "old", ["new", "old"], others=others)
    assert np.isnan(without["boson_rapidity"].to_numpy()).all()
    assert set(without.column_names) == {*others, "dataset"}


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
    with pytest.raises(FileError, match="is a directory without recoil tables"):
        table.read(tmp_path)
    with pytest.raises(FileError, match=r"no recoil table matches .*/\*.parquet"):
        table.read(tmp_path / "*.parquet")
    (tmp_path / "text.parquet").write_text("text" * 100)
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
    assert repr(found) == "20750 events, pTmiss by pf, puppi, track, deepmet, deepmet_response, deepmet_local, linear"
    assert found._repr_html_().count("<tr") == table.storage.SHOWN + 1


def whole(n=200):
    """Columns of several batches' worth of events, when a batch is small."""
    return columns(n) | {"row_of_test": np.arange(n)}


def split(folder, made, *names, provenance=()):
    """The same rows in several files."""
    edges = np.linspace(0, len(made["run"]), len(names) + 1).astype(int)
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with table.writing(folder / name) as writer:
            writer.write(table.rows({key: values[edges[i] : edges[i + 1]] for key, values in made.items()}))
            writer.close(provenance[i] if provenance else {})
    return folder


def test_a_table_on_disk_has_the_rows_of_its_files_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(table.storage, "BATCH", 17)
    made = whole()
    one = table.read(written(tmp_path / "one.parquet", made))
    split(tmp_path / "many", made, "a.parquet", "b/c.parquet", "d.parquet")
    (tmp_path / "many" / ".hidden.parquet").write_text("not read")
    (tmp_path / "many" / "x.parts").mkdir()
    (tmp_path / "many" / "x.parts" / "y.parquet").write_text("not read")
    given = [
        tmp_path / "many",
        str(tmp_path / "many" / "**" / "[a-d]*.parquet"),
        sorted(tmp_path.rglob("[a-d].parquet")),
    ]
    for source in given:
        stored = table.open_table(source)
        assert len(stored) == 200
        assert stored.estimators == one.estimators
        assert stored.read().data.equals(one.data)
        batches = list(stored.batches(["event", "met_pf_pt"]))
        assert max(len(batch) for batch in batches) <= 2 * 17
        assert batches[0].columns == ["event", "met_pf_pt"]
        np.testing.assert_array_equal(np.concatenate([batch.row for batch in batches]), np.arange(200))
        np.testing.assert_array_equal(np.concatenate([batch["event"] for batch in batches]), one["event"])


def test_names_of_folders_are_columns(tmp_path):
    split(tmp_path, whole(20), "dataset=z/a.parquet", "dataset=w/b.parquet")
    stored = table.open_table(tmp_path)
    assert stored.columns[-1] == "dataset"
    assert stored.read()["dataset"].tolist() == ["w"] * 10 + ["z"] * 10


def about(kind="mc", scale=1.0, **ledger):
    empty = {"listed": 10, "events": 10, "sumw": 5.0, "skipped": [], "generated": None, "duplicates": {}}
    return {"metadata": {"kind": kind}, "scale": scale, "ledger": {**empty, "same_sections": {}, **ledger}}


def test_datasets_of_a_table_on_disk_are_those_of_one_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(table.storage, "BATCH", 7)
    parts = [table.of_dataset(table.rows(columns(30)), name, ["z", "d"]) for name in ("d", "z", "d")]
    with table.writing(tmp_path / "t.parquet") as writer:
        for part in parts:
            writer.write(part)
        writer.close({"datasets": {"z": about(), "d": about("data")}})
    stored = table.open_table(tmp_path / "t.parquet")
    for found, expected in zip(
        stored.apart().values(), table.read(tmp_path / "t.parquet").apart().values(), strict=True
    ):
        assert found.read().data.equals(expected.data)
        np.testing.assert_array_equal(found.read().row, expected.row)
        assert (len(found), found.provenance) == (len(expected), expected.provenance)
    assert stored.of("d").columns == [name for name in stored.columns if not name.startswith("gen")]
    with pytest.raises(OptionError, match="holds data and simulation"):
        stored.of()


def test_ledgers_of_tables_made_apart_add_up(tmp_path):
    generated = {"files": 1, "of": 1, "events": 40, "sumw": 20.0, "elsewhere": 0.0}
    made = [{"datasets": {"z": about()}}, {"datasets": {"z": about(generated=generated), "d": about("data")}}]
    split(tmp_path, columns(20), "a.parquet", "b.parquet", provenance=made)
    ledger = table.open_table(tmp_path).datasets["z"]["ledger"]
    assert (ledger["listed"], ledger["events"], ledger["sumw"]) == (20, 20, 10.0)
    assert ledger["generated"] == {"files": 1, "of": 2, "events": None, "sumw": 20.0, "elsewhere": 5.0}
    assert list(table.open_table(tmp_path).datasets) == ["z", "d"]


@pytest.mark.parametrize(
    ("records", "error", "words"),
    [
        ([{"datasets": {"z": about()}}] * 2, LedgerError, "a.parquet and .*b.parquet are the same rows"),
        ([{"datasets": {"z": about(scale=s)}} for s in (2.0, 3.0)], LedgerError, "each scaled to a luminosity"),
        (
            [{"datasets": {"z": about(kind)}} for kind in ("data", "mc")],
            LedgerError,
            "say something else of dataset 'z'",
        ),
        (
            [{"selection": {"preset": name}} for name in ("zmumu", "zee")],
            OptionError,
            "were made with other selections",
        ),
    ],
)
def test_files_that_do_not_go_together(tmp_path, records, error, words):
    split(tmp_path, columns(20), "a.parquet", "b.parquet", provenance=records)
    with pytest.raises(error, match=words):
        table.open_table(tmp_path)


def test_files_with_other_columns_do_not_go_together(tmp_path):
    written(tmp_path / "a.parquet", columns())
    written(tmp_path / "b.parquet", columns(truth=False))
    with pytest.raises(ColumnError, match=r"a.parquet has columns that .*b.parquet has not: genmet_pt"):
        table.open_table(tmp_path)


def test_a_flipped_bit_gives_no_other_numbers(tmp_path):
    """Pages of values have checksums; the few bytes of headers and of the footer, which have none, are left alone."""
    path = written(tmp_path / "t.parquet", columns(3000))
    whole, content = table.read(path).data, path.read_bytes()
    wrong = noticed = 0
    for place in np.random.default_rng(2).integers(4, len(content) - 12_000, 80):
        path.write_bytes(content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :])
        try:
            wrong += not table.read(path).data.equals(whole)
        except FileError:
            noticed += 1
    assert (wrong, noticed > 70) == (0, True)
