import os
import threading
import uuid
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from ptmiss import events
from ptmiss.errors import FileError
from ptmiss.events import Generated, inspect

from .nano import write_nano


@pytest.fixture
def small(tmp_path):
    """A ROOT file with one event and no more than it needs."""
    path = tmp_path / "small.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"run": "uint32", "luminosityBlock": "uint32", "event": "uint64", "PV_npvs": "int32"})
        file["Events"].extend({"run": [1], "luminosityBlock": [1], "event": [1], "PV_npvs": [3]})
    return path


def test_what_is_in_a_real_file(pfnano):
    found = events.inspect(str(pfnano))
    assert (found.entries, found.format, found.tree) == (10, "root", "Events")
    assert {"PFCands_pt", "nPFCands", "RawMET_pt"} <= found.branches
    assert len(events.identifier(found.identity)) == 36


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pfnano", "drell_yan", "nano_v15"])
def test_real_files_are_read_without_a_warning(name, request):
    found = events.inspect(str(request.getfixturevalue(name)))
    source = found.events(1, 4)
    assert len(source) == 3
    assert len(ak.to_numpy(source.PV.npvs)) == 3


@pytest.mark.parametrize(("size", "limit"), [(3, None), (4, 7), (100, None), (1, 2)])
def test_ranges_cover_a_file_or_its_first_events(invented, size, limit):
    source = replace(events.inspect(str(invented)), entries=11)
    ranges = list(source.ranges(size, limit))
    assert [entry for start, stop in ranges for entry in range(start, stop)] == list(range(limit or 11))
    lengths = [stop - start for start, stop in ranges]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert [len(part) for part in source.chunks(size, limit)] == lengths
    assert list(replace(source, entries=0).ranges(size)) == []


def test_a_vertex_needs_no_position(small):
    assert events.inspect(str(small)).events().PV.npvs.tolist() == [3]


def test_globs_are_sorted_and_urls_pass(tmp_path):
    for name in ("b.root", "a.root", "c.txt"):
        (tmp_path / name).touch()
    found = events.expand([str(tmp_path / "*.root"), "root://host//x.root", "https://host/*.root"])
    assert found == [str(tmp_path / "a.root"), str(tmp_path / "b.root"), "root://host//x.root", "https://host/*.root"]


def test_a_name_with_brackets_is_a_name_if_it_is_there(tmp_path):
    path = tmp_path / "run[1].root"
    path.touch()
    assert events.expand([str(path)]) == [str(path)]


def test_no_such_file(tmp_path):
    for pattern in (tmp_path / "none.root", tmp_path):
        with pytest.raises(FileError, match="no such file"):
            events.expand([str(pattern)])
    with pytest.raises(FileError, match="no file matches"):
        events.expand([str(tmp_path / "*.root")])
    with pytest.raises(FileError, match="no such file"):
        events.inspect(str(tmp_path / "none.root"))


@pytest.mark.parametrize("length", [0, 50, 300, 0.5, 0.99])
def test_truncated_files(small, tmp_path, length):
    content = small.read_bytes()
    cut = tmp_path / "cut.root"
    cut.write_bytes(content[: length if isinstance(length, int) else int(length * len(content))])
    with pytest.raises(FileError, match=r"cut\.root is not a readable ROOT file"):
        events.inspect(str(cut))


@pytest.mark.parametrize("name", ["text.root", "text.parquet"])
def test_files_of_another_kind(tmp_path, name):
    (tmp_path / name).write_text("hello, I am text, and longer than a header would be" * 20)
    with pytest.raises(FileError, match=f"{name} is not a readable"):
        events.inspect(str(tmp_path / name))


def test_another_tree(small):
    with pytest.raises(FileError, match="has no tree 'Nope'; there: Events"):
        events.inspect(str(small), "Nope")


def test_xrootd_says_what_to_install():
    pytest.importorskip("fsspec")
    try:
        import fsspec_xrootd  # noqa: F401
    except ImportError:
        with pytest.raises(FileError, match="Install fsspec-xrootd"):
            events.inspect("root://host.invalid//store/x.root")


