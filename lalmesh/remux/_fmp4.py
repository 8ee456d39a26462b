"""Packagers of HTTP-fMP4 and WebSocket-fMP4."""

from __future__ import annotations

import json

from lalmesh.container.fmp4 import (
    MAX_SAMPLE_TICKS,
    FragmentBuilder,
    TrackCompleter,
    carries,
    fragment,
    init_segment,
    mime_type,
)
from lalmesh.media import AccessUnit, Track, TrackSet
from lalmesh.remux._packager import Parts, not_carried
from lalmesh.remux._websocket import binary_message, close_message, text_message

MAX_ADVANCE_TICKS = 3 * MAX_SAMPLE_TICKS  #: how much earlier a picture is decoded at most: that of pauses in a row adds up
MAX_INITS = 8  #: init segments remembered: asked for are the one before a change and the one after it


class Fmp4Packager:
    """Fragmented MP4 as it goes over HTTP: the init segment, then one fragment a unit, at once.

    How long a unit lasts nobody knows before the next one comes: it is said to last as long as such units usually do, and the time
    in the next fragment puts that right; what browsers would take for a hole is closed. A file of HTTP has one init segment, so a
    player of another one has to ask again.
    """

    def __init__(self) -> None:
        """Start with fragment 1."""
        self._builder = FragmentBuilder(longest_hole=MAX_ADVANCE_TICKS)
        self._completer = TrackCompleter()
        self._sequence_number = 0
        self._inits: dict[TrackSet, bytes] = {}

    def start(self, tracks: TrackSet, dts: int) -> bytes:
        """The init segment; fragments say their times themselves."""
        return self._init_segment(tracks)

    def change(self, old: TrackSet, new: TrackSet, dts: int, parts: Parts) -> int:
        """Nothing: who can go on has all that there is to tell."""
        return 0

    def end(self, tracks: TrackSet, dts: int, parts: Parts) -> int:
        """Nothing: the last fragment is as any other."""
        return 0

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add the fragment of one unit to `parts`, with the silence before it that is missing. Gives the bytes added, 0 where fMP4
        cannot carry it.
        """
        self._completer.see(unit, tracks)
        if not self._builder.add(unit, tracks):
            return 0
        self._sequence_number += 1
        pieces = fragment(self._sequence_number, self._builder.take(), tracks)
        parts += pieces
        return sum(map(len, pieces))

    def left_out(self, tracks: TrackSet) -> tuple[Track, ...]:
        """The tracks that fMP4 cannot carry."""
        return not_carried(tracks, carries)

    def accepts(self, old: TrackSet, new: TrackSet) -> bool:
        """Whether both have the same init segment."""
        return self._init_segment(old) == self._init_segment(new)

    def _init_segment(self, tracks: TrackSet) -> bytes:
        completed = self._completer.complete(tracks)
        init = self._inits.get(completed)
        if init is None:
            init = self._inits[completed] = init_segment(completed)
            if len(self._inits) > MAX_INITS:
                del self._inits[next(iter(self._inits))]
        return init


class WebSocketFmp4Packager(Fmp4Packager):
    """The same in WebSocket messages: what the stream is as JSON in a text message, the init segment, then one fragment a message.

    Where the init segment changes, both come again, and fragments of the new one follow.
    """

    def start(self, tracks: TrackSet, dts: int) -> bytes:
        """The two messages that a player of Media Source Extensions needs first."""
        init = self._init_segment(tracks)
        return text_message(json.dumps({"mime": mime_type(tracks)})) + binary_message(init) if init else b""

    def change(self, old: TrackSet, new: TrackSet, dts: int, parts: Parts) -> int:
        """Add the same two messages to `parts` where the init segment is another one. Gives the bytes added."""
        opening = b"" if super().accepts(old, new) else self.start(new, dts)
        if opening:
            parts.append(opening)
        return len(opening)

    def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
        """Add one message with the fragment of one unit to `parts`. Gives the bytes added, 0 where fMP4 cannot carry it."""
        at = len(parts)
        parts.append(b"")
        return close_message(parts, at, super().package(unit, tracks, parts))

    def accepts(self, old: TrackSet, new: TrackSet) -> bool:
        """Always: a new init segment is told."""
        return True
