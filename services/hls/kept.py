"""HLS as a recording: segments that are kept beside the live ones, and the playlist of all that are there.

A kept segment's name says everything that a playlist says of it. So there is no index that could be behind, or that two workers
could disagree about: what storage lists is what was recorded.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from lalmesh.errors import InvalidName
from lalmesh.media import TICKS_PER_SECOND
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import HlsPath, MediaPlaylist, PlaylistKind, Segment, kept_query, render_media, rounded_seconds
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.recording import RecordFormat, RecordRule, RecordRules
from lalmesh.runtime.storage import Storage, list_all
from services.hls.answer import TS_TYPE, Answer, playlist_answer, refusal
from services.hls.asked_once import AskedOnce
from services.hls.recording import StoredFile
from services.hls.store import read_state

ROOT = "record-hls"  #: in shared storage: ``APP/NAME/FILE`` below it
MAX_LISTED = 30_000  #: segments of a playlist: a day of 3 s, 3 MB of text; the oldest are left out
ENDED_S = 60.0  #: without a new segment after which a recording counts as complete, though nobody has said that its stream is over
FRESH_S = 1.0  #: that a playlist is taken for the present one: all its players cost one listing a second
MAX_KNOWN = 20  #: streams whose playlist is remembered meanwhile: of the longest, 200 MB
DELETED_AT_ONCE = 100  #: paths of one call
_MS_TICKS = TICKS_PER_SECOND // 1000
_FILE = re.compile(r"(\d{16})-(\d{1,19})\.(\d{1,19})-(\d{1,16})-(\d{1,9})-(\d{1,5})(d?)\.ts", re.ASCII)


@dataclass(slots=True, frozen=True, kw_only=True)
class KeptName:
    """The name of a kept segment; in text they are ordered by number."""

    number: int  #: media sequence number
    epoch: Epoch  #: of the worker
    begun_ms: int  #: Unix time of its first picture
    duration: int  #: ticks
    target_s: int  #: TARGETDURATION of its playlist
    discontinuity: bool = False

    def __str__(self) -> str:
        """The last part of its path."""
        mark = "d" if self.discontinuity else ""
        term, revision = self.epoch
        return f"{self.number:016d}-{term}.{revision}-{self.begun_ms}-{self.duration}-{self.target_s}{mark}.ts"

    @classmethod
    def of(cls, segment: Segment, target_s: int, epoch: Epoch) -> KeptName:
        """The name that `segment` of a live playlist is kept under."""
        return cls(
            number=segment.number,
            epoch=epoch,
            begun_ms=segment.program_date_time_us // 1000,
            duration=segment.duration,
            target_s=target_s,
            discontinuity=segment.discontinuity,
        )

    @classmethod
    def parse(cls, file: str) -> KeptName | None:
        """The name that is written as `file`, None where it is not one."""
        found = _FILE.fullmatch(file)
        if found is None:
            return None
        number, term, revision, begun_ms, duration, target_s = map(int, found.groups()[:-1])
        return cls(
            number=number,
            epoch=Epoch(term, revision),
            begun_ms=begun_ms,
            duration=duration,
            target_s=target_s,
            discontinuity=bool(found[7]),
        )

    @property
    def end_ms(self) -> int:
        """Unix time of its end."""
        return self.begun_ms + self.duration // _MS_TICKS


def kept_path(stream: StreamKey, file: str) -> str:
    """Where in storage a kept segment is."""
    return f"{_folder(stream)}/{file}"


def _folder(stream: StreamKey) -> str:
    return f"{ROOT}/{stream.quoted()}"


class KeptSegments:
    """What was kept, as it is in storage: any node answers for it."""

    def __init__(self, storage: Storage) -> None:
        """Look into `storage`."""
        self._storage = storage
        self._listed = AskedOnce(self._list)
        self._known: dict[StreamKey, tuple[float, MediaPlaylist | None]] = {}  # when it was listed, by the loop's clock, and what

    async def answer(self, found: HlsPath, stream: StreamKey, query: str) -> Answer:
        """The playlist ``record.m3u8`` of `stream`.

        Raises:
            StorageUnavailable: it cannot be told.
        """
        listed_at, playlist = self._known.get(stream, (float("-inf"), None))
        if asyncio.get_running_loop().time() - listed_at > FRESH_S:
            playlist = await self._listed.get(stream)
        if playlist is None:
            return refusal(404, f"{stream}: no segments are kept")
        base = "../" * (found.depth + 1) + f"record/{'/'.join(_url_parts(stream))}/"
        return playlist_answer(render_media(playlist, query=kept_query(query), base=base), playlist.target_duration_s)

    async def _list(self, stream: StreamKey) -> MediaPlaylist | None:
        names: deque[KeptName] = deque(maxlen=MAX_LISTED)
        async for stored in list_all(self._storage, _folder(stream)):
            name = KeptName.parse(stored.path.rpartition("/")[2])
            if name is not None:
                names.append(name)
        state = await read_state(self._storage, stream) if names else None
        playlist = recorded_playlist(names, time.time(), over=state is not None and state.ended)
        self._known.pop(stream, None)
        self._known[stream] = asyncio.get_running_loop().time(), playlist
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return playlist

    async def find(self, stream: StreamKey, file: str) -> StoredFile | None:
        """The kept segment of that name.

        Raises:
            StorageUnavailable: it cannot be told.
        """
        if KeptName.parse(file) is None:
            return None
        found = await self._storage.stat(kept_path(stream, file))
        return StoredFile(found.path, found.size_bytes, found.modified_us, TS_TYPE) if found else None


def _url_parts(stream: StreamKey) -> list[str]:
    app, _, name = stream.quoted().partition("/")
    return [*app.split("%2F"), name]


def recorded_playlist(names: Iterable[KeptName], now_s: float, *, over: bool = False) -> MediaPlaylist | None:
    """The playlist of kept segments, None where there are none.

    Of two with one number the one of the higher epoch is listed: the other is of a worker that did not finish it for all. What is
    missing between two is a discontinuity, and numbers are counted from the first on.

    Args:
        names: sorted by number.
        now_s: Unix time: a recording to which nothing is added any more is complete.
        over: the stream has ended, so it is complete now; it goes on if the stream comes back.
    """
    newest: dict[int, KeptName] = {}
    for name in names:
        known = newest.get(name.number)
        if known is None or known.epoch < name.epoch:
            newest[name.number] = name
    if not newest:
        return None
    kept = list(newest.values())
    first, last = kept[0], kept[-1]
    segments, follows = [], first.number
    for index, name in enumerate(kept):
        missing = name.number != follows
        follows = name.number + 1
        segments.append(
            Segment(
                first.number + index,
                str(name),
                name.duration,
                name.begun_ms * 1000,
                discontinuity=name.discontinuity or missing,
            )
        )
    ended = over or last.end_ms / 1000 + ENDED_S < now_s
    return MediaPlaylist(
        target_duration_s=max(max(name.target_s, rounded_seconds(name.duration)) for name in kept),
        media_sequence=first.number,
        segments=tuple(segments),
        ended=ended,
        kind=PlaylistKind.VOD if ended else PlaylistKind.LIVE,
    )


def _parse_path(path: str) -> tuple[StreamKey | None, KeptName | None]:
    """Whose segment is at `path`, and what its name says; None where it is something else."""
    folder, _, file = path.removeprefix(f"{ROOT}/").rpartition("/")
    try:
        return StreamKey.from_quoted(folder), KeptName.parse(file)
    except InvalidName:
        return None, None


async def sweep_kept(storage: Storage, rules: RecordRules, now_s: float) -> int:
    """Remove the kept segments that their rules let go: by age, and the oldest of a rule where its all have too many bytes.

    Returns:
        How many.
    Raises:
        StorageUnavailable: the rest waits for the next time.
    """
    if not any(RecordFormat.HLS in rule.formats and (rule.keep_s or rule.keep_bytes) for rule in rules.rules):
        return 0
    by_rule: dict[RecordRule, list[tuple[int, int, str]]] = {}
    async for stored in list_all(storage, ROOT):
        stream, name = _parse_path(stored.path)
        rule = rules.of(stream, RecordFormat.HLS) if stream is not None else None
        if rule is not None and name is not None:
            by_rule.setdefault(rule, []).append((name.end_ms, stored.size_bytes, stored.path))
    gone = [path for rule, found in by_rule.items() for path in _outdated(rule, found, now_s)]
    for at in range(0, len(gone), DELETED_AT_ONCE):
        await storage.delete(gone[at : at + DELETED_AT_ONCE])
    return len(gone)


def _outdated(rule: RecordRule, found: list[tuple[int, int, str]], now_s: float) -> Iterable[str]:
    """Of one rule, from the newest back: all that is too old, or no longer fits."""
    kept_bytes = 0
    for end_ms, size_bytes, path in sorted(found, reverse=True):
        kept_bytes += size_bytes
        if (rule.keep_bytes and kept_bytes > rule.keep_bytes) or (rule.keep_s and end_ms / 1000 + rule.keep_s < now_s):
            yield path