@contextmanager
def served(directory, ranges=True):
    """The address of a server of the files of a directory; ranges: whether it gives ranges of bytes."""
    import http.server

    kind = RangeHandler if ranges else http.server.SimpleHTTPRequestHandler
    handler = partial(kind, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_http(invented):
    with served(invented.parent) as address:
        found = events.inspect(f"{address}/{invented.name}")
        remote = found.events(3, 8).PFCands.pt.to_list()
    assert found.entries == 300
    assert remote == events.inspect(str(invented)).events(3, 8).PFCands.pt.to_list()


def test_what_a_server_cannot_do_is_said(small):
    with served(small.parent, ranges=False) as address, pytest.raises(FileError, match="no ranges of bytes; download"):
        events.inspect(f"{address}/{small.name}")
    with pytest.raises(FileError, match=r"Protocol not known: davs \(a plug-in of fsspec"):
        events.inspect("davs://there/a.root")


def test_remote_parquet_is_read_and_known_by_its_footer_and_time(tmp_path):
    path = tmp_path / "a.parquet"

    def written(*npv, when=1_700_000_000):
        ones = np.ones(len(npv), np.int64)
        table = {"run": ones, "luminosityBlock": ones, "event": np.arange(len(npv)), "PV_npvs": np.asarray(npv)}
        pq.write_table(pa.table(table), path)
        os.utime(path, (when, when))
        return events.inspect(f"{address}/a.parquet")

    with served(tmp_path) as address:
        one = written(3, 4, 5)
        assert one.events(1, 3).PV.npvs.tolist() == [4, 5]
        assert written(3, 4, 5).identity == one.identity
        others = [written(3, 4, 6), written(3, 4), written(3, 4, 5, when=1_700_000_100)]
    assert len({other.identity for other in (one, *others)}) == 4


def test_a_file_without_uuid_is_known_by_its_path_and_size(small, monkeypatch):
    source = uproot.open(small).file
    monkeypatch.setattr(type(source), "uuid", property(lambda _: uuid.UUID(int=0)))
    one = events.inspect(str(small)).identity
    copy = small.with_name("copy.root")
    copy.write_bytes(small.read_bytes())
    assert any(one)
    assert events.inspect(str(small)).identity == one != events.inspect(str(copy)).identity


def range_handler():
    import http.server

    class Handler(http.server.SimpleHTTPRequestHandler):
        """Answers requests for a range of bytes, as file servers of the field do."""

        def do_GET(self):
            from pathlib import Path

            content = Path(self.translate_path(self.path)).read_bytes()
            first, last = 0, len(content) - 1
            asked = self.headers.get("Range")
            if asked:
                start, stop = asked.removeprefix("bytes=").split("-")
                first, last = int(start), min(int(stop or last), last)
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            self.wfile.write(content[first : last + 1])

        def log_message(self, *_):
            pass

    return Handler


RangeHandler = range_handler()


@pytest.mark.parametrize("spelling", ["", "_"])
@pytest.mark.parametrize("sums", ["Runs", "LuminosityBlocks"])
def test_what_was_generated_is_summed_over_runs_in_every_spelling(tmp_path, spelling, sums):
    path = write_nano(tmp_path / "a.root", [2.0, -1.0], [(5, 7.0), (3, -1.5)], spelling=spelling, sums=sums)
    assert inspect(path).generated == Generated(8, 5.5)


@pytest.mark.slow
def test_what_was_generated_of_real_events(drell_yan, pfnano, nano_v15):
    found = inspect(str(drell_yan)).generated
    assert (found.events, found.sumw) == (850098, pytest.approx(1.5166686735858717e10, rel=1e-15))
    assert inspect(str(pfnano)).generated == Generated(10, 10.0)
    assert inspect(str(nano_v15)).generated is None


def test_the_kind_of_a_file_is_what_it_shows(tmp_path):
    assert inspect(write_nano(tmp_path / "a.root", [1.0])).kind == "mc"
    assert inspect(write_nano(tmp_path / "b.root", events=2, run=273158, runs=[(0, 0)])).kind == "data"
    assert inspect(write_nano(tmp_path / "c.root", events=2, run=273158)).kind is None
    assert inspect(write_nano(tmp_path / "d.root", events=2, runs=[(0, 0)])).kind is None
