"""What players of a stream that is segmented here are answered: now, or when what they wait for is there."""

from __future__ import annotations

from collections.abc import Callable

from lalmesh.media import TICKS_PER_SECOND
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import (
    FileName,
    MediaPlaylist,
    PartName,
    PlaylistName,
    Ready,
    Refused,
    ReloadRequest,
    SegmentName,
    answer_to,
    render_multivariant,
)
from lalmesh.runtime.storage import Storage
from services.hls.answer import Answer, file_answer, playlist_answer, refusal
from services.hls.layout import file_path
from services.hls.output import Output
from services.hls.playlists import Rendered, live_answer
from services.hls.rendition import Format
from services.hls.waits import ENOUGH_WAIT_S, RELOAD_TARGETS

#: target durations that the first TS playlist has, so that who begins with it does not run dry: a player looks for the next segment
#: when it has had the first for a target duration, and half of one later if it came too early
ENOUGH_TARGETS = 2

#: who asks for a segment has those before it, and no delta playlist may skip others: the last six target durations never are, which
#: is more than so many segments. Where more have come meanwhile, as when a successor took a while, the whole playlist is the answer
DELTA_SEGMENTS = 3

_NOTHING = MediaPlaylist(target_duration_s=1, media_sequence=0)  # stands for the playlist of a rendition that can carry nothing


class Playing:
    """Answers from the output of one worker."""

    def __init__(self, stream: StreamKey, output: Output, storage: Storage, wait_s: float, asked: Callable[[], None]) -> None:
        """Answer for `stream`; a first request waits `wait_s` at most; `asked` hears of every one."""
        self._stream = stream
        self._output = output
        self._storage = storage
        self._wait_s = wait_s
        self._asked = asked
        self._rendered = {kind: Rendered() for kind in Format}

    async def playlist(self, name: PlaylistName, reload: ReloadRequest, query: str, base: str) -> Answer:
        """The playlist of that name, once it has what `reload` waits for.

        Args:
            name: which.
            reload: what the player waits for.
            query: to be put on every line.
            base: to be put before every line.
        """
        kind = Format.TS if name is PlaylistName.PLAYLIST else Format.FMP4
        self._asked()
        self._output.want(kind)
        playlist = await self._output.until(lambda: self._listed(kind, name), self._wait_s)
        rendition = self._output.renditions.get(kind)
        if rendition is not None and rendition.is_empty:
            codecs = ", ".join(track.codec.value for track in rendition.left_out)
            return refusal(406, f"{kind.value} segments cannot carry {codecs}")
        if playlist is None or rendition is None:
            return refusal(404 if self._output.ended else 503, f"{self._stream}: no segment yet")
        if kind is Format.TS:
            playlist = (
                await self._output.until(lambda: self._with_enough(kind), ENOUGH_WAIT_S) or self._output.playlist(kind) or playlist
            )
        if name is PlaylistName.INDEX:
            variant = rendition.variant(f"{base}{PlaylistName.LIVE.value}.m3u8")
            return playlist_answer(render_multivariant(variant, query=query), playlist.target_duration_s)
        return await self._live(kind, playlist, reload, query, base)

    async def _live(self, kind: Format, playlist: MediaPlaylist, reload: ReloadRequest, query: str, base: str) -> Answer:
        answer = answer_to(playlist, reload)
        if not isinstance(answer, Ready | Refused):
            await self._output.until(lambda: self._reached(kind, reload), RELOAD_TARGETS * playlist.target_duration_s)
            playlist = self._output.playlist(kind) or playlist
            answer = answer_to(playlist, reload)
        if isinstance(answer, Refused):
            return refusal(answer.status, answer.reason)
        if not isinstance(answer, Ready):
            return refusal(503, "the stream stands still")
        is_near = reload.msn is None or playlist.next_number <= reload.msn + DELTA_SEGMENTS
        text = self._rendered[kind].text(playlist, skip=reload.skip and is_near, query=query, base=base)
        return live_answer(playlist, text, blocked=reload.msn is not None and playlist.part_target is not None)

    def _listed(self, kind: Format, name: PlaylistName) -> MediaPlaylist | None:
        """The playlist once there is something to play; the multivariant one says what only a whole segment tells."""
        playlist = self._output.playlist(kind)
        if playlist is None:
            rendition = self._output.renditions.get(kind)
            return _NOTHING if rendition is not None and rendition.is_empty else None
        return playlist if playlist.segments or (playlist.open_parts and name is not PlaylistName.INDEX) else None

    def _with_enough(self, kind: Format) -> MediaPlaylist | None:
        """The playlist once a player can begin with it and go on."""
        playlist = self._output.playlist(kind) or _NOTHING
        listed = sum(segment.duration for segment in playlist.segments)
        return playlist if listed >= ENOUGH_TARGETS * playlist.target_duration_s * TICKS_PER_SECOND else None

    def _reached(self, kind: Format, reload: ReloadRequest) -> bool | None:
        playlist = self._output.playlist(kind)
        return True if playlist is None or isinstance(answer_to(playlist, reload), Ready | Refused) else None

    async def file(self, name: FileName) -> Answer | None:
        """The file of that name; None where it is not in memory. A part that playlists hint at is waited for.

        Raises:
            StorageUnavailable: where a part may be stored, and it cannot be told.
        """
        self._asked()
        await self._output.until(lambda: self._output.has_begun or None, self._wait_s)
        own = self._output.made_again(name)
        if own is not None:
            await self._remade(own)
        data = self._output.file(str(own or name))
        if data is None:
            data = await self._not_in_memory(name, own)
        return file_answer(name, data) if data else None

    async def _not_in_memory(self, name: FileName, own: SegmentName | PartName | None) -> bytes | None:
        match own or name:
            case PartName() as part:
                return await self._hinted_part(str(part)) or await self._stored_part(str(part))
            case found:
                return await self._storage.get(file_path(self._stream, str(found))) if own is not None else None

    async def _remade(self, name: SegmentName | PartName) -> None:
        """Wait for what the worker before has made, and this one is about to, from what the origin has kept."""
        kind = Format.TS if isinstance(name, SegmentName) and name.suffix == "ts" else Format.FMP4

        def look() -> bool | None:
            playlist = self._output.playlist(kind)
            is_past = kind not in self._output.renditions or (playlist is not None and playlist.next_number > name.number)
            return True if is_past or self._output.file(str(name)) is not None else None

        await self._output.until(look, self._wait_s)

    async def _hinted_part(self, name: str) -> bytes | None:
        """A part that is the next to come."""
        playlist = self._output.playlist(Format.FMP4)
        if playlist is None or not self._is_hinted(name):
            return None

        def look() -> bool | None:
            return True if self._output.file(name) is not None or not self._is_hinted(name) else None

        await self._output.until(look, RELOAD_TARGETS * playlist.target_duration_s)
        return self._output.file(name)

    def _is_hinted(self, name: str) -> bool:
        playlist = self._output.playlist(Format.FMP4)
        return playlist is not None and playlist.hint_uri == name

    async def _stored_part(self, name: str) -> bytes | None:
        """A part that is in memory no more, or that the worker before has made: out of its segment."""
        rendition = self._output.renditions.get(Format.FMP4)
        found = rendition.range_of(name) if rendition is not None else None
        if found is None:
            return None
        segment, start, end = found
        return await self._storage.get_range(file_path(self._stream, segment), start, end)
