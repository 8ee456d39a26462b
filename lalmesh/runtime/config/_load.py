"""From sources to a checked configuration: ``--set`` beats environment beats file beats default."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lalmesh.runtime.config._config import Config
from lalmesh.runtime.config._keys import Key, all_keys
from lalmesh.runtime.config._problem import ConfigError, Problem
from lalmesh.runtime.config._secrets import from_secret_files
from lalmesh.runtime.config._sources import Entry, Found, from_environ, from_file, from_sets
from lalmesh.runtime.config.lal import convert, read_lal

MAX_SHOWN_CHARS = 80  #: of a wrong value in a message
SESSIONS_TOLD_S = 5.0  #: hls nodes tell schedulers so often which players they saw

Role = Literal["standalone", "edge", "origin", "scheduler", "hls"]


@dataclass(slots=True, frozen=True)
class Loaded:
    """A configuration and where its values came from."""

    config: Config
    sources: Mapping[str, str]  #: path of each key that was given -> where; a secret read from a file: the key naming the file
    entries: Mapping[str, Entry] = field(default_factory=dict, repr=False)  #: what was given, by path; secrets are open


def load_config(path: Path | None, sets: Sequence[str], environ: Mapping[str, str], *, lal: Path | None = None) -> Config:
    """The checked configuration, secrets read from their files.

    Args:
        path: YAML file, None for none.
        sets: texts of ``--set``, ``edge.rtmp.port=1935``; a later one beats an earlier one.
        environ: environment variables; those that start with ``LALMESH_`` are read.
        lal: configuration file of lal, which every other source beats; None for none.

    Raises:
        ConfigError: with everything that is wrong, not just the first.
    """
    return load(path, sets, environ, lal=lal).config


def load(path: Path | None, sets: Sequence[str], environ: Mapping[str, str], *, lal: Path | None = None) -> Loaded:
    """As `load_config`, with the source of every value that was given.

    Raises:
        ConfigError: as `load_config`.
    """
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    for source in (
        [] if lal is None else _from_lal(lal),
        [] if path is None else from_file(path),
        from_environ(environ),
        from_sets(sets),
    ):
        _collect(source, entries, problems)
    _collect(list(from_secret_files(entries)), entries, problems)
    config = _validate(entries, problems)
    if config is None or problems:
        raise ConfigError(problems)
    return Loaded(config, {path: entry.source for path, entry in entries.items()}, entries)


def overlay(loaded: Loaded, values: Mapping[str, object], source: str) -> Config:
    """The configuration with `values` above everything that was `loaded`, each given by `source`.

    Raises:
        ConfigError: with everything that is wrong.
    """
    entries = {**loaded.entries, **{path: Entry(path, value, source) for path, value in values.items()}}
    problems: list[Problem] = []
    config = _validate(entries, problems)
    if config is None:
        raise ConfigError(problems)
    return config


def _is_file(name: str) -> bool:
    return Path(name).is_file()


def _from_lal(path: Path) -> Iterator[Found]:
    try:
        values = convert(read_lal(path), _is_file).values
    except ConfigError as exc:
        yield from exc.problems
    else:
        yield from (Entry(ours, value, f"lal's {path}") for ours, value in values.items())


@dataclass(slots=True, frozen=True, kw_only=True)
class Sources:
    """Where a configuration is read from, however often."""

    path: Path | None = None  #: YAML
    sets: Sequence[str] = ()  #: texts of ``--set``
    environ: Mapping[str, str] = field(default_factory=dict)
    lal: Path | None = None  #: JSON of lal

    def load(self) -> Loaded:
        """What they give now; see `load`.

        Raises:
            ConfigError: as `load`.
        """
        return load(self.path, self.sets, self.environ, lal=self.lal)

    def lal_report(self) -> str:
        """What became of the keys of lal's file, for people; empty without one.

        Raises:
            ConfigError: it cannot be read.
        """
        return "" if self.lal is None else convert(read_lal(self.lal), _is_file).report()


def check_role(config: Config, role: Role) -> None:
    """Refuse a configuration that lacks what `role` cannot start without, or has what its parts cannot do together.

    Raises:
        ConfigError: no cluster key, no scheduler to join, no etcd; ``standalone`` makes its own. There alone is it certain that one
            configuration is that of scheduler and hls node, so players that would go missing between the two are told of.
    """
    problems = list(_contradictions(config) if role == "standalone" else _missing(config, role))
    if problems:
        raise ConfigError(problems)


def _missing(config: Config, role: Role) -> Iterator[Problem]:
    if not config.cluster.key.get_secret_value():
        yield Problem("cluster.key", f"{role} needs the key of the cluster; give cluster.key_file or LALMESH_CLUSTER__KEY")
    if role == "scheduler" and not config.scheduler.etcd.endpoints:
        yield Problem("scheduler.etcd.endpoints", "scheduler needs an etcd; only standalone keeps its registry in memory")
    if role != "scheduler" and not config.cluster.schedulers:
        yield Problem("cluster.schedulers", f"{role} needs a scheduler to join")


def _contradictions(config: Config) -> Iterator[Problem]:
    if config.origin.workers != 1:
        text = f"standalone has one origin, {config.origin.workers} cannot be; a cluster can have several (docs/cluster.md)"
        yield Problem("origin.workers", text)
    session, ttl_s = config.hls.session, config.scheduler.session_ttl_s
    if session.enable and session.idle_s + SESSIONS_TOLD_S > ttl_s:
        yield Problem(
            "scheduler.session_ttl_s",
            f"{ttl_s} is less than {SESSIONS_TOLD_S:g} above hls.session.idle_s, {session.idle_s:g}: "
            "players that have not left would go missing",
        )


def _collect(source: Iterable[Found], entries: dict[str, Entry], problems: list[Problem]) -> None:
    for found in source:
        if isinstance(found, Problem):
            problems.append(found)
        else:
            entries[found.path] = found


def _validate(entries: Mapping[str, Entry], problems: list[Problem]) -> Config | None:
    try:
        return Config.model_validate(_nest(entries))
    except ValidationError as exc:
        problems += [_problem(error, entries) for error in exc.errors(include_url=False)]
        return None


def _nest(entries: Mapping[str, Entry]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, entry in entries.items():
        *parents, name = path.split(".")
        section = tree
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = entry.value
    return tree


def _problem(error: ErrorDetails, entries: Mapping[str, Entry]) -> Problem:
    path = ".".join(part for part in error["loc"] if isinstance(part, str))  # numbers count the items of a list
    key = all_keys().get(path)
    if key is None:  # keys of one section that contradict each other
        return Problem(path, _own_words(error))
    entry = entries.get(path)
    return Problem(path, _refusal(key, error), "" if entry is None else entry.source)


def _refusal(key: Key, error: ErrorDetails) -> str:
    if key.secret:
        return _own_words(error) if error["type"] == "value_error" else f"not allowed, allowed is {key.allowed}"
    count = " (too many items)" if error["type"] == "too_long" else ""
    return f"{_shown(error['input'])} is not allowed{count}, allowed is {key.allowed}"


def _own_words(error: ErrorDetails) -> str:
    return error["msg"].removeprefix("Value error, ")


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # a date, a list that holds itself
        text = str(value)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 3] + "..."
