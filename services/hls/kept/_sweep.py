"""Which kept segments go from storage: by age and by total size, rule by rule."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.recording import RecordFormat, RecordRule, RecordRules
from lalmesh.runtime.storage import Storage, StoredObject, delete_all, list_pages
from services.hls.kept._names import ROOT, KeptName, kept_folder, one_of_each_number
from services.hls.kept._place import PLACE_ROOT, Place, place_after, place_path, read_places, stream_at

log = logging.getLogger(__name__)

MAX_SWEPT = 500_000  #: segments that are remembered at a time, some 150 MB; of more, what is let go among them goes first


@dataclass(slots=True, frozen=True)
class _Kept:
    """What a rule bounds: the kept segment of one number, all that several workers made of it."""

    stream: StreamKey
    paths: tuple[str, ...]  #: sorted; they sort those of a stream by number
    end_ms: int  #: Unix time; of a stream none ends before an earlier one, so that always the first go, whatever clocks said
    size_bytes: int


class _Sweep:
    """What one sweep has seen. Segments come by path, so a stream's all at once, by number."""

    def __init__(self, rules: RecordRules, now_s: float) -> None:
        self._rules = rules
        self._now_ms = int(now_s * 1000)
        self._known: dict[str, tuple[StreamKey, RecordRule] | None] = {}  # by folder: there may be a thousand rules
        self._last: tuple[str, int] = ("", 0)  # the folder of the last segment, and its number
        self._open: _Kept | None = None  # what was seen of that number: the next page may have more
        self._held: dict[RecordRule, list[_Kept]] = {}  # those that go where newer ones take too many bytes
        self._held_count = 0
        self.is_full = False  #: too many are kept by size: no more are held

    @property
    def has_many(self) -> bool:
        """Whether no more are to be held before some go."""
        return self._held_count >= MAX_SWEPT

    def see(self, page: Sequence[StoredObject]) -> list[_Kept]:
        """Look at some more. Gives those that are too old, but nothing of the last number before more is seen."""
        return [kept for stored in page if (kept := self._see(stored)) is not None]

    def _see(self, stored: StoredObject) -> _Kept | None:
        """Look at one more. Gives the number before it where that is too old."""
        folder, _, file = stored.path.removeprefix(f"{ROOT}/").rpartition("/")
        bounded, name = self._bounded(folder), KeptName.parse(file)
        if bounded is None or name is None:
            return None
        stream, before, end_ms = bounded[0], self._open, name.end_ms
        if before is not None and self._last[0] == folder:
            end_ms = max(end_ms, before.end_ms)
            if self._last[1] == name.number:
                self._open = _Kept(stream, (*before.paths, stored.path), end_ms, before.size_bytes + stored.size_bytes)
                return None
        gone = self.see_no_more()
        self._last, self._open = (folder, name.number), _Kept(stream, (stored.path,), end_ms, stored.size_bytes)
        return gone

    def see_no_more(self) -> _Kept | None:
        """Nothing more comes of the last number. Gives it where it is too old."""
        kept, bounded = self._open, self._bounded(self._last[0])
        self._open = None
        if kept is None or bounded is None:
            return None
        rule = bounded[1]
        if rule.keep_s and kept.end_ms + rule.keep_s * 1000 < self._now_ms:
            return kept
        if rule.keep_bytes and not self.is_full:
            self._held.setdefault(rule, []).append(kept)
            self._held_count += 1
        return None

    def forgettable(self, page: Sequence[StoredObject], until_us: int) -> list[str]:
        """The paths of places noted until then, of playlists of which no segment was seen."""
        return [stored.path for stored in page if stored.modified_us < until_us and self._is_unseen(stored.path)]

    def _is_unseen(self, place_path: str) -> bool:
        try:
            return stream_at(place_path).quoted() not in self._known
        except InvalidName:
            return False

    def _bounded(self, folder: str) -> tuple[StreamKey, RecordRule] | None:
        """Whose segments are in a folder, and the rule that bounds them."""
        if folder not in self._known:
            self._known[folder] = self._rule_of(folder)
        return self._known[folder]

    def _rule_of(self, folder: str) -> tuple[StreamKey, RecordRule] | None:
        try:
            stream = StreamKey.from_quoted(folder)
        except InvalidName:
            return None
        rule = self._rules.of(stream, RecordFormat.HLS)
        return (stream, rule) if rule is not None and (rule.keep_s or rule.keep_bytes) else None

    def take_too_many(self) -> list[_Kept]:
        """Those of the held ones that no longer fit, a stream's together.

        Of some of all segments that is none that would fit among all.
        """
        gone: list[_Kept] = []
        for rule, held in self._held.items():
            newest_gone = _newest_gone(held, rule.keep_bytes)
            gone += [kept for kept in held if _age(kept) <= newest_gone]
            held[:] = [kept for kept in held if _age(kept) > newest_gone]
        self._held_count -= len(gone)
        return gone


