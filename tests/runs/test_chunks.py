import io
import json
import pickle
import zipfile
from dataclasses import replace

import hist
import numpy as np
import pyarrow as pa
import pytest

from ptmiss.errors import FileError, OptionError
from ptmiss.runs.chunks import Chunk, ChunkStore, concatenate, pack, storable, unpack

from ..malice import PICKLE


def chunk(seed=0, events=5):
    rng = np.random.default_rng(seed)
    weighted = hist.Hist.new.StrCat([], name="x", growth=True).Reg(5, 0, 1, name="y").Weight()
    weighted.fill(rng.choice(["a", "b", "c"], 50), rng.normal(0.5, 0.4, 50), weight=rng.normal(1, 1, 50))
    rows = pa.table({"met": rng.normal(size=events).astype(np.float32), "event": np.arange(events)})
    out = {"z": 1, "h": weighted, "flow": {"all": 0.1 + seed}, "rows": rows, "a/b": hist.Hist.new.Int(0, 3).Int64()}
    metrics = {"entries": events, "columns": ["a", f"b{seed}"], "processtime": 0.5, "bytesread": 10}
    return Chunk(
        out,
        events,
        0.1 * events,
        np.sort(rng.integers(0, 2**63, events).astype(np.uint64)),
        np.arange(9, dtype=np.uint64),
        metrics,
    )


def assert_equal(one, other):
    assert list(one.out) == list(other.out)
    for name, value in one.out.items():
        assert other.out[name] == value, name
    assert (one.events, one.sumw, one.metrics) == (other.events, other.sumw, other.metrics)
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.sections, other.sections)


def test_round_trip():
    assert_equal(unpack(pack(chunk()).content), chunk())


def test_what_a_processor_may_return():
    assert storable("flow", {"all": [1.0, 2.0]}) == {"all": [1.0, 2.0]}
    with pytest.raises(OptionError, match="output 'x' of the processor cannot be stored"):
        storable("x", np.zeros(3))


def test_a_chunk_is_the_same_before_it_is_on_disk():
    packed = pack(replace(chunk(), out={"n": {1: (2, 3)}}))
    assert packed.chunk.out == unpack(packed.content).out == {"n": {"1": [2, 3]}}


def test_parts_are_joined_in_order():
    one, other = chunk(0), chunk(1, events=3)
    whole = concatenate([one, other])
    assert whole.events == 8
    assert whole.out["h"].sum(flow=True).value == pytest.approx(
        one.out["h"].sum(flow=True).value + other.out["h"].sum(flow=True).value
    )
    assert whole.out["rows"].num_rows == 8
    assert whole.out["rows"]["event"].to_pylist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert whole.metrics == {"entries": 8, "columns": ["a", "b0", "b1"], "processtime": 1.0, "bytesread": 20}
    assert np.all(np.diff(whole.ids.astype(float)) >= 0)
    assert_equal(one, chunk(0))


def test_a_store_gives_back_what_it_was_given(tmp_path):
    store = ChunkStore(tmp_path / "chunks")
    assert "one" not in store
    assert store.load("one") is None
    store.save("one", pack(chunk()).content)
    assert "one" in store
    assert_equal(store.load("one"), chunk())
    np.testing.assert_array_equal(store.ids("one"), chunk().ids)


def test_a_store_keeps_what_it_is_told(tmp_path):
    store = ChunkStore(tmp_path)
    for name in ("one", "other"):
        store.save(name, b"x")
    (tmp_path / ".one.zip.abcdef.zip").write_bytes(b"half")
    store.keep({"one"})
    assert [path.name for path in tmp_path.iterdir()] == ["one.zip"]


def test_a_chunk_that_is_cut_anywhere_is_not_there(tmp_path):
    store, content = ChunkStore(tmp_path), pack(chunk()).content
    for length in (*range(0, len(content), 5), *range(len(content) - 100, len(content))):
        store.path("cut").write_bytes(content[:length])
        assert store.load("cut") is None, length


def test_a_chunk_with_a_wrong_byte_is_not_there_or_the_same(tmp_path):
    """Zip archives have bytes that nobody reads; a change of any other is noticed."""
    store, content = ChunkStore(tmp_path), pack(chunk()).content
    for place in range(0, len(content), 11):
        changed = bytearray(content)
        changed[place] ^= 0x55
        store.path("wrong").write_bytes(changed)
        found = store.load("wrong")
        if found is not None:
            assert_equal(found, chunk())


def test_a_store_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot write"):
        ChunkStore(tmp_path / "file").save("one", b"")


def with_member(content, name, value):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n, old in members.items():
            archive.writestr(n, value if n == name else old)
    return out.getvalue()


def pickled_array():
    """An npy file whose array is a pickle."""
    from ..malice import Evil

    content = io.BytesIO()
    np.save(content, np.array([Evil()], object), allow_pickle=True)
    return content.getvalue()


@pytest.mark.parametrize("evil", [PICKLE, pickled_array()], ids=["pickle", "array of objects"])
def test_a_pickle_in_any_place_is_not_loaded(tmp_path, evil):
    store, content = ChunkStore(tmp_path), pack(chunk()).content
    store.path("all").write_bytes(evil)
    assert store.load("all") is None
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert set(names) == {"chunk.json", "ids.npy", "sections.npy", "3.parquet", "histograms.zip.zst"}
    for name in names:
        store.path("part").write_bytes(with_member(content, name, evil))
        assert store.load("part") is None, name


@pytest.mark.parametrize("evil", [PICKLE, pickled_array()], ids=["pickle", "array of objects"])
def test_a_pickle_among_the_histograms_is_not_loaded(tmp_path, evil):
    store, content = ChunkStore(tmp_path), pack(chunk()).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        about, packed = json.loads(archive.read("chunk.json")), archive.read("histograms.zip.zst")
    inner = pa.decompress(packed, about["histograms"], "zstd", asbytes=True)
    names = zipfile.ZipFile(io.BytesIO(inner)).namelist()
    assert "1_storage_values.npy" in names
    for name in names:
        changed = with_member(inner, name, evil)
        outer = with_member(content, "chunk.json", json.dumps({**about, "histograms": len(changed)}))
        outer = with_member(outer, "histograms.zip.zst", pa.compress(changed, "zstd", asbytes=True))
        store.path("part").write_bytes(outer)
        assert store.load("part") is None, name


def test_a_chunk_travels_as_the_content_of_its_file():
    packed = pack(chunk())
    arrived = pickle.loads(pickle.dumps(packed))
    assert len(pickle.dumps(packed)) < len(packed.content) + 200
    assert_equal(arrived.chunk, packed.chunk)


def test_a_chunk_says_what_it_holds():
    with zipfile.ZipFile(io.BytesIO(pack(chunk()).content)) as archive:
        about = json.loads(archive.read("chunk.json"))
    assert about["outputs"][:2] == [["z", "json", 1], ["h", "histogram", None]]
