"""A Dockerfile read: its stages and their instructions, and what its context leaves out."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction; what may be a list is one."""

    name: str  #: in capitals
    text: str  #: what follows it, lines joined
    flags: Mapping[str, str] = field(default_factory=dict)  #: ``--from=build`` as from: build

    @property
    def words(self) -> list[str]:
        """Its arguments: of a JSON list, else as a shell splits them."""
        if self.text.startswith("["):
            return [str(word) for word in json.loads(self.text)]
        return shlex.split(self.text)

    @property
    def pairs(self) -> dict[str, str]:
        """``NAME=VALUE`` by name."""
        return dict(word.split("=", 1) for word in self.words)


@dataclass(frozen=True)
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[Instruction]:
        """Its instructions of that name."""
        return [instruction for instruction in self.instructions if instruction.name == name]

    def last(self, name: str) -> Instruction:
        """The one that holds."""
        return self.all(name)[-1]


def parse(text: str) -> list[Stage]:
    """The stages; variables of ARG before the first FROM are filled in."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.name == "ARG" and not stages:
            arguments.update(instruction.pairs)
        elif instruction.name == "FROM":
            base, _, name = instruction.text.partition(" AS ")
            stages.append(Stage(re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], base), name, ()))
        else:
            last = stages.pop()
            stages.append(Stage(last.base, last.name, (*last.instructions, instruction)))
    return stages


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, rest = line.strip().partition(" ")
        flags = {}
        while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        if name == "HEALTHCHECK":
            rest = rest.strip().removeprefix("CMD ")
        yield Instruction(name.upper(), rest.strip(), flags)


def ignores(text: str, path: Path) -> bool:
    """Whether a ``.dockerignore`` of that text leaves out `path`: the last pattern that fits it, or a folder above, holds."""
    out = False
    for line in text.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted = pattern.removeprefix("!")
        if any(_fits(wanted, above) for above in (path, *path.parents[:-1])):
            out = not pattern.startswith("!")
    return out


def _fits(pattern: str, path: Path) -> bool:
    if pattern.startswith("**/"):
        return fnmatch(path.name, pattern.removeprefix("**/"))
    parts = pattern.split("/")
    return len(parts) == len(path.parts) and all(map(fnmatch, path.parts, parts))
