"""What a worker has made: its renditions, their files in memory, and those who wait for more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from lalmesh.protocol.hls import FileName, InitName, MediaPlaylist, PartName, SegmentName
from lalmesh.runtime.ownership import Epoch
from services.hls.cuts import Cut, SegmentBegun, SegmentClosed, SegmentLost, TargetsFixed
from services.hls.hosting import WorkerCounters
from services.hls.listing import HELD_TARGETS, Listing
from services.hls.numbers import AHEAD
from services.hls.rendition import Format, MadeFile, Rendition, make_rendition
from services.hls.shelf import Budget, Shelf

BACKLOG_SEGMENTS = 2  #: whole ones whose units are kept for a rendition that starts late

_Found = TypeVar("_Found")


class OutputHost(Protocol):
    """What an output needs of its worker."""

    def lost(self, number: int) -> None:
        """Memory was full before the segment was stored."""
        ...

    def made_late(self) -> None:
        """A rendition has begun with segments of the past, which are to be stored."""
        ...


class Output:
    """The renditions of one stream under one epoch, each made from its first request on."""

    def __init__(
        self,
        host: OutputHost,
        epoch: Epoch,
        list_size: int,
        wanted: Iterable[Format],
        budget: Budget,
        counters: WorkerCounters,
    ) -> None:
        """Make what is `wanted` from the start, for `host`."""
        self.targets: TargetsFixed | None = None
        self.ended = False  #: nothing comes any more: whoever waits is told what there is
        self._host = host
        self._epoch = epoch
        self._list_size = list_size
        self._counters = counters
        self._listings: dict[Format, Listing] = {}
        self._shelf = Shelf(budget)
        self._wanted = set(wanted)
        self._begun = False
        self._restored: Mapping[str, Mapping[str, Any]] = {}  # renditions of the worker before
        self._goes_on = False  # whether their playlists go on
        self._again: range = range(0)  # segments that the worker before may have made in part, and that are the same here
        self._states: dict[str, dict[str, Any]] = {}  # of the renditions, by format, after the last whole segment
        self._last = -1  # number of that
        self._lags = False  # whether storage does, so that waiting for it would only make all late
        self._backlog: list[list[Cut]] = []  # of the last segments, the open one last
        self._unstored: list[MadeFile] = []  # of the open segment, and of those that a late rendition made
        self._loop = asyncio.get_running_loop()
        self._changed: asyncio.Future[None] = self._loop.create_future()

    # what there is

    @property
    def has_begun(self) -> bool:
        """Whether it is known what the worker before has left."""
        return self._begun

    @property
    def renditions(self) -> dict[Format, Rendition]:
        """The renditions that are made."""
        return {kind: listing.rendition for kind, listing in self._listings.items()}

    def playlist(self, kind: Format) -> MediaPlaylist | None:
        """The playlist of a format as players see it, None before there is one."""
        listing = self._listings.get(kind)
        return listing.playlist if listing is not None else None

    def whole_playlist(self, kind: Format) -> MediaPlaylist | None:
        """The playlist of a format with all that is made, None before there is one."""
        listing = self._listings.get(kind)
        return listing.whole if listing is not None else None

    def made_again(self, name: FileName) -> SegmentName | PartName | None:
        """What a segment or part that the worker before had begun is called here: the same units, cut alike. None of any other."""
        if isinstance(name, InitName) or name.number not in self._again or (name.term, name.revision) >= self._epoch:
            return None
        return replace(name, term=self._epoch.term, revision=self._epoch.revision)

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

    def begin(
        self,
        restored: Mapping[str, Mapping[str, Any]],
        targets: TargetsFixed | None,
        *,
        goes_on: bool,
        again_from: int | None = None,
    ) -> None:
        """Begin.

        Args:
            restored: what the worker before had, by format.
            targets: where they are known.
            goes_on: whether the playlists of the worker before go on.
            again_from: the segment that the worker before may have begun, and that is made again from the same unit on.
        """
        self._begun = True
        self._restored, self.targets, self._goes_on = restored, targets, goes_on
        if again_from is not None:
            self._again = range(again_from, again_from + AHEAD + 1)
        for kind in Format:
            if (goes_on and kind.value in restored) or kind in self._wanted:
                self._open(kind)
        self.wake()

    def want(self, kind: Format) -> None:
        """Make this format from now on, and of what is kept."""
        self._wanted.add(kind)
        if self._begun and kind not in self.renditions:
            self._open(kind)

    def _open(self, kind: Format) -> None:
        restored = self._restored.get(kind.value)
        rendition = make_rendition(kind, self._epoch, self._list_size, restored, goes_on=self._goes_on)
        listing = self._listings[kind] = Listing(rendition)
        if self.targets is not None:
            rendition.take(self.targets)
        for cuts in self._backlog:
            for cut in cuts:
                self._take_into(listing, cut)
        if len(self._backlog) > 1:
            self._host.made_late()

    def take(self, cut: Cut) -> None:
        """Follow one cut in all renditions."""
        self._keep(cut)
        if isinstance(cut, SegmentLost) or (isinstance(cut, SegmentBegun) and cut.discontinuity):
            self._again = self._again[: max(0, cut.number - self._again.start)]  # the worker before has not made the same
        for listing in self._listings.values():
            self._take_into(listing, cut)

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

    def _take_into(self, listing: Listing, cut: Cut) -> None:
        rendition = listing.rendition
        listing.take(cut, holds=not self._lags)
        self._counters.unmuxed_units += rendition.failures
        rendition.failures = 0
        made, rendition.made = rendition.made, []
        for file in made:
            self._counters.parts += not file.stored
            self._counters.segment_bytes += len(file.data) * file.stored
            for number in self._shelf.put(file):
                self._lose(number)
            if file.stored and file.data:
                self._unstored.append(file)
        if isinstance(cut, SegmentClosed):
            self._last = max(self._last, cut.number)
            self._states[rendition.format.value] = rendition.to_state()
            if not self._lags and self.targets is not None:
                self._loop.call_later(HELD_TARGETS * self.targets.targets.duration_s, self._waited, cut.number)

    def _lose(self, number: int) -> None:
        """Memory was full before the segment was stored."""
        self._host.lost(number)
        for listing in self._listings.values():
            listing.show()
            if listing.rendition.window is not None:
                listing.rendition.window.mark_gap(number)

    def _show(self, until: int) -> bool:
        """List the segments up to `until`. Gives whether any was held."""
        shown = [listing.show(until) for listing in self._listings.values()]
        if any(shown):
            self.wake()
        return any(shown)

    def _waited(self, number: int) -> None:
        """The segment has waited for storage long enough."""
        self._lags = self._show(number) or self._lags

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
        self._lags = self._lags and number < self._last
        self._show(number)

    def to_state(self) -> dict[str, dict[str, Any]]:
        """What the next worker needs of each rendition to go on after the last whole segment, by its format."""
        return dict(self._states)

    def clear(self) -> None:
        """Give all memory back."""
        self._shelf.clear()
