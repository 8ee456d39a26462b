"""The tracks of a client: which it wants, how it asks for them, what the server chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lalmesh.protocol.rtsp._calls import Call
from lalmesh.protocol.rtsp._events import TrackSetUp
from lalmesh.protocol.rtsp._transport import Pair, Transport, parse_transports


@dataclass(slots=True, frozen=True)
class TrackRequest:
    """A track to set up."""

    url: str  #: its control URL, absolute
    client_port: Pair | None = None  #: of RTP and RTCP over UDP; None: on the connection


class ClientTracks:
    """Sets tracks up one after the other: the session id comes with the first answer."""

    def __init__(self, *, is_record: bool) -> None:
        """Want nothing yet; `is_record`: to send them."""
        self._mode = "record" if is_record else ""
        self._wanted: tuple[TrackRequest, ...] = ()
        self._done: list[Transport] = []
        self._channels: dict[int, tuple[int, bool]] = {}  # to the track, and whether it is RTCP

    def want(self, tracks: Sequence[TrackRequest]) -> None:
        """Set up these."""
        self._wanted = tuple(tracks)

    @property
    def is_wanted(self) -> bool:
        """There are some to set up."""
        return bool(self._wanted)

    @property
    def is_begun(self) -> bool:
        """At least one is set up."""
        return bool(self._done)

    def next_call(self) -> Call | None:
        """The request for the next track; None: all are set up."""
        number = len(self._done)
        if number == len(self._wanted):
            return None
        return Call("SETUP", self._wanted[number].url, (("Transport", self._way(number).serialize()),))

    def take(self, header: str) -> TrackSetUp:
        """Take the way that the server chose for the track that was asked for last.

        Interop: a server that does not say which way it chose, or which channels, chose what it was asked for.

        Raises:
            RemoteProtocolError: a port or a channel that is none.
        """
        number, asked = len(self._done), self._way(len(self._done))
        chosen = next(iter(parse_transports(header)), asked)
        if chosen.is_tcp:
            rtp, rtcp = chosen.interleaved or asked.interleaved or _channels_of(number)
            self._channels |= {rtcp: (number, True), rtp: (number, False)}
        self._done.append(chosen)
        return TrackSetUp(number, chosen)

    def fall_back(self) -> bool:
        """Want all tracks on the connection; False where the one that was asked for last was wanted so already."""
        if self._wanted[len(self._done)].client_port is None:
            return False
        self._wanted = tuple(TrackRequest(track.url) for track in self._wanted)
        return True

    def forget(self) -> None:
        """Begin again with the first."""
        self._done, self._channels = [], {}

    def channel(self, number: int) -> tuple[int, bool] | None:
        """The track whose packets come on a channel, and whether they are RTCP."""
        return self._channels.get(number)

    def _way(self, number: int) -> Transport:
        ports = self._wanted[number].client_port
        if ports is not None:
            return Transport(client_port=ports, mode=self._mode)
        return Transport(protocol="RTP/AVP/TCP", interleaved=_channels_of(number), mode=self._mode)


def _channels_of(number: int) -> Pair:
    return 2 * number, 2 * number + 1
