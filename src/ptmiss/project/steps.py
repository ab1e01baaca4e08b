"""The steps of a project, read from its configuration: verbs with their options, and which of them have to run.

A step has to run if its output is missing, or if its options or a file that they name are others than when it ran. The
files that a fileset or a selection names count too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ptmiss.errors import FileError, OptionError, UnknownName, hint
from ptmiss.events import expand
from ptmiss.files import AnyPath, as_path, digest, userfiles, write_atomically
from ptmiss.runs.inspections import stamp

CONFIGURATION = "ptmiss.toml"
MADE = ".made.json"  # what each step was made of
NAMING, LARGEST = (".json", ".toml"), 1_000_000  # endings of files that name others, and their size, bytes


@dataclass(frozen=True)
class Step:
    """A verb with its options by their names, as ``[verb]`` or ``[verb.name]`` of a configuration has them."""

    name: str
    options: Mapping[str, Any]

    @property
    def verb(self) -> str:
        """The verb."""
        return self.name.partition(".")[0]

    @property
    def output(self) -> str:
        """What it writes."""
        return str(self.options["output"])

    @cached_property
    def named(self) -> set[str]:
        """What its options may name: texts, and the parts of ``NAME=PATH`` and ``PATH:DATASET``."""
        texts = set(texts_of({name: value for name, value in self.options.items() if name != "output"}))
        return texts | {part for text in texts for part in re.split("[=:]", text)}

    def needs(self, other: Step) -> bool:
        """Whether it reads what another step writes."""
        return any(part == other.output or part.startswith(f"{other.output}/") for part in self.named)

    def made_of(self) -> str:
        """A hash of its options and of the files that they name, as these are now."""
        files = sorted(set(files_of(self.named)))
        return digest(json.dumps([self.options, [(file, stamp(file)) for file in files]], sort_keys=True).encode())


@dataclass(frozen=True)
class Steps:
    """The steps of a project in an order in which they can run. Paths are relative to the working directory."""

    steps: Sequence[Step]

    def chosen(self, names: Iterable[str]) -> Steps:
        """Those with these names or verbs, and all that they need; all of them without names."""
        wanted = [step for name in names for step in self._of(name)] or list(self.steps)
        for step in reversed(self.steps):
            if any(other.needs(step) for other in wanted):
                wanted.append(step)
        return Steps([step for step in self.steps if step in wanted])

    def _of(self, name: str) -> list[Step]:
        found = [step for step in self.steps if name in (step.name, step.verb)]
        if not found:
            raise UnknownName("step", name, [step.name for step in self.steps])
        return found

    def outdated(self) -> list[Step]:
        """Those that have to run, and those that need one of them."""
        made, found = load(), list[Step]()
        for step in self.steps:
            current = Path(step.output).exists() and made.get(step.name) == step.made_of()
            if not current or any(step.needs(other) for other in found):
                found.append(step)
        return found


def read(known: Mapping[str, Collection[str]], path: AnyPath = CONFIGURATION) -> Steps:
    """The steps of a configuration.

    Args:
        known: names of the options of each verb.
        path: the file.

    Raises:
        FileError: there is no such file, or it is not TOML.
        OptionError: a section is no verb, a key is no option of it, a step has no output or that of another, or steps
            need each other.
    """
    content = userfiles.content(path, "configuration")
    shared = {name: value for name, value in content.items() if not isinstance(value, Mapping)}
    check(f"{path}: ", "key above the sections", shared, {name for options in known.values() for name in options})
    check(f"{path}: ", "verb", (verb for verb in content if verb not in shared), known)
    steps = []
    for name, section in _sections(content):
        options = known[name.partition(".")[0]]
        check(f"{path}: [{name}] ", "key", section, options)
        steps.append(Step(name, {key: value for key, value in {**shared, **section}.items() if key in options}))
    _check_outputs(steps, path)
    return Steps(_in_order(steps, path))


def check(where: str, kind: str, names: Iterable[str], allowed: Collection[str]) -> None:
    """Raise OptionError for the first name that is not allowed."""
    for name in names:
        if name not in allowed:
            known = ", ".join(sorted(allowed))
            raise OptionError(f"{where}unknown {kind} {name!r}{hint(name, allowed)}; known: {known}")


def _sections(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and options of each step: of a verb's section, or of its parts if all that it has are parts."""
    for verb, section in content.items():
        if not isinstance(section, Mapping):
            continue
        if section and all(isinstance(part, Mapping) for part in section.values()):
            yield from ((f"{verb}.{name}", part) for name, part in section.items())
        else:
            yield verb, section


def _check_outputs(steps: Sequence[Step], path: AnyPath) -> None:
    """Raise OptionError where a step has no output, or that of another."""
    first: dict[str, str] = {}
    for step in steps:
        if not isinstance(step.options.get("output"), str):
            raise OptionError(f"{path}: [{step.name}] has no output")
        if first.setdefault(step.output, step.name) != step.name:
            raise OptionError(f"{path}: [{first[step.output]}] and [{step.name}] have the same output, {step.output}")


def _in_order(steps: Sequence[Step], path: AnyPath) -> list[Step]:
    """As they are in the file, but each after those whose output it needs."""
    left, ordered = list(steps), list[Step]()
    while left:
        ready = [step for step in left if not any(step.needs(other) for other in left)]
        if not ready:
            raise OptionError(f"{path}: steps need each other: {', '.join(step.name for step in left)}")
        left.remove(ready[0])
        ordered.append(ready[0])
    return ordered


def texts_of(value: Any) -> Iterator[str]:
    """All texts in a value of JSON or TOML."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from texts_of([*value.keys(), *value.values()])
    elif isinstance(value, Sequence):
        for each in value:
            yield from texts_of(each)


def files_of(named: Iterable[str]) -> Iterator[str]:
    """What is there of what is named, files and directories; and what files of JSON and TOML name, from there too."""
    for path in (Path(name) for name in named if name and stamp(name)):
        yield str(path)
        if path.suffix in NAMING and path.is_file() and path.stat().st_size < LARGEST:
            texts = [text for text in texts_of(userfiles.content(path, "file")) if text and "://" not in text]
            there = (place for text in texts for place in (*_matching(text), str(path.parent / text)))
            yield from (place for place in there if stamp(place))


def _matching(pattern: str) -> list[str]:
    try:
        return expand([pattern], strict=False)
    except (FileError, ValueError):
        return []


def load() -> dict[str, str]:
    """What each step was made of when it ran, by its name."""
    path = as_path(MADE)
    return json.loads(path.read_text()) if path.is_file() else {}


def keep(step: Step, made_of: str) -> None:
    """Remember what a step was made of."""
    write_atomically(MADE, json.dumps({**load(), step.name: made_of}, indent=1) + "\n")
