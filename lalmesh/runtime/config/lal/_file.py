"""lal's configuration file: JSON, read along the table of its keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lalmesh.runtime.config._problem import ConfigError, Problem
from lalmesh.runtime.config.lal._row import LalValue
from lalmesh.runtime.config.lal._rows import ROWS

MAX_FILE_BYTES = 1 << 20  #: lal ships 4 KB of it
MAX_UNKNOWN = 100  #: keys that a report names
MAX_KEY_CHARS = 100  #: of an unknown one, in a report


@dataclass(slots=True, frozen=True)
class LalFile:
    """What a file gives, checked by type, and what lal takes for the rest."""

    given: Mapping[str, LalValue]  #: by ``section.key``
    unknown: tuple[str, ...]  #: keys that lal does not know either

    def flag(self, key: str) -> bool:
        """A boolean."""
        value = self._value(key)
        assert isinstance(value, bool)  # the table says so, and what is given was checked by it
        return value

    def number(self, key: str) -> int:
        """An integer."""
        value = self._value(key)
        assert isinstance(value, int)
        return value

    def text(self, key: str) -> str:
        """A text."""
        value = self._value(key)
        assert isinstance(value, str)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._value(key)
        assert isinstance(value, tuple)
        return value

    def _value(self, key: str) -> LalValue:
        return self.given.get(key, ROWS[key].absent)


def read_lal(path: Path) -> LalFile:
    """The file at `path`.

    Raises:
        ConfigError: it cannot be read, is no JSON object, or gives keys of another type than lal takes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigError([Problem(str(path), f"cannot be read: {exc.strerror}")]) from exc
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError([Problem(str(path), f"larger than {MAX_FILE_BYTES} bytes")])
    return parse_lal(data, str(path))


def parse_lal(data: bytes, name: str) -> LalFile:
    """The content `data` of the file called `name`.

    Raises:
        ConfigError: see `read_lal`.
    """
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise ConfigError([Problem(name, f"is no JSON: {exc}")]) from exc
    if not isinstance(tree, dict):
        raise ConfigError([Problem(name, "has to be one JSON object")])
    given: dict[str, LalValue] = {}
    unknown: list[str] = []
    problems: list[Problem] = []
    for key, value in _leaves(tree):
        if key not in ROWS:
            unknown.append(key[:MAX_KEY_CHARS])
        elif (taken := _typed(ROWS[key].absent, value)) is None:
            problems.append(Problem(key, f"{value!r:.50} is not {_TYPES[type(ROWS[key].absent)]}", name))
        else:
            given[key] = taken
    if problems:
        raise ConfigError(problems)
    return LalFile(given, tuple(unknown[:MAX_UNKNOWN]))


def _leaves(tree: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Keys with their values; lal's file is two deep, and no deeper."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{below}", leaf) for below, leaf in value.items())
        else:
            yield name, value


_TYPES = {bool: "true or false", int: "a whole number", str: "text", tuple: "a list of texts"}


def _typed(like: LalValue, value: object) -> LalValue | None:
    """`value` where it has the type of `like`, None where it has not."""
    if isinstance(like, tuple):
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return tuple(value) if is_list and isinstance(value, list) else None
    return value if type(value) is type(like) else None
