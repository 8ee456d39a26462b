"""What is kept on shared storage: by age and by total size, rule by rule."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.storage import Storage, StoredObject, delete_all, list_pages
from services.hls.recording._names import RECORD_FOLDER, RecordingName
from services.hls.recording._rules import RecordFormat, RecordRule, RecordRules

log = logging.getLogger(__name__)

MAX_SWEPT = 500_000  #: recordings that are remembered at a time, some 150 MB; of more, what is let go among them goes first


@dataclass(slots=True, frozen=True)
class StoredRecording:
    """A recording on shared storage."""

    name: RecordingName
    size_bytes: int
    modified_us: int  #: Unix time in microseconds at which it was stored, by the storage's clock


def stored_recording(found: StoredObject) -> StoredRecording | None:
    """The recording that a listing found; None where it is something else."""
    try:
        name = RecordingName.parse(found.path.removeprefix(f"{RECORD_FOLDER}/"))
    except InvalidName:
        return None
    return StoredRecording(name, found.size_bytes, found.modified_us)


class _Bounds:
    """The rules that bound recordings, each looked for once a stream and format: there may be a thousand rules."""

    def __init__(self, rules: RecordRules) -> None:
        self._rules = rules
        self._known: dict[tuple[StreamKey, RecordFormat], RecordRule | None] = {}

    def of(self, name: RecordingName) -> RecordRule | None:
        key = name.stream, name.format
        if key not in self._known:
            rule = self._rules.of(*key)
            self._known[key] = rule if rule is not None and (rule.keep_s or rule.keep_bytes) else None
        return self._known[key]


def outdated(recordings: Iterable[StoredRecording], rules: RecordRules, now_us: int) -> list[StoredRecording]:
    """Those that their rules let go, oldest first. What no rule speaks of is kept.

    Of some of all recordings it gives none that would be kept among all.

    Args:
        recordings: all there are.
        rules: a recording is under the rule that its stream has now for its format.
        now_us: Unix time in microseconds.
    """
    bounds = _Bounds(rules)
    by_rule: dict[RecordRule, list[StoredRecording]] = {}
    for recording in recordings:
        rule = bounds.of(recording.name)
        if rule is not None:
            by_rule.setdefault(rule, []).append(recording)
    gone = [recording for rule, under in by_rule.items() for recording in _outdated(rule, under, now_us)]
    return sorted(gone, key=_start)


def _outdated(rule: RecordRule, recordings: list[StoredRecording], now_us: int) -> list[StoredRecording]:
    """Of one rule: from the newest back, all that is too old, or no longer fits."""
    oldest_us = now_us - rule.keep_s * 1_000_000
    gone: list[StoredRecording] = []
    kept_bytes, full = 0, False
    for recording in sorted(recordings, key=_start, reverse=True):
        full = full or bool(rule.keep_bytes and kept_bytes + recording.size_bytes > rule.keep_bytes)
        if full or (rule.keep_s and recording.modified_us < oldest_us):
            gone.append(recording)
        else:
            kept_bytes += recording.size_bytes
    return gone


def _start(recording: StoredRecording) -> tuple[int, str]:
    return recording.name.started_us, recording.name.path


async def sweep(storage: Storage, rules: RecordRules, now_us: int) -> int:
    """Remove from `storage` what the rules let go. Gives how many files.

    Any node may do it, several too: what one has removed the others find gone. Recordings are looked at in threads: there may be
    hundreds of thousands.

    Raises:
        StorageUnavailable: the rest waits for the next sweep.
    """
    if not any(rule.keep_s or rule.keep_bytes for rule in rules.rules):
        return 0
    removed, held = 0, list[StoredRecording]()
    async for page in list_pages(storage, RECORD_FOLDER):
        held += await asyncio.to_thread(_bounded, page, rules)
        if len(held) < MAX_SWEPT:
            continue
        removed += await _remove_outdated(storage, held, rules, now_us)
        if len(held) >= MAX_SWEPT:
            log.error("over %d recordings are kept: not all are swept", MAX_SWEPT)
            break
    return removed + await _remove_outdated(storage, held, rules, now_us)


def _bounded(page: Sequence[StoredObject], rules: RecordRules) -> list[StoredRecording]:
    """The recordings in a page that rules bound."""
    bounds = _Bounds(rules)
    recordings = (recording for recording in map(stored_recording, page) if recording is not None)
    return [recording for recording in recordings if bounds.of(recording.name) is not None]


async def _remove_outdated(storage: Storage, held: list[StoredRecording], rules: RecordRules, now_us: int) -> int:
    """Remove what the rules let go of those that are `held`, from there too."""
    gone = await asyncio.to_thread(outdated, held, rules, now_us)
    paths = [f"{RECORD_FOLDER}/{recording.name.path}" for recording in gone]
    await delete_all(storage, paths)
    if paths:
        log.info("%d recordings removed, from %s on", len(paths), paths[0])
        removed = set(gone)
        held[:] = [recording for recording in held if recording not in removed]
    return len(paths)
