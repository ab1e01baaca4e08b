"""The code blocks of a page of the documentation, and a session that runs them as a reader would.

``python`` blocks share one session, ``sh`` blocks run in bash (those of ``ptmiss`` alone in this process), a block with
``:caption: name`` is a file of that name, and a ``text`` block is what the block before it prints at the end. All of it
in one directory. A comment ``<!-- not run: why -->`` before a block leaves it out.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from ptmiss.cli import cli

BLOCK = re.compile(
    r"(?P<skip><!-- not run: [^\n]+ -->\n+)?"
    r"^```(?:\{code-block\} )?(?P<language>\w+)\n(?::caption: (?P<file>\S+)\n\n)?(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

SHELL = set("|&;<>$`")
"""What bash has to see to."""


@dataclass(frozen=True)
class Block:
    """One block: its language, its code, the file it is to be written to, and the line where it begins."""

    language: str
    code: str
    file: str | None
    line: int


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page that are not left out."""
    for found in BLOCK.finditer(text):
        if not found["skip"]:
            line = text.count("\n", 0, found.start("code")) + 1
            yield Block(found["language"], found["code"], found["file"], line)


class Session:
    """Runs blocks one after the other in a directory, which is the working directory."""

    def __init__(self, page: Path, directory: Path):
        self.page, self.directory = page, directory
        self.names: dict[str, object] = {"__name__": "__main__"}
        self.printed = ""

    def run(self, block: Block) -> None:
        """Run, write or compare a block."""
        where = f"{self.page.name}:{block.line}"
        if block.file:
            path = self.directory / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)
        elif block.language == "text":
            expected = block.code.split()
            assert self.printed.split()[-len(expected) :] == expected, f"{where}: it prints\n{self.printed}"
        elif block.language == "python":
            self.printed = self._python(block.code, where)
        elif block.language == "sh":
            self.printed = self._shell(block.code, where)
        else:
            raise AssertionError(f"{where}: a block of {block.language} needs a caption, or to be left out")

    def _python(self, code: str, where: str) -> str:
        lines = "\n" * (int(where.rpartition(":")[2]) - 1)
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile(lines + code, str(self.page), "exec"), self.names)  # noqa: S102  (the page is ours)
        return printed.getvalue()

    def _shell(self, code: str, where: str) -> str:
        commands = commands_of(code)
        if commands:
            return "".join(self._verb(command, where) for command in commands)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "COLUMNS": "80", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        command = ["bash", "-euo", "pipefail", "-c", code]
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{where}: {done.stderr or done.stdout}"
        return done.stdout

    def _verb(self, arguments: list[str], where: str) -> str:
        done = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, f"{where}: {done.output}"
        return done.stdout


def commands_of(code: str) -> list[list[str]]:
    """The arguments of each ``ptmiss`` in a block of nothing else and nothing of the shell's; none for other blocks."""
    lines = [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines()]
    commands = [line for line in lines if line]
    alone = not SHELL & set(code) and all(command[0] == "ptmiss" for command in commands)
    return [command[1:] for command in commands] if alone else []
