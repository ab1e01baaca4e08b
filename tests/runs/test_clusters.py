"""Workers of dask: whom they trust, what they have, and what they are sent."""

import importlib
import io
import json
import logging
import os
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from ptmiss import results
from ptmiss.errors import Interrupted, OptionError
from ptmiss.runs import clusters, dependencies, pools

from .. import localqueue
from ..helpers import call
from ..invented import write_events

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_said_in_one_line():
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        client = Client(cluster)
        pool = clusters.Cluster(client)
        assert pool.size == 1
        future = pool.submit(time.sleep, 7200)
    with pytest.raises(Interrupted, match="scheduler is gone; the same command with --resume continues the run"):
        pool.diagnose(future.exception(600))
    pool.close()


@contextmanager
def scheduler(**options):
    """A scheduler with one worker in this process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0", **options
    ) as cluster:
        yield cluster.scheduler_address


def refusal(given, monkeypatch):
    """The line that says why there is no client."""
    monkeypatch.setattr(clusters, "ANSWER", 1)
    with pytest.raises(OptionError) as error, pools.pool("dask", 1, given):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.slow
def test_no_dask_scheduler_there(monkeypatch):
    assert "no dask scheduler answers at tcp://127.0.0.1:1" in refusal("tcp://127.0.0.1:1", monkeypatch)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Certificates of one authority for all, and of another."""
    import trustme

    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ours", "theirs"):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / f"{name}-ca.pem")
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
            folder / f"{name}.pem"
        )
    return folder


@pytest.fixture(scope="module")
def secure(certificates):
    """The address of a scheduler that knows our certificates alone."""
    from distributed.security import Security

    ca, own = str(certificates / "ours-ca.pem"), str(certificates / "ours.pem")
    whose = {f"tls_{role}_cert": own for role in ("scheduler", "worker", "client")}
    with scheduler(security=Security(require_encryption=True, tls_ca_file=ca, **whose), protocol="tls://") as place:
        yield place


def file_of(folder, place, ca="ours-ca.pem", certificate="ours.pem"):
    path = folder / "queue.toml"
    path.write_text(f'system = "dask"\naddress = "{place}"\nca = "{ca}"\ncertificate = "{certificate}"\n')
    return str(path)


@pytest.mark.slow
def test_a_scheduler_with_certificates(certificates, secure):
    assert secure.startswith("tls://")
    with pools.pool("dask", 1, file_of(certificates, secure)) as pool:
        assert pool.size == 1
        assert pool.submit(len, "four").result(600) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ca": "theirs-ca.pem"}, "certificate verify failed"),
        ({"certificate": "theirs.pem"}, "no dask scheduler answers at tls://"),
        ({"certificate": "none.pem"}, "no such certificate or key: "),
        ({"ca": "ours.pem.txt"}, "no such certificate or key: "),
    ],
)
def test_certificates_that_are_not_trusted_are_one_line(files, words, certificates, secure, monkeypatch):
    assert words in refusal(file_of(certificates, secure, **files), monkeypatch)


class Workers:
    """A dask client whose workers answer what they are told to."""

    dashboard_link = "http://a:8787"

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def nthreads(self):
        return dict.fromkeys(self.answers, 2)

    def run(self, function, packages, workers, on_error):
        self.asked.append(workers)
        return {name: self.answers[name] or function(packages) for name in workers}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (clusters.environment() | {"numpy": "1.0"}, r"the worker b has numpy 1.0, this process 2.*: expected the same"),
        (clusters.environment() | {"torch": None, "numpy": "1.0"}, "has numpy 1.0"),
        ({k: v for k, v in clusters.environment().items() if k != "hist"}, "has hist not at all, this process"),
        (
            ModuleNotFoundError("No module named 'ptmiss'"),
            "the worker b cannot import ptmiss: ModuleNotFoundError: No mod",
        ),
    ],
)
def test_a_worker_with_other_packages_is_refused(answer, words):
    clusters.require_same_versions(Workers(b=clusters.environment()), ["b"])
    with pytest.raises(OptionError, match=words):
        clusters.require_same_versions(Workers(b=answer), ["b"])


def test_packages_that_a_processor_imports_count_too():
    found = clusters.environment(["pytest", "nonsense"])
    assert found["pytest"] == pytest.__version__
    assert "nonsense" not in found


