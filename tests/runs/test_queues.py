import os
import socket
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

from ptmiss.errors import FileError, OptionError, PtmissError
from ptmiss.runs import queues

HTCONDOR = """
system = "htcondor"
jobs = 20
cores = 4
memory = "8GB"
disk = "4GB"
prologue = ["source setup.sh"]
directives = { "+JobFlavour" = '"longlunch"' }
"""
SLURM = """
system = "slurm"
cores = 2
memory = "4GB"
walltime = "02:00:00"
queue = "standard"
account = "cms"
directives = ["--constraint=haswell"]
"""


@pytest.fixture
def script(tmp_path):
    """What would be handed to the queue."""
    pytest.importorskip("dask_jobqueue")
    made = []

    def write(text):
        (tmp_path / "queue.toml").write_text(text)
        made.append(queues.read(tmp_path / "queue.toml").make_cluster())
        return made[-1].job_script()

    yield write
    for cluster in made:
        cluster.close()


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def test_a_job_of_htcondor(script):
    lines = script(HTCONDOR)
    for part in ("MY.DaskWorkerCores = 4", "MY.DaskWorkerMemory = 8000000000", "MY.DaskWorkerDisk = 4000000000"):
        assert part in lines
    assert '+JobFlavour = "longlunch"' in lines
    assert "source setup.sh; export OMP_NUM_THREADS=1" in lines
    assert "--nthreads 1 " in lines
    assert "--nworkers 4 " in lines
    assert sys.executable in lines


def test_the_usual_port_of_the_dashboard_may_be_taken(script):
    """Dask would warn, and warnings are errors here."""
    with socket.socket() as taken:
        with suppress(OSError):  # by another
            taken.bind(("", 8787))
            taken.listen()
        assert script(SLURM)


def test_htcondor_itself_reads_the_job(script):
    """By the parser of ``condor_submit``, which is in HTCondor's package for Python."""
    htcondor = pytest.importorskip("htcondor2")
    job = htcondor.Submit(script(HTCONDOR))
    assert job["MY.JobFlavour"] == '"longlunch"'
    assert job["MY.DaskWorkerCores"] == "4"
    assert job.expand("Executable") == "/bin/sh"
    assert job.expand("Arguments").startswith("\"-c 'source setup.sh; export OMP_NUM_THREADS=1; ")


def test_a_job_of_slurm(script):
    lines = script(SLURM).splitlines()
    for option in ("-p standard", "-A cms", "--cpus-per-task=2", "-t 02:00:00", "--constraint=haswell"):
        assert f"#SBATCH {option}" in lines
    assert "export NUMBA_NUM_THREADS=1" in lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('system = "pbs"', "unknown system in"),
        ("jobs = 2", "system: Field required"),
        ('system = "dask"', "address: Field required"),
        ('system = "dask"\naddress = "tls://a:1"\ncert = "a"', "cert: unknown key"),
        ('system = "slurm"\nmemmory = "2GB"', "memmory: unknown key, did you mean 'memory'?; known: system, jobs"),
        ('system = "slurm"\ncores = 0', "cores: Input should be greater than 0"),
        ('system = "slurm"\nwalltime = "2h"', "walltime: String should match"),
        ('system = "slurm"\nmemory = "much"', "memory: could not parse value and unit"),
        ("system = ", "is not TOML"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, message):
    (tmp_path / "queue.toml").write_text(text)
    with pytest.raises(PtmissError, match=r"queue\.toml") as error:
        queues.read(tmp_path / "queue.toml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_such_file(tmp_path):
    with pytest.raises(FileError, match="no such job queue"):
        queues.read(tmp_path / "none.toml")
    with pytest.raises(FileError, match="cannot read job queue"):
        queues.read(tmp_path)


REFUSAL = "sbatch: error: Batch job submission failed: Invalid partition name specified"


def commands(folder, monkeypatch, **scripts):
    """Commands of a batch system, found before all others."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_a_job_that_the_system_does_not_take_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    commands(tmp_path / "bin", monkeypatch, sbatch=f"echo first >&2; echo '{REFUSAL}' >&2; exit 1")
    queue = queues.JobQueue.model_validate({"system": "slurm", "queue": "nope"})
    with pytest.raises(OptionError) as error:
        queue.cluster()
    assert str(error.value) == f"slurm does not take the job: {REFUSAL}"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OptionError, match=r"slurm does not take the job: .*No such file or directory: 'sbatch'"):
        queue.cluster()


def test_what_the_system_says_of_jobs_that_do_not_start(tmp_path, monkeypatch):
    commands(tmp_path / "bin", monkeypatch, squeue='echo "7 PENDING Resources"; echo "8 PENDING Priority"')
    queue = queues.JobQueue.model_validate({"system": "slurm"})
    cluster = SimpleNamespace(workers={0: SimpleNamespace(job_id="7"), 1: SimpleNamespace(job_id="8")})
    assert queue.state(cluster) == "7 PENDING Resources; 8 PENDING Priority"
    assert queue.state(SimpleNamespace(workers={})) == "no job is in the queue"
    other = queues.JobQueue.model_validate({"system": "htcondor"})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "condor_q 7 8 -af:j JobStatus HoldReason: " in other.state(cluster)


def test_without_dask_jobqueue(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(OptionError, match=r"pip install 'ptmiss\[jobqueue\]'"):
        queues.JobQueue(system="slurm").make_cluster()
