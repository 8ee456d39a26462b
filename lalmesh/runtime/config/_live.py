"""Configuration that changes while a node runs: by its sources, read again, and by settings made over the API.

Settings of the API stand above every source. A change is taken whole or not at all: one key that cannot change while the node runs
keeps all the others of the change from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lalmesh.runtime.config._config import Config
from lalmesh.runtime.config._keys import Key, all_keys, value_at
from lalmesh.runtime.config._load import Loaded, overlay
from lalmesh.runtime.config._problem import ConfigError, Problem
from lalmesh.runtime.config._render import MASK, yaml_value
from lalmesh.runtime.config._suggest import unknown_key

API = "the API"
MAX_PATH_CHARS = 100  #: of one that is not known


@dataclass(slots=True, frozen=True)
class KeyChange:
    """One key that is another than before."""

    key: Key
    before: object  #: as `value_at`, so secrets are open
    now: object

    def __str__(self) -> str:
        """``edge.play.gop_num: 1 -> 2``; secrets are masked."""
        return f"{self.key.path}: {self._shown(self.before)} -> {self._shown(self.now)}"

    def _shown(self, value: object) -> str:
        return yaml_value(MASK if self.key.secret and value else value)


def live_catalogue() -> Mapping[str, Key]:
    """Every key that can change while a node runs, by its path."""
    return {path: key for path, key in all_keys().items() if key.live}


def api_catalogue() -> Mapping[str, Key]:
    """Those of them that can be set over the API: nothing that may hold secrets, which it would keep and show."""
    return {path: key for path, key in live_catalogue().items() if key.by_api}


def check_api_keys(paths: Iterable[str]) -> None:
    """Refuse keys that cannot be set over the API.

    Raises:
        ConfigError: for each of them.
    """
    problems = [Problem(path[:MAX_PATH_CHARS], _why_not(path)) for path in paths if path not in api_catalogue()]
    if problems:
        raise ConfigError(problems)


def _why_not(path: str) -> str:
    key = all_keys().get(path)
    if key is None:
        return unknown_key(path[:MAX_PATH_CHARS])
    if not key.live:
        return "cannot change while nodes run"
    return "may hold secrets, so it is changed in the file or the environment, and read again on SIGHUP"


def changes_between(before: Config, now: Config) -> Iterator[KeyChange]:
    """What differs."""
    for path, key in all_keys().items():
        was, is_now = value_at(before, path), value_at(now, path)
        if was != is_now:
            yield KeyChange(key, was, is_now)


Version = tuple[int, int]  #: term and revision of settings of the API


@dataclass(slots=True, frozen=True)
class _Settings:
    """What the API says, at one version."""

    version: Version = (0, 0)
    values: Mapping[str, object] = field(default_factory=dict)


class LiveConfig:
    """The configuration of a running node."""

    def __init__(self, loaded: Loaded, apply: Callable[[Config], None] | None = None) -> None:
        """Begin with what was loaded; `apply` lets the node go by another, or raises ConfigError and changes nothing."""
        self.loaded = loaded  #: what the sources said last that was taken
        self.config = loaded.config  #: in force
        self._apply = apply
        self._told = self._taken = _Settings()

    @property
    def told(self) -> Version:
        """Of the settings of the API that were told last, taken or not."""
        return self._told.version

    @property
    def taken(self) -> Version:
        """Of those that are in force."""
        return self._taken.version

    def reload(self, loaded: Loaded) -> tuple[KeyChange, ...]:
        """Take what the sources say now, with the settings that were told last; where those are still refused, with those in force.

        Files that the sources name may hold something else than before, so the node is to go by them also where no key changed.

        Returns:
            What has changed.

        Raises:
            ConfigError: a key has changed that cannot while the node runs, or the API contradicts it. Nothing has changed.
        """
        try:
            return self._take(loaded, self._told)
        except ConfigError:
            if self._taken is self._told:
                raise
            return self._take(loaded, self._taken)

    def tell(self, version: Version, values: Mapping[str, object]) -> tuple[KeyChange, ...]:
        """Take the settings of the API, all that there are; gives what has changed. Older ones than those told change nothing.

        Keys that are not known here, or not live, are left out: schedulers may be of a later version.

        Raises:
            ConfigError: they contradict what the node is configured to. Nothing has changed.
        """
        if version <= self.told:
            return ()
        self._told = _Settings(version, {path: value for path, value in values.items() if path in api_catalogue()})
        return self._take(self.loaded, self._told)

    def _take(self, loaded: Loaded, settings: _Settings) -> tuple[KeyChange, ...]:
        config = overlay(loaded, settings.values, API) if settings.values else loaded.config
        changed = tuple(changes_between(self.config, config))
        fixed = [change for change in changed if not change.key.live and not _names_a_secret(change.key)]
        if fixed:
            raise ConfigError([Problem(change.key.path, f"cannot change while the node runs ({change})") for change in fixed])
        if self._apply is not None and (changed or loaded is not self.loaded):
            self._apply(config)
        self.config, self.loaded, self._taken = config, loaded, settings
        return changed


def _names_a_secret(key: Key) -> bool:
    """Whether the key only says where a secret is read from that may change."""
    secret = all_keys().get(key.path.removesuffix("_file"))
    return secret is not None and secret is not key and secret.live