def test_lines_of_dask_itself_are_not_seen(caplog):
    pool = clusters.Cluster(Workers(a=None))
    logging.getLogger("distributed.scheduler").error("Task marked as failed because 4 workers died")
    assert pool.size == 2
    assert not caplog.records


def test_each_worker_is_asked_once_and_later_ones_as_they_come():
    client = Workers(a=None)
    pool = clusters.Cluster(client, remote=True)
    assert (pool.size, pool.size, client.asked) == (2, 2, [["a"]])
    client.answers |= {"b": None, "c": OSError("gone")}
    assert pool.size == 6
    assert client.asked == [["a"], ["b", "c"]]
    client.answers["d"] = {"python": "2.7"}
    with pytest.raises(OptionError, match="the worker d has"):
        _ = pool.size


def test_workers_that_do_not_come_are_told_now_and_then(monkeypatch, caplog):
    now = iter([0, 50, 70, 80, 200, 210, 300])
    monkeypatch.setattr(clusters, "time", SimpleNamespace(monotonic=lambda: next(now)))
    client = Workers()
    pool = clusters.Cluster(client, state=lambda: "7 PENDING Resources")
    for _ in range(4):
        assert pool.size == 0
    client.answers["a"] = None
    assert pool.size == 2
    client.answers.clear()
    assert pool.size == 0
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "no worker for 70 s: 7 PENDING Resources",
        "no worker for 130 s: 7 PENDING Resources",
        "no worker for 90 s: 7 PENDING Resources",
    ]


USER = """
from coffea.processor import ProcessorABC


class Mine(ProcessorABC):
    def process(self, events):
        from mylib.deep import cuts  # only here, where a worker has to find it

        return {"count": {"events": cuts.counted(events)}}

    def postprocess(self, total):
        return total
"""


@pytest.fixture
def user(tmp_path):
    """A processor's file, and beside it a package that it imports."""
    folder = tmp_path / "mine"
    (folder / "mylib" / "deep").mkdir(parents=True)
    (folder / "mine.py").write_text(USER)
    (folder / "mylib" / "__init__.py").write_text("FACTOR = 3\n")
    (folder / "mylib" / "deep" / "__init__.py").write_text("")
    cuts = "from .. import FACTOR\n\n\ndef counted(events):\n    return FACTOR * len(events)\n"
    (folder / "mylib" / "deep" / "cuts.py").write_text(cuts)
    yield folder / "mine.py"
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mylib", "ptmiss_user_mine")]:
        del sys.modules[name]
    sys.path[:] = [place for place in sys.path if place != str(folder)]


def test_what_a_processor_imports_is_in_an_archive(user):
    from ptmiss.runs.runner import find_processor

    archive = dependencies.archive(dependencies.of(find_processor(str(user))()))
    names = dependencies.names(archive)
    assert {"mylib", "mylib.deep", "mylib.deep.cuts"} <= set(names)
    assert not any(name.startswith(("coffea", "ptmiss.", "numpy")) for name in names)


def test_a_worker_imports_what_the_last_run_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for factor in (5, 7):
        content = io.BytesIO()
        with ZipFile(content, "w") as archive:
            archive.writestr("mylib_of_test/__init__.py", f"FACTOR = {factor}")
        clusters.Modules(content.getvalue()).setup(SimpleNamespace(local_directory=str(tmp_path)))
        assert factor == importlib.import_module("mylib_of_test").FACTOR
        assert len([place for place in sys.path if clusters.MODULES in place]) == 1
    del sys.modules["mylib_of_test"]


@pytest.mark.slow
def test_jobs_import_what_the_processor_imports(user, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    commands = localqueue.install(tmp_path / "bin", tmp_path / "jobs.log")
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    (tmp_path / "queue.toml").write_text('system = "slurm"\nmemory = "1GB"\n')
    write_events(tmp_path / "z.root", 20)
    (tmp_path / "fileset.json").write_text(json.dumps({"z": [str(tmp_path / "z.root")]}))
    files = ["--fileset", tmp_path / "fileset.json", "--output", tmp_path / "out"]
    call("run", user, *files, "--executor", "dask", "--scheduler", tmp_path / "queue.toml")
    assert results.load(tmp_path / "out").manifest["datasets"]["z"]["count"]["events"] == 60
