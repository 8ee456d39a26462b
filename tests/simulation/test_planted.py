"""Faults of ours that the simulation must find: each is planted, and one of the first schedules that can show it does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

import pytest

from lalmesh.runtime.fences import Fences
from lalmesh.runtime.ownership import NO_EPOCH
from lalmesh.runtime.reader import Reader
from lalmesh.runtime.ring import RingLimits
from services.edge.publication import PublicationSettings
from services.hls.workers import Workers
from services.origin.group import Group
from services.scheduler.directory import Directory
from services.scheduler.registry import MemoryRegistry
from services.scheduler.terms import Terms
from simulation.cluster import clear_away
from simulation.faults import KINDS
from simulation.schedule import run_seed

TRIES = 60  #: schedules that a planted fault has to be found by

Plant = Callable[[], AbstractContextManager[object]]


def seeds_of(*kinds: str) -> Iterator[int]:
    """Seeds of schedules of some kinds."""
    return itertools.islice((seed for seed in itertools.count() if KINDS[seed % len(KINDS)] in kinds), TRIES)


def _begins_without_offset(reader: Reader, _run: object) -> None:
    reader.counters.publications += 1


def _takes_anybody_in(group: Group, event: Any, _open: Any = Group._publication_opened) -> Any:
    group.epoch = NO_EPOCH
    return _open(group, event)


def _misses_groups(directory: Directory, before: Any, now: Any, _told: Any = Directory._group_told) -> Any:
    return [] if before is not None and now is not None else _told(directory, before, now)


PLANTED: dict[str, tuple[Plant, tuple[str, ...], str]] = {
    "readers do not check epochs": (
        lambda: patch.object(Reader, "_outdated", lambda _reader, _run: False),
        ("cuts", "publishers come and go", "deaths"),
        "falls|again, after a later one|two publications",
    ),
    "origins do not check epochs": (
        lambda: patch.multiple(Group, _publication_opened=_takes_anybody_in),
        ("cuts", "anything", "publishers come and go"),
        "falls|two publications|plays another|stood still",
    ),
    "nobody remembers epochs": (
        lambda: patch.object(Fences, "refuses", lambda *_: False),
        ("cuts", "anything", "publishers come and go"),
        "falls|two publications",
    ),
    "publications keep too little": (
        lambda: patch.object(PublicationSettings, "ring_limits", lambda _settings: RingLimits(gop_num=0, max_units=1)),
        ("origin lost", "origin lost, nobody to ask"),
        "misses",
    ),
    "times do not go on": (
        lambda: patch.object(Reader, "_begin", _begins_without_offset),
        ("publishers come and go", "deaths"),
        "time falls",
    ),
    "holes are not announced": (
        lambda: patch.object(Reader, "_missing", lambda *_args, **_named: 0),
        ("cuts", "anything", "deaths"),
        "missing, 0 announced",
    ),
    "publications share their id": (
        lambda: patch("services.edge.publishing.new_publication", lambda: b"p" * 16),
        ("publishers come and go", "deaths"),
        "is two units|is not what was published|again, after",
    ),
    "the term is not raised": (
        lambda: patch.object(Terms, "_is_behind", lambda terms: terms._directory.term is None),
        ("data of etcd lost", "anything"),
        "falls|two publications|publications",
    ),
    "leases do not end": (
        lambda: patch.object(MemoryRegistry, "expire", lambda _registry: None),
        ("deaths", "origin lost"),
        "",
    ),
    "schedulers miss where groups go": (
        lambda: patch.object(Directory, "_group_told", _misses_groups),
        ("origin lost", "deaths"),
        "sees|stood still",
    ),
    "hls nodes do not check epochs": (
        lambda: patch.object(Workers, "highest_seen", lambda *_: NO_EPOCH),
        ("segmenters lost", "anything"),
        "segments|segmented by",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    plant, kinds, shows = PLANTED[name]
    with plant():
        outcomes = (run_seed(seed) for seed in seeds_of(*kinds))
        found = next((outcome for outcome in outcomes if any(re.search(shows, problem) for problem in outcome.problems)), None)
    clear_away()
    assert found is not None
