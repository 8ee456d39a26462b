"""The configuration of a running node: read again on SIGHUP, and changed over the API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from lalmesh.runtime.config import Config, ConfigError, KeyChange, LiveConfig, Loaded, Sources
from lalmesh.runtime.scheduling import LiveSettings
from lalmesh.runtime.zeroed import begin_at_zero

log = logging.getLogger(__name__)

SOURCES = FILE, API = "file", "api"  #: where changes come from
APPLIED, REFUSED = "applied", "refused"


class LiveNode:
    """What is in force, and the way that a change takes to the parts of the node."""

    def __init__(self, sources: Sources, loaded: Loaded, apply: Callable[[Config], None], registry: CollectorRegistry) -> None:
        """Begin with what was `loaded` from `sources`; `apply` lets the node go by a configuration, or changes nothing."""
        self._sources = sources
        self._live = LiveConfig(loaded, apply)
        self._changes = Counter(
            "lalmesh_settings_changes", "Changes of the configuration of the running node.", ("source", "result"), registry=registry
        )
        begin_at_zero(self._changes, SOURCES, (APPLIED, REFUSED))
        Gauge(
            "lalmesh_settings_revision", "Of the settings made over the API that are in force at the node.", registry=registry
        ).set_function(lambda: self._live.taken[1])

    @property
    def loaded(self) -> Loaded:
        """What the sources said last that was taken."""
        return self._live.loaded

    def reload(self) -> None:
        """Take what the sources say now: all of it, or nothing where a key has changed that cannot."""
        try:
            loaded = self._sources.load()
        except ConfigError as exc:
            self._refused(FILE, exc)
            return
        self._change(FILE, lambda live: live.reload(loaded))
        if self._live.taken != self._live.told:
            log.error("settings of the api are still refused: revision %d, in force is %d", self._live.told[1], self._live.taken[1])

    def told(self, settings: LiveSettings) -> None:
        """Take the settings that were made over the API: all of them, or nothing where they contradict the node's own.

        A registry that has none, since it was wiped, takes none back.
        """
        if settings.revision and settings.version > self._live.told:
            self._change(API, lambda live: live.tell(settings.version, settings.values))

    def _change(self, source: str, change: Callable[[LiveConfig], Sequence[KeyChange]]) -> None:
        try:
            changed = change(self._live)
        except ConfigError as exc:
            self._refused(source, exc)
            return
        self._changes.labels(source, APPLIED).inc()
        for each in changed:
            log.warning("setting changed by the %s: %s", source, each)
        if not changed:
            log.info("no key was changed by the %s", source)

    def _refused(self, source: str, exc: ConfigError) -> None:
        self._changes.labels(source, REFUSED).inc()
        for problem in exc.problems:
            log.error("settings of the %s are refused, none was taken: %s", source, problem)
