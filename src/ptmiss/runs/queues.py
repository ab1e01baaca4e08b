"""Where workers of dask are: jobs that a small file describes, for HTCondor or Slurm, or a scheduler that runs already.

dask-jobqueue submits the jobs:

.. code-block:: toml

    system = "htcondor"            # or "slurm"
    jobs = 20                      # at most
    cores = 4                      # of each job: as many workers, with one thread each
    memory = "8GB"                 # of each job
    disk = "4GB"                   # of each job, HTCondor
    walltime = "02:00:00"          # of each job, Slurm
    queue = "standard"             # partition, Slurm
    account = "cms"
    prologue = ["source /cvmfs/sft.cern.ch/lcg/views/setup.sh"]
    directives = { "+JobFlavour" = '"longlunch"' }   # HTCondor; a list of options for Slurm

A scheduler has an address; with ``tls://`` certificates in PEM files, which are looked for beside this one:

.. code-block:: toml

    system = "dask"
    address = "tls://dask.cern.ch:8786"
    ca = "ca.pem"                  # of whom the scheduler's certificate is
    certificate = "me.pem"         # by which the scheduler knows this client
    key = "me.key"                 # if it is not in the file of the certificate
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from ptmiss.errors import OptionError, UnknownName
from ptmiss.files import AnyPath, as_path, userfiles
from ptmiss.processes import THREADS


class JobQueue(BaseModel):
    """The jobs to submit to a queue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: Literal["htcondor", "slurm"]
    jobs: int = Field(1, gt=0, description="at most so many")
    cores: int = Field(1, gt=0, description="of each job: as many workers, with one thread each")
    memory: ByteSize = Field(ByteSize(2_000_000_000), description="of each job")
    disk: ByteSize = Field(ByteSize(1_000_000_000), description="of each job, HTCondor")
    walltime: str | None = Field(None, pattern=r"^(\d+-)?\d+:\d\d:\d\d$", description="of each job, Slurm")
    queue: str | None = Field(None, description="partition, Slurm")
    account: str | None = None
    python: str = Field(sys.executable, description="the interpreter on the workers, with ptmiss installed")
    prologue: tuple[str, ...] = Field((), description="shell commands before the worker starts")
    directives: dict[str, str] | list[str] = Field(default_factory=list, description="further lines of the job")

    @property
    def options(self) -> dict[str, Any]:
        """The options of dask-jobqueue's cluster class."""
        threads = [f"export {name}=1" for name in THREADS]
        shared = {
            "cores": self.cores,
            "processes": self.cores,
            "memory": f"{self.memory / 1e9:g}GB",
            "python": self.python,
            "job_script_prologue": [*self.prologue, *threads],
            "scheduler_options": {"dashboard_address": ":0"},  # its usual port may be taken
        }
        if self.system == "htcondor":
            return shared | {"disk": f"{self.disk / 1e9:g}GB", "job_extra_directives": self.directives or {}}
        own = {"queue": self.queue, "account": self.account, "walltime": self.walltime}
        given = {name: value for name, value in own.items() if value is not None}
        return shared | given | {"job_extra_directives": self.directives}

    def cluster(self) -> Any:
        """A dask cluster that submits jobs while there is work for them.

        OptionError without dask-jobqueue, and if the system does not take the first job.
        """
        cluster = self.make_cluster()
        try:
            cluster.worker_spec.update(cluster.new_worker_spec())
            cluster.sync(cluster._correct_state)  # adapt and scale tell nobody of a failure
        except (RuntimeError, OSError) as error:
            cluster._created.clear()  # or it would not close: the job never was
            cluster.close()
            raise OptionError(f"{self.system} does not take the job: {str(error).strip().splitlines()[-1]}") from error
        cluster.adapt(minimum_jobs=1, maximum_jobs=self.jobs)
        return cluster

    def state(self, cluster: Any) -> str:
        """What the system says of the jobs of a cluster, in a line."""
        jobs = [str(job.job_id) for job in cluster.workers.values() if getattr(job, "job_id", None)]
        command = {"slurm": ["squeue", "--noheader", "--format=%i %T %r", f"--jobs={','.join(jobs)}"]}
        command["htcondor"] = ["condor_q", *jobs, "-af:j", "JobStatus", "HoldReason"]
        if not jobs:
            return "no job is in the queue"
        try:
            said = subprocess.run(command[self.system], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            return f"{' '.join(command[self.system])}: {error}"
        return "; ".join((said.stdout or said.stderr).split("\n")).strip("; ") or f"{self.system} says nothing of it"

    def make_cluster(self) -> Any:
        """The cluster without any jobs."""
        try:
            dask_jobqueue = import_module("dask_jobqueue")
        except ImportError as error:
            raise OptionError("a job queue needs dask-jobqueue: pip install 'ptmiss[jobqueue]'") from error
        kinds = {"htcondor": dask_jobqueue.HTCondorCluster, "slurm": dask_jobqueue.SLURMCluster}
        return kinds[self.system](**self.options)


class Scheduler(BaseModel):
    """A dask scheduler that runs already."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: Literal["dask"] = "dask"
    address: str = Field(description="tcp://HOST:PORT or tls://HOST:PORT")
    ca: Path | None = Field(None, description="certificate of the authority, PEM")
    certificate: Path | None = Field(None, description="certificate of this client, PEM")
    key: Path | None = Field(None, description="key of this client, PEM, if it is not beside the certificate")

    def security(self) -> Any:
        """Certificates for dask; None without TLS. OptionError for a file that is not there."""
        if not self.address.startswith("tls://"):
            return None
        from distributed.security import Security

        given = {"tls_ca_file": self.ca, "tls_client_cert": self.certificate, "tls_client_key": self.key}
        for path in (path for path in given.values() if path is not None and not path.is_file()):
            raise OptionError(f"no such certificate or key: {path}")
        return Security(require_encryption=True, **{name: str(path) for name, path in given.items() if path})

    def beside(self, folder: Path) -> Scheduler:
        """With files that are looked for in a folder."""
        places = {name: folder / path for name in ("ca", "certificate", "key") if (path := getattr(self, name))}
        return self.model_copy(update=places)


SYSTEMS = ("htcondor", "slurm", "dask")


def read(path: AnyPath) -> JobQueue | Scheduler:
    """Read the file of a job queue or of a scheduler; OptionError names the first mistake in it."""
    content = userfiles.content(path, "job queue")
    system = content.get("system") if isinstance(content, dict) else None
    if isinstance(system, str) and system not in SYSTEMS:
        raise UnknownName(f"system in {path}", system, SYSTEMS)
    if system == "dask":
        found = userfiles.validate(Scheduler, content, f"{path}: ", OptionError)
        return found.beside(as_path(path).parent)
    return userfiles.validate(JobQueue, content, f"{path}: ", OptionError)
