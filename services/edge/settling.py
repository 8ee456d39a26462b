"""The beginning of a stream, until all its tracks are there: for formats that tell them only at their start.

What a publisher says of its stream counts; of one that says nothing, sound and pictures are waited for, for a moment.
"""

from __future__ import annotations

import asyncio
import contextlib

from lalmesh.amf import parse_amf0
from lalmesh.media import TICKS_PER_MS, Codec, Kind, TrackSet
from lalmesh.runtime.ring import Run

SETTLED_MS = 500  #: of a stream's own time: encoders begin sound and pictures 300 ms apart or less, and few viewers notice it
MAX_WAIT_S = 1.0  #: for a stream that comes more slowly than its own time, or not at all: it has twice that time
BEGUN_UNITS = 60  #: units before the first one here, of a stream that has run for a while: 500 ms of 120 pictures a second

_NAMES = {"audiocodecid": Kind.AUDIO, "hasAudio": Kind.AUDIO, "videocodecid": Kind.VIDEO, "hasVideo": Kind.VIDEO}


class Settling:
    """Sees a stream until its tracks are settled, and again where another publication begins."""

    def __init__(self) -> None:
        """Begin before the first unit."""
        self.done = False  #: whether they are settled
        self._settled = asyncio.Event()  # the same, to wait for
        self._publication = b""
        self._first_dts = 0
        self._tracks = TrackSet()
        self._complete = False

    async def wait(self) -> None:
        """Return once they are settled, after `MAX_WAIT_S` in any case."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MAX_WAIT_S):
                await self._settled.wait()

    def see(self, run: Run) -> None:
        """The next units. Once they are settled, only those under other tracks are needed."""
        if run.publication != self._publication:
            self._begin(run)
        if run.tracks is not self._tracks:
            self._tracks, self._complete = run.tracks, is_complete(run.tracks)
        if self._complete or run.units[-1].dts - self._first_dts >= SETTLED_MS * TICKS_PER_MS:
            self._settle()

    def _begin(self, run: Run) -> None:
        self._publication, self._first_dts = run.publication, run.units[0].dts
        if run.first_seq < BEGUN_UNITS:
            self.done = False
            self._settled.clear()
        else:
            self._settle()

    def _settle(self) -> None:
        self.done = True
        self._settled.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._settle()


def is_complete(tracks: TrackSet) -> bool:
    """Whether each kind that the publisher's onMetaData names is there; both, where it names none."""
    awaited = _named(tracks) or {Kind.AUDIO, Kind.VIDEO}
    return all(tracks.first(kind) is not None for kind in awaited)


def _named(tracks: TrackSet) -> set[Kind]:
    """A codec id of 0 names none: it is no video codec and no sound that is carried (FLV 10.1 §E.4.2.1, §E.4.3.1)."""
    script = next((track for track in tracks.tracks if track.codec is Codec.SCRIPT), None)
    values = parse_amf0(script.configuration) if script is not None else []
    members = next((value for value in values if isinstance(value, dict)), {})
    return {kind for name, kind in _NAMES.items() if isinstance(said := members.get(name), float | str | bool) and said}
