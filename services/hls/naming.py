"""Which stream a URL names. Where it leaves the application out, that is the only stream of that name (docs/design.md §6).

Where there is none yet, it is the one that a relay fetches, or that the first request for it would have fetched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lalmesh.errors import RemoteProtocolError, Unavailable
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.protocol.hls import HlsPath, parse_path
from lalmesh.runtime.asked_once import AskedOnce
from lalmesh.runtime.scheduling import NamedStreams

FRESH_S = 1.0  #: that an answer of the scheduler is taken for the present one: all players of a stream cost one question a second
NAMES_KEPT = 10_000  #: names of streams that are remembered
USUAL_APP = "live"  #: of a stream that nobody publishes, fetches or remembers

#: gives the streams of a name, whatever their applications; raises `Unavailable`
Find = Callable[[str], Awaitable[NamedStreams]]


@dataclass(slots=True, frozen=True)
class _Known:
    stream: StreamKey
    until_s: float  # fresh


class StreamNames:
    """Tells which streams URLs name."""

    def __init__(self, find: Find, clock: Callable[[], float], *, match_app: bool = True) -> None:
        """Look up with `find` what leaves the application out; `clock` gives seconds.

        Without `match_app` applications mean nothing: the name alone is the stream.
        """
        self._find = find
        self._clock = clock
        self._match_app = match_app
        self._known: dict[str, _Known] = {}
        self._asked = AskedOnce(self._look_up)

    async def resolve(self, path: str) -> tuple[HlsPath, StreamKey]:
        """What `path` asks for, and of which stream.

        Raises:
            InvalidName: it names no stream that may be.
            RemoteProtocolError: nothing has such a path, or several applications have a stream of the name.
            Unavailable: it cannot be told.
        """
        found = parse_path(path)
        if not self._match_app:
            return found, StreamKey(ANY_APP, found.name)
        if found.app is not None:
            return found, StreamKey(found.app, found.name)
        return found, await self._only(found.name)

    async def _only(self, name: str) -> StreamKey:
        known = self._known.get(name)
        if known is not None and self._clock() < known.until_s:
            return known.stream
        return await self._asked.get(name)

    async def _look_up(self, name: str) -> StreamKey:
        """Ask. What was found before stays where nothing else is known: a stream that is over, a scheduler that is away."""
        known = self._known.get(name)
        before = known.stream if known is not None else None
        try:
            found = await self._find(name)
        except Unavailable:
            if before is None:
                raise
            return before
        streams = found.streams
        if len(streams) > 1 and before not in streams:
            apps = ", ".join(sorted(stream.app for stream in streams))
            raise RemoteProtocolError(f"several applications have a stream {name}: {apps}")
        stream = before if before in streams or not streams else streams[0]
        if stream is None:
            return found.fetched or StreamKey(USUAL_APP, name)  # not kept: anybody may ask for names that are nowhere
        self._keep(name, stream)
        return stream

    def _keep(self, name: str, stream: StreamKey) -> None:
        self._known.pop(name, None)
        self._known[name] = _Known(stream, self._clock() + FRESH_S)
        if len(self._known) > NAMES_KEPT:
            del self._known[next(iter(self._known))]
