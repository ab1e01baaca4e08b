"""Stands in for the commands of a job queue: a submitted job starts at once on this machine.

Under the names ``sbatch`` and ``condor_submit`` it takes a job's file and says the job's number, a process group; under
``scancel`` and ``condor_rm`` it ends the jobs of these numbers.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

COMMANDS = ("sbatch", "scancel", "condor_submit", "condor_rm")


def install(directory, log):
    """Put the commands into a directory, to be found first on the PATH; what jobs print goes to a file."""
    directory.mkdir()
    for name in COMMANDS:
        command = directory / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} {log} "$@"\n')
        command.chmod(0o755)
    return directory


def condor_arguments(text):
    """Arguments of a submit file in HTCondor's quoting."""
    quoted = re.search(r'^Arguments = "(.*)"$', text, re.MULTILINE)[1].replace('""', '"')
    return shlex.split(quoted.replace("''", "'\"'\"'"))


def main(name, log, *arguments):
    if name in ("scancel", "condor_rm"):
        for number in arguments:
            with suppress(ProcessLookupError):
                os.killpg(int(float(number)), signal.SIGTERM)
        return
    script = Path(arguments[-1]).read_text()
    job = ["/bin/bash", "-c", script] if name == "sbatch" else ["/bin/sh", *condor_arguments(script)]
    with Path(log).open("a") as printed:
        process = subprocess.Popen(
            job, stdout=printed, stderr=printed, stdin=subprocess.DEVNULL, start_new_session=True
        )
    said = "Submitted batch job {}" if name == "sbatch" else "1 job(s) submitted to cluster {}."
    print(said.format(process.pid))


if __name__ == "__main__":
    main(*sys.argv[1:])
