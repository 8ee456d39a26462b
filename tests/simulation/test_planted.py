"""Faults of ours that the simulation must find: each is planted, and one of the first schedules that can show it does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from lalmesh.runtime.fences import Fences
from lalmesh.runtime.ownership import NO_EPOCH, HlsOwner
from lalmesh.runtime.reader import Reader
from lalmesh.runtime.registry import Changed, FollowEvent
from lalmesh.runtime.ring import RingLimits
from services.edge.publication import PublicationSettings
from services.edge.publisher import Publishers
from services.hls.worker import Worker
from services.hls.workers import Workers
from services.origin.group import Group
from services.scheduler.directory import Directory
from services.scheduler.records import GROUPS, GroupRecord
from services.scheduler.reminders import Reminders
from services.scheduler.terms import Terms
from simulation.plans import KINDS
from simulation.schedule import run_seed

TRIES = 500  #: schedules that a planted fault has to be found by

Plant = Callable[[], AbstractContextManager[object]]


def seeds_of(*kinds: str) -> Iterator[int]:
    """Seeds of schedules of some kinds."""
    return itertools.islice((seed for seed in itertools.count() if KINDS[seed % len(KINDS)] in kinds), TRIES)


def _keeps_its_own(workers: Workers, owner: HlsOwner, _assigned: Any = Workers.assigned) -> Any:
    return workers.get(owner.stream) or _assigned(workers, owner)


async def _begins_with_what_comes(worker: Worker, _begin: Any = Worker._begin) -> Any:
    segmenter, _ = await _begin(worker)
    return segmenter, None


@contextmanager
def _planted(*patches: AbstractContextManager[object]) -> Iterator[None]:
    with ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


def _takes_anybody_in(group: Group, event: Any, now_s: float, _open: Any = Group._publication_opened) -> Any:
    group.epoch = NO_EPOCH
    return _open(group, event, now_s)


def _misses_groups(directory: Directory, event: FollowEvent, now: float, _handle: Any = Directory.handle) -> Any:
    is_missed = isinstance(event, Changed) and event.entry.key.startswith(GROUPS) and event.entry.mod_revision % 2
    return [] if is_missed else _handle(directory, event, now)


ENCODERS = ("publishers come and go", "deaths", "cuts", "anything")
RIVALS = ("publisher cut off", "cuts")

PLANTED: dict[str, tuple[Plant, tuple[str, ...], str]] = {
    "origins do not check epochs": (
        lambda: _planted(
            patch.multiple(Group, _publication_opened=_takes_anybody_in), patch.object(Fences, "refuses", lambda *_: False)
        ),
        RIVALS,
        "epoch .* falls|two publications",
    ),
    "readers check neither epochs nor places": (
        lambda: _planted(patch.object(Reader, "_outdated", lambda *_: False), patch.object(Reader, "follows", lambda *_: True)),
        RIVALS,
        "plays .* falls|again, after a later one|stood still",
    ),
    "publications keep too little": (
        lambda: patch.object(PublicationSettings, "ring_limits", lambda *_, **_named: RingLimits(gop_num=0, max_units=1)),
        ("origin lost", "origin lost, nobody to ask"),
        "misses",
    ),
    "times do not go on": (
        lambda: patch.object(Reader, "_go_on", lambda _reader, units: units),
        ENCODERS,
        "time falls",
    ),
    "holes are not announced": (
        lambda: patch.object(Reader, "_missing", lambda *_args, **_named: 0),
        ENCODERS,
        "missing, 0 announced",
    ),
    "publications share their id": (
        lambda: patch("services.edge.publishing.new_publication", lambda: b"p" * 16),
        ENCODERS,
        "is two units|is not what was published|again, after",
    ),
    "the heir is not used": (
        lambda: patch.object(GroupRecord, "heir", property(lambda _record: None, lambda *_: None)),
        ("origin lost, nobody to ask",),
        "stood still",
    ),
    "the term stays what it was": (
        lambda: _planted(
            patch("services.scheduler.terms.serialize_term", lambda _term: b"1700000000"),
            patch.object(Terms, "_is_behind", lambda terms: terms._directory.term is None),
        ),
        ("data of etcd lost",),
        "falls|publications|stood still|not played|another publication",
    ),
    "schedulers miss where groups go": (
        lambda: patch.object(Directory, "handle", _misses_groups),
        ("origin lost", "deaths"),
        "sees",
    ),
    "claims are not claimed again": (
        lambda: patch.object(Publishers, "reclaim", lambda *_: None),
        ("data of etcd lost", "cuts"),
        "its claim is None",
    ),
    "something fails, is logged and passed over": (
        lambda: patch.object(Reminders, "check", side_effect=ZeroDivisionError),
        ENCODERS,
        "ZeroDivisionError",
    ),
    "segmenters do not begin where the one before has stopped": (
        lambda: patch.object(Worker, "_begin", _begins_with_what_comes),
        ("segmenter hands over",),
        "no segmenter got",
    ),
    "hls nodes keep what another segments": (
        lambda: patch.object(Workers, "assigned", _keeps_its_own),
        ("control plane away",),  # one in 40 of these shows it
        "segmented by",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    plant, kinds, shows = PLANTED[name]
    with plant():
        outcomes = (run_seed(seed) for seed in seeds_of(*kinds))
        found = next((outcome for outcome in outcomes if any(re.search(shows, problem) for problem in outcome.problems)), None)
    assert found is not None
