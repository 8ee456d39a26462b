"""What a worker has made: its renditions, their files in memory, and those who wait for more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from lalmesh.protocol.hls import MediaPlaylist
from lalmesh.runtime.ownership import Epoch
from services.hls.cuts import Cut, SegmentBegun, SegmentLost, TargetsFixed
from services.hls.hosting import WorkerCounters
from services.hls.rendition import Format, MadeFile, Rendition, make_rendition
from services.hls.shelf import Budget, Shelf

BACKLOG_SEGMENTS = 2  #: whole ones whose units are kept for a rendition that starts late

_Found = TypeVar("_Found")


class Output:
    """The renditions of one stream under one epoch, each made from its first request on."""

    def __init__(
        self,
        epoch: Epoch,
        list_size: int,
        wanted: Iterable[Format],
        budget: Budget,
        counters: WorkerCounters,
        lost: Callable[[int], None],
    ) -> None:
        """Make what is `wanted` from the start; `lost` hears of segments that had to leave memory before they were stored."""
        self.renditions: dict[Format, Rendition] = {}
        self.targets: TargetsFixed | None = None
        self.ended = False  #: nothing comes any more: whoever waits is told what there is
        self._epoch = epoch
        self._list_size = list_size
        self._counters = counters
        self._lost = lost
        self._shelf = Shelf(budget)
        self._wanted = set(wanted)
        self._begun = False
        self._restored: Mapping[str, Mapping[str, Any]] = {}  # renditions of the worker before
        self._goes_on = False  # whether their playlists go on
        self._backlog: list[list[Cut]] = []  # of the last segments, the open one last
        self._unstored: list[MadeFile] = []  # of the open segment, and of those that a late rendition made
        self._loop = asyncio.get_running_loop()
        self._changed: asyncio.Future[None] = self._loop.create_future()

    # what there is

    def playlist(self, kind: Format) -> MediaPlaylist | None:
        """The playlist of a format, None before there is one."""
        rendition = self.renditions.get(kind)
        return rendition.window.playlist if rendition is not None and rendition.window is not None else None

    def file(self, name: str) -> bytes | None:
        """A file in memory."""
        return self._shelf.get(name)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Tracks that a rendition cannot carry, such as ``hls-ts: pcma``."""
        return tuple(
            f"hls-{rendition.format.value}: {track.codec.value}"
            for rendition in self.renditions.values()
            for track in rendition.left_out
        )

    async def until(self, look: Callable[[], _Found | None], wait_s: float) -> _Found | None:
        """What `look` finds, now or when something has changed; None where it is nothing for `wait_s` or until the end."""
        try:
            async with asyncio.timeout(wait_s):
                while (found := look()) is None and not self.ended:
                    await asyncio.shield(self._changed)
                return found
        except TimeoutError:
            return None

    def wake(self) -> None:
        """Something has changed for those who wait."""
        changed, self._changed = self._changed, self._loop.create_future()
        changed.set_result(None)

    def end(self) -> None:
        """Nothing comes any more."""
        self.ended = True
        self.wake()

    # making

    def begin(self, restored: Mapping[str, Mapping[str, Any]], targets: TargetsFixed | None, *, goes_on: bool) -> None:
        """Begin, with what the worker before had (`restored`), whose playlists go on or not, under `targets` if they are known."""
        self._begun = True
        self._restored, self.targets, self._goes_on = restored, targets, goes_on
        for kind in Format:
            if (goes_on and kind.value in restored) or kind in self._wanted:
                self._open(kind)

    def want(self, kind: Format) -> None:
        """Make this format from now on, and of what is kept."""
        self._wanted.add(kind)
        if self._begun and kind not in self.renditions:
            self._open(kind)

    def _open(self, kind: Format) -> None:
        restored = self._restored.get(kind.value)
        rendition = make_rendition(kind, self._epoch, self._list_size, restored, goes_on=self._goes_on)
        self.renditions[kind] = rendition
        if self.targets is not None:
            rendition.take(self.targets)
        for cuts in self._backlog:
            for cut in cuts:
                self._take_into(rendition, cut)

    def take(self, cut: Cut) -> None:
        """Follow one cut in all renditions."""
        self._keep(cut)
        for rendition in self.renditions.values():
            self._take_into(rendition, cut)

    def _keep(self, cut: Cut) -> None:
        """Keep the cut for renditions that start late."""
        if isinstance(cut, TargetsFixed):
            self.targets = cut
            return
        if isinstance(cut, SegmentBegun):
            self._backlog.append([])
            del self._backlog[: -BACKLOG_SEGMENTS - 1]
        if self._backlog and not isinstance(cut, SegmentLost):
            self._backlog[-1].append(cut)

    def _take_into(self, rendition: Rendition, cut: Cut) -> None:
        rendition.take(cut)
        made, rendition.made = rendition.made, []
        for file in made:
            self._counters.parts += not file.stored
            self._counters.segment_bytes += len(file.data) * file.stored
            for number in self._shelf.put(file):
                self._lose(number)
            if file.stored and file.data:
                self._unstored.append(file)

    def _lose(self, number: int) -> None:
        """Memory was full before the segment was stored."""
        self._lost(number)
        for rendition in self.renditions.values():
            if rendition.window is not None:
                rendition.window.mark_gap(number)

    # storing

    def take_unstored(self) -> list[MadeFile]:
        """The files that are to be stored since the last call."""
        files, self._unstored = self._unstored, []
        return files

    def take_dropped(self) -> list[str]:
        """The names of the segments that have left the playlists since the last call."""
        dropped = []
        for rendition in self.renditions.values():
            dropped += [segment.uri for segment in rendition.dropped]
            rendition.dropped = []
        return dropped

    def stored(self, number: int) -> None:
        """Storage has the segment, and all before it."""
        self._shelf.stored(number)

    def to_state(self) -> dict[str, dict[str, Any]]:
        """What the next worker needs of each rendition, by its format."""
        return {kind.value: rendition.to_state() for kind, rendition in self.renditions.items()}

    def clear(self) -> None:
        """Give all memory back."""
        self._shelf.clear()
