"""What is kept on shared storage: by age and by total size, rule by rule."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from lalmesh.errors import InvalidName
from lalmesh.runtime.storage import Storage, StoredObject, list_all
from services.hls.recording._names import RECORD_FOLDER, RecordingName
from services.hls.recording._rules import RecordRule, RecordRules

log = logging.getLogger(__name__)

DELETED_AT_ONCE = 100  #: paths of one call
MAX_SWEPT = 1_000_000  #: recordings that one sweep looks at, some 300 MB; what is beyond waits for the next


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


def outdated(recordings: Iterable[StoredRecording], rules: RecordRules, now_us: int) -> list[StoredRecording]:
    """Those that their rules let go, oldest first. What no rule speaks of is kept.

    Args:
        recordings: all there are.
        rules: a recording is under the rule that its stream has now for its format.
        now_us: Unix time in microseconds.
    """
    by_rule: dict[RecordRule, list[StoredRecording]] = {}
    for recording in recordings:
        rule = rules.of(recording.name.stream, recording.name.format)
        if rule is not None and (rule.keep_s or rule.keep_bytes):
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

    Any node may do it, several too: what one has removed the others find gone.

    Raises:
        StorageUnavailable: the rest waits for the next sweep.
    """
    recordings: list[StoredRecording] = []
    async for found in list_all(storage, RECORD_FOLDER):
        recording = stored_recording(found)
        if recording is not None:
            recordings.append(recording)
        if len(recordings) >= MAX_SWEPT:
            break
    paths = [f"{RECORD_FOLDER}/{recording.name.path}" for recording in outdated(recordings, rules, now_us)]
    for at in range(0, len(paths), DELETED_AT_ONCE):
        await storage.delete(paths[at : at + DELETED_AT_ONCE])
    if paths:
        log.info("%d recordings removed, from %s on", len(paths), paths[0])
    return len(paths)
