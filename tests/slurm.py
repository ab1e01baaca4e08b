"""A Slurm of one node on this machine, for tests: its own ports, keys and folders, all of it stopped at the end.

Needs root and Debian's ``slurmctld slurmd slurm-client munge``.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager

START = 120  # s for the daemons to come up
COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "sinfo", "squeue")
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=2
InactiveLimit=0
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=standard Nodes={host} Default=YES MaxTime=01:00:00 State=UP OverSubscribe=FORCE:4
"""


class NotUp(Exception):  # noqa: N818  (nothing is wrong)
    """The daemons do not come up on this machine."""


def missing():
    """Why there can be no Slurm here; None if there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    without = [name for name in COMMANDS if not shutil.which(name)]
    return f"no {', '.join(without)} here (slurmctld slurmd slurm-client munge of Debian)" if without else None


@contextmanager
def cluster(folder):
    """Environment of commands that talk to a Slurm in a folder."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(host=host, folder=folder, ports=free_ports(2), cpus=os.cpu_count()))
    environment = {**os.environ, "SLURM_CONF": str(config), "DASK_JOBQUEUE__SLURM__INTERFACE": "lo"}
    munge = ["--socket", folder / "munge.socket", "--pid-file", folder / "munge.pid", "--seed-file", folder / "seed"]
    daemons = {
        "munged": ["--foreground", "--force", "--key-file", key, "--log-file", folder / "munge.log", *munge],
        "slurmctld": ["-D", "-f", config],
        "slurmd": ["-D", "-f", config, "-N", host],
    }
    with ExitStack() as stack:
        for name, arguments in daemons.items():
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            command = [shutil.which(name), *map(str, arguments)]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            stack.callback(stop, process)
            if name == "munged":
                wait_for(lambda: (folder / "munge.socket").exists(), folder, START, NotUp)
        wait_for(lambda: "idle" in call(environment, "sinfo", "--noheader", "--format=%T"), folder, START, NotUp)
        try:
            yield environment
        finally:
            call(environment, "scancel", "--user=root")
            wait_for(lambda: not call(environment, "squeue", "--noheader"), folder)


def call(environment, *command):
    """What a command prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


def wait_for(condition, folder, seconds=600, error=AssertionError):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
            raise error(f"it never came to that:\n{logs}")
        time.sleep(0.2)


def stop(process):
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
