"""Which hls node an edge asks for what.

Rendezvous hashing of the stream over the nodes: all requests for one stream meet the same node, whichever edge they come through,
and a node that comes or goes moves only its own share. One that could not be reached comes last for a while. While no scheduler
answers, a node may not know where a stream is segmented, or take long to say so; the one that turned out to know comes first for a
while.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

AVOID_S = 5.0  #: for so long after a failed connect other nodes are asked first; a machine that vanished costs a timeout each time
MAX_AVOIDED = 1_000  #: nodes remembered so; clusters are smaller
FOUND_S = 30.0  #: for so long the node that knew where a stream is is asked first, before others are tried again
MAX_LAST = 10_000  #: streams of which is remembered who answered: those of one edge
PLAYLIST_SUFFIX = ".m3u8"
#: playlists that stand in the folder of their stream; any other names its stream (docs/design.md §6)
PLAYLISTS_IN_FOLDERS = frozenset(("index", "live", "playlist", "record"))


@dataclass(slots=True, frozen=True)
class Upstream:
    """One hls node as an edge reaches it."""

    name: str  #: what is hashed: of the node where it is known, so that an address may change
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as a URL has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, address: str) -> Upstream:
        """An upstream from ``HOST:PORT`` or ``[ADDRESS]:PORT``."""
        host, _, port = address.rpartition(":")
        return cls(address, host.strip("[]"), int(port))


class HlsUpstreams(Protocol):
    """Knows the hls nodes."""

    def __call__(self) -> Sequence[Upstream]:
        """Those that may be asked now, in any order."""
        ...


class UpstreamChoice:
    """The order in which upstreams are asked."""

    def __init__(self, upstreams: HlsUpstreams, clock: Callable[[], float]) -> None:
        """Choose among `upstreams`; `clock` gives seconds."""
        self._upstreams = upstreams
        self._clock = clock
        self._avoided: dict[Upstream, float] = {}  # until when
        self._last: dict[str, tuple[Upstream, float]] = {}  # who answered, by stream; until when it comes first, if it does

    def ranked(self, stream: str) -> list[Upstream]:
        """Every upstream, the one to ask first in front."""
        now = self._clock()
        ranked = sorted(self._upstreams(), key=lambda upstream: _weight(stream, upstream.name), reverse=True)
        last, until = self._last.get(stream, (None, 0.0))
        found = last if until > now else None
        # stable: the order stays otherwise
        return sorted(ranked, key=lambda upstream: (self._avoided.get(upstream, 0.0) > now, upstream != found))

    def knows(self, upstream: Upstream) -> bool:
        """Whether it may be asked still."""
        return upstream in self._upstreams()

    def last(self, stream: str) -> Upstream | None:
        """Who has answered for `stream` last, if it may be asked still."""
        last, _ = self._last.get(stream, (None, 0.0))
        return last if last is not None and self.knows(last) else None

    def answered(self, stream: str, upstream: Upstream, *, first: bool = False) -> None:
        """It knew where the stream is; from now on it comes `first`, for a while: one before it did not, or took too long."""
        last, until = self._last.pop(stream, (None, 0.0))
        if first:
            until = self._clock() + FOUND_S
        self._last[stream] = upstream, until if first or last == upstream else 0.0
        if len(self._last) > MAX_LAST:
            del self._last[next(iter(self._last))]

    def failed(self, upstream: Upstream) -> None:
        """It could not be reached."""
        self._avoided.pop(upstream, None)
        self._avoided[upstream] = self._clock() + AVOID_S
        if len(self._avoided) > MAX_AVOIDED:
            del self._avoided[next(iter(self._avoided))]

    def reached(self, upstream: Upstream) -> None:
        """It answered."""
        self._avoided.pop(upstream, None)


def _weight(stream: str, name: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{stream}".encode(), digest_size=8).digest()


def stream_of(path: str) -> str:
    """What is hashed for a path below ``/hls/`` or ``/record/``: its stream, playlists and segments alike.

    ``/hls/live/a.m3u8``, ``/hls/live/a/index.m3u8`` and ``/hls/live/a/5.3-17.m4s`` all give ``live/a``.
    """
    *folders, last = path.strip("/").split("/")[1:] or [""]
    stem = last.removesuffix(PLAYLIST_SUFFIX)
    if stem != last and stem not in PLAYLISTS_IN_FOLDERS:
        folders.append(stem)
    return "/".join(folders)
