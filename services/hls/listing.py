"""What players see of a playlist: a whole segment is listed when it is stored, or when that takes too long.

So what is listed does not die with its worker, and no successor lists another URI under its number (rfc8216bis §6.2.1). Until then
players see the playlist as it was before: low-latency ones have all parts of the segment already. It is not held for longer than
a player notices: parts of the next segment can only be listed after it, and without parts a playlist has half a target duration to
spare (§6.2.1: a new segment after at most one and a half). What is listed before it is stored is what a worker can lose; where its
successor goes on, it answers for that too (`services.hls.output.Output.made_again`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from lalmesh.protocol.hls import MediaPlaylist
from services.hls.cuts import Cut, PartClosed, SegmentClosed, StreamOver
from services.hls.rendition import Rendition

HELD_TARGETS = 0.5  #: target durations that a whole segment waits at most


class Listing:
    """One rendition, and how much of its playlist is shown."""

    def __init__(self, rendition: Rendition) -> None:
        """Show what `rendition` lists."""
        self.rendition = rendition
        self._held: deque[tuple[int, MediaPlaylist]] = deque()  # segments not shown yet, each with the playlist before it

    @property
    def playlist(self) -> MediaPlaylist | None:
        """The playlist as players see it, None before there is one."""
        return self._held[0][1] if self._held else self.whole

    @property
    def whole(self) -> MediaPlaylist | None:
        """The playlist with all that is made."""
        return self.rendition.window.playlist if self.rendition.window is not None else None

    def take(self, cut: Cut, *, holds: bool) -> None:
        """Have the rendition follow one cut; a segment that it ends is not shown yet where that `holds`."""
        before = self.whole
        self.rendition.take(cut)
        now = self.whole
        match cut:
            case SegmentClosed(number) if holds and before is not None and now is not None:
                self._held.append((number, replace(before, hint_uri=now.hint_uri)))
            case PartClosed(whole=False) if now is not None and now.part_target is not None:
                self.show()
            case StreamOver():
                self.show()
            case _:
                pass

    def show(self, until: int | None = None) -> bool:
        """Show what is held, up to segment `until`, None: all. Gives whether there was anything."""
        held = len(self._held)
        while self._held and (until is None or self._held[0][0] <= until):
            self._held.popleft()
        return len(self._held) < held
