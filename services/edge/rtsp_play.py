"""RTSP players: from the name of a stream to its packets on a connection, by UDP, or both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from lalmesh.errors import StreamNotFound, Unavailable
from lalmesh.names import StreamKey
from lalmesh.protocol.rtsp import Transport
from lalmesh.remux import RtpStream, plain_channels
from lalmesh.runtime.sessions import codecs_of
from services.edge.client import Client
from services.edge.fanout import OTHER_CONFIGURATION
from services.edge.rtsp_link import Described, RtspLink, local_address
from services.edge.rtsp_ways import DatagramWay, First, InterleavedWay, Way, has_room_for_channels
from services.edge.session import Session, SessionMedia

if TYPE_CHECKING:
    from services.edge.relay import Relay
    from services.edge.rtp_ports import RtpPair


class RtspPlaying:
    """One player on a connection: an `RtspPlayer`.

    What it was told of the stream holds until its end: where other tracks come, so does that end.
    """

    def __init__(self, link: RtspLink) -> None:
        """A player on the connection `link`, of nothing yet."""
        self._link = link
        self._relay: Relay | None = None  # held from the description to the end
        self._rtp: RtpStream | None = None  # as the player was told of it
        self._pairs: dict[int, RtpPair] = {}  # by track index
        self._ways: list[Way] = []  # of what plays
        self._unstarted: list[Way] = []  # ... and of what will, once the client has been told
        self._session: Session | None = None
        self._sent_bytes = 0  # before the last pause
        self._first_us = self._skips = 0  # as far as they were looked at
        self._is_over = False

    async def describe(self, stream: StreamKey, client: Client) -> Described:
        """Get hold of a stream for `client`, once; its description, when all its tracks are there as far as anybody can tell.

        Raises:
            ServiceError: there is none, or nobody can tell now.
            UnsupportedError: none of its tracks can go out by RTP.
        """
        joining = await self._link.context.join(stream, client, self._link.settings.wait_publisher_s)
        relay = joining.relay
        with joining.given_back_unless_taken():
            await relay.settled()
            joining.check()
            rtp = relay.outputs.rtp_stream()
            if not self._is_over:
                self._relay, self._rtp = joining.take(), rtp
                self._begin(joining.session)
        return Described(sdp=rtp.description(relay.tracks), controls=rtp.controls)

    def describe_again(self) -> Described | None:
        """See `RtspPlayer.describe_again`."""
        relay, rtp = self._relay, self._rtp
        if relay is None or rtp is None or not relay.outputs.goes_out_as(rtp):
            return None
        return Described(sdp=rtp.description(relay.tracks), controls=rtp.controls)

    def setup(self, track: int, transport: Transport) -> Transport:
        """Take `transport`, TCP or UDP, for a track; it comes back with what the client has to know (ports, SSRC).

        Raises:
            OSError: no UDP port is free.
        """
        if self._rtp is None or not 0 <= track < len(self._rtp.controls):
            raise OSError(f"no track {track} here")
        told = replace(transport, ssrc=self._rtp.ssrc(track))
        if not transport.is_udp or transport.client_port is None:
            self._close_pair(track)
            is_own = not transport.is_tcp or self._relay is None or has_room_for_channels(self._relay)
            return told if is_own else replace(told, interleaved=plain_channels(self._rtp)[track])
        link, pair, before = self._link, self._pairs.get(track), self._link.transports.get(track)
        if pair is None or before is None or before.client_port != transport.client_port:
            pair = link.ports.open(
                local_address(link), link.address, transport.client_port, track, lambda is_rtcp, numbered: link.heard()
            )
            self._close_pair(track)  # not before: where there are no others, these stay
            self._pairs[track] = pair
        return replace(told, server_port=pair.ports)

    def play(self, tracks: Collection[int]) -> First:
        """Be ready to send; by track, the sequence number of its first packet, and its RTP timestamp at one instant of all.

        Media go out after `start`. Tracks are missing that have to wait for the next random access point, or that play already.

        Raises:
            StreamNotFound: the stream is another one by now than the player was told.
            Unavailable: too many choices of channels are in use.
        """
        playing = {track for way in self._ways for track in way.tracks}
        self._unstarted = self._build_ways(set(tracks) - playing, from_cache=True)
        if self._rtp is None:
            return {}
        first = {track: packet for way in self._unstarted for track, packet in way.first_packets.items()}
        return self._rtp.of_one_instant(first)

    def start(self) -> None:
        """The client has been told: send."""
        if self._is_over:
            return
        ways, self._unstarted = self._unstarted, []
        self._ways += ways
        for way in ways:
            way.start()

    def pause(self, tracks: Collection[int]) -> None:
        """Send nothing of `tracks` until `play`; what plays beside them on the same way goes on at the next random access point."""
        for way in [way for way in self._ways if not way.tracks.isdisjoint(tracks)]:
            self._end_way(way)
            try:
                rest = self._build_ways(way.tracks.difference(tracks), from_cache=False)
            except StreamNotFound:
                continue  # the player is about to be closed
            except Unavailable as error:
                self._link.close(str(error))
                return
            self._ways += rest
            for again in rest:
                again.start()

    def remove(self, tracks: Collection[int]) -> None:
        """The client is done with `tracks`, but not with all."""
        self.pause(tracks)
        for track in tracks:
            self._close_pair(track)

    def _end_way(self, way: Way) -> None:
        self._ways.remove(way)
        self._sent_bytes += way.sent_bytes
        media = way.media()
        self._first_us = self._first_us or media.first_us
        self._skips += media.skips
        way.end()

    def transport_full(self) -> None:
        """The transport of the connection takes no more for now."""
        for way in self._ways:
            way.full()

    def transport_drained(self) -> None:
        """It takes more."""
        for way in self._ways:
            way.drained()

    def rtcp(self, track: int, packet: bytes) -> None:
        """An RTCP packet of the client came on the connection: nothing here depends on how it receives."""

    def close(self, reason: str) -> None:
        """End: give relay, ports and session back; a second call does nothing."""
        if self._is_over:
            return
        self._is_over = True
        for way in list(self._ways):
            self._end_way(way)
        for way in self._unstarted:
            way.end()
        for track in list(self._pairs):
            self._close_pair(track)
        self._let_go()
        if self._session is not None:
            self._link.context.sessions.closed(self._session, reason)

    def _build_ways(self, tracks: Collection[int], *, from_cache: bool) -> list[Way]:
        """The ways of those of `tracks` that are set up; they begin with what is cached, or at the next random access point."""
        link, relay, rtp = self._link, self._relay, self._rtp
        if relay is None or rtp is None or not relay.outputs.goes_out_as(rtp):
            raise StreamNotFound(f"{self._session.stream if self._session is not None else 'nothing'}: {OTHER_CONFIGURATION}")
        ways: list[Way] = []
        transports = {index: transport for index, transport in link.transports.items() if index in tracks}
        channels = tuple(
            transports[index].interleaved if index in transports and index not in self._pairs else None
            for index in range(len(rtp.controls))
        )
        if any(channels) and link.transport is not None:
            ways.append(InterleavedWay(link, link.transport, relay, rtp, channels, from_cache=from_cache))
        pairs = {index: pair for index, pair in self._pairs.items() if index in transports}
        if pairs:
            ways.append(DatagramWay(link, relay, rtp, pairs, from_cache=from_cache))
        return ways

    def _begin(self, session: Session) -> None:
        """It is described under this session, and may play."""
        self._session = session
        session.close = self._link.close
        session.bytes_moved = lambda: self._sent_bytes + sum(way.sent_bytes for way in self._ways)
        session.media = self._media
        session.facts = lambda: {"udp_tracks": len(self._pairs)}

    def _media(self) -> SessionMedia:
        relay, ways = self._relay, [way.media() for way in self._ways]
        self._first_us = self._first_us or min((way.first_us for way in ways if way.first_us), default=0)
        skips = self._skips + sum(way.skips for way in ways)
        codecs = codecs_of(relay.tracks) if relay is not None else ()
        publication = relay.publication if relay is not None else b""
        return SessionMedia(codecs, self._first_us, sum(way.queued_bytes for way in ways), skips, publication)

    def _close_pair(self, track: int) -> None:
        pair = self._pairs.pop(track, None)
        if pair is not None:
            pair.close()

    def _let_go(self) -> None:
        if self._relay is not None:
            self._relay.let_go()
            self._relay = None