def _newest_gone(held: Iterable[_Kept], keep_bytes: int) -> tuple[int, str]:
    """The age of the newest that has no room in `keep_bytes`, or of none.

    Those of each stream are in order already. So they are merged: sorting half a million would not let go of the interpreter.
    """
    streams = [list(of_stream) for _, of_stream in groupby(held, attrgetter("stream"))]
    kept_bytes = 0
    for kept in heapq.merge(*map(reversed, streams), key=_age, reverse=True):
        kept_bytes += kept.size_bytes
        if kept_bytes > keep_bytes:
            return _age(kept)
    return 0, ""


def _age(kept: _Kept) -> tuple[int, str]:
    return kept.end_ms, kept.paths[0]


async def sweep_kept(storage: Storage, remember_s: float, rules: RecordRules, now_s: float) -> int:
    """Remove the kept segments that their rules let go: by age, and the oldest of a rule where its all have too many bytes.

    Any node may do it, several too. Segments are looked at in threads: there may be millions.

    Args:
        storage: with the segments.
        remember_s: how far a playlist has come is forgotten when it was noted so long ago, and no segment of it is left.
        rules: a segment is under the rule that its stream has now.
        now_s: Unix time.

    Returns:
        How many.
    Raises:
        StorageUnavailable: the rest waits for the next time.
    """
    if not any(RecordFormat.HLS in rule.formats and (rule.keep_s or rule.keep_bytes) for rule in rules.rules):
        return 0
    sweep, removed = _Sweep(rules, now_s), 0
    async for page in list_pages(storage, ROOT):
        removed += await _remove(storage, await asyncio.to_thread(sweep.see, page))
        if sweep.has_many and not sweep.is_full:
            removed += await _remove(storage, await asyncio.to_thread(sweep.take_too_many))
            sweep.is_full = sweep.has_many
            if sweep.is_full:
                log.error("over %d segments are kept by size: not all are swept", MAX_SWEPT)
    last = sweep.see_no_more()
    removed += await _remove(storage, [last] if last is not None else [])
    removed += await _remove(storage, await asyncio.to_thread(sweep.take_too_many))
    await _forget_places(storage, sweep, now_s - remember_s)
    return removed


async def _forget_places(storage: Storage, sweep: _Sweep, until_s: float) -> None:
    """Remove the places noted until then of playlists that have no segment."""
    async for page in list_pages(storage, PLACE_ROOT):
        paths = await asyncio.to_thread(sweep.forgettable, page, round(until_s * 1_000_000))
        empty = [path for path in paths if not await storage.list(kept_folder(stream_at(path)), limit=1)]  # nor did any come since
        await delete_all(storage, empty)


async def _remove(storage: Storage, gone: Sequence[_Kept]) -> int:
    """Remove those; of a stream all stand together, by path. Gives how many files."""
    removed = 0
    for stream, of_stream in groupby(gone, attrgetter("stream")):
        paths = [path for kept in of_stream for path in kept.paths]
        await _begin_after(storage, stream, paths)
        await delete_all(storage, paths)
        removed += len(paths)
    return removed


async def _begin_after(storage: Storage, stream: StreamKey, paths: Sequence[str]) -> None:
    """Have playlists of `stream` begin after the last of `paths`, which go, with the numbers that they have now."""
    places = await read_places(storage, stream)
    begin = await asyncio.to_thread(_last_place, places[-1] if places else None, paths)
    if begin is not None and begin not in places:
        await storage.put(place_path(stream, begin), b"")
        await storage.delete([place_path(stream, place) for place in places])


def _last_place(begin: Place | None, paths: Iterable[str]) -> Place | None:
    """The place after the last of `paths`, or `begin` where that is later."""
    place = begin
    names = [name for path in paths if (name := KeptName.parse(path.rpartition("/")[2])) is not None]
    for name in one_of_each_number(names):
        if place is None or name.number > place.number:
            place = place_after(place, name)
    return place
