"""A publisher over RTSP, from ANNOUNCE to its end. It sends among the messages or by UDP, each track as it was set up."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from lalmesh.errors import UnsupportedError
from lalmesh.protocol.rtp import ReceiverSettings, report_interval_s
from lalmesh.protocol.rtsp import Transport, serialize_frame
from services.edge.publishing import Publishing
from services.edge.rtp_ingest import RtpIngest
from services.edge.rtp_pairs import Numbered
from services.edge.rtp_ports import RtpPair
from services.edge.rtp_tracks import IncomingTrack
from services.edge.rtsp_link import RtspLink, local_address
from services.edge.session import Session
from services.edge.udp_sockets import MAX_LAST_READS

log = logging.getLogger(__name__)

RECORD_DEADLINE_S: Final = 15.0  #: from ANNOUNCE to RECORD: the stream is taken meanwhile; a slow client needs five round trips
MAX_UNSENT_REPORT_BYTES: Final = 64 << 10  #: a publisher that reads nothing gets no more reports
REPORT_BYTES: Final = 100  #: of a receiver report with a name, IP and UDP headers included
NO_BITRATE_BPS: Final = 1_000_000  #: taken for the bandwidth of a session before anything has come


class RtspPublisher:
    """What one connection publishes."""

    def __init__(self, link: RtspLink, publishing: Publishing, session: Session, tracks: Sequence[IncomingTrack]) -> None:
        """Take part as `session`; nothing is taken in before `record`."""
        self.session = session
        self._link = link
        self._publishing = publishing
        self._tracks = tracks
        self._pairs: dict[int, RtpPair] = {}
        self._ingest: RtpIngest | None = None  # once it records
        self._timer_due = False
        self._gathered: list[tuple[int, bytes]] | None = None  # while the tracks are read one after the other
        self._is_closed = False
        self._paused: set[int] = set()
        self._begun_s = self._last_media_s = link.loop.time()
        self._units_seen = 0  # packets alone, which give none, are no media
        self._report_due_s = 0.0
        self._has_reported = False
        self._ssrc = int.from_bytes(os.urandom(4), "big")
        self._cname = os.urandom(8).hex()  # says nothing of this machine, and is the same for all tracks (RFC 7022)
        session.bytes_moved = lambda: publishing.core.counters.payload_bytes
        session.media = publishing.media

    # what the connection asks

    def setup(self, number: int, offered: Transport) -> Transport:
        """Take a way for a track; it comes back as the client is to be told.

        Raises:
            OSError: no UDP port is free.
        """
        if not offered.is_udp or offered.client_port is None:
            self._close_pair(number)
            return offered
        link, pair, before = self._link, self._pairs.get(number), self._link.transports.get(number)
        if pair is None or before is None or before.client_port != offered.client_port:
            pair = link.ports.open(local_address(link), link.address, offered.client_port, number, self._received)
            self._close_pair(number)  # not before: where there are no others, these stay
            self._pairs[number] = pair
        return replace(offered, server_port=pair.ports)

    def record(self) -> None:
        """Take media in, on the ways that are set up."""
        self._paused.clear()
        if self._ingest is not None:
            return  # goes on after a pause
        now_s = self._link.loop.time()
        tracks = {
            number: (self._tracks[number], self._receiver_settings(transport))
            for number, transport in self._link.transports.items()
            if number < len(self._tracks)
        }
        self._ingest = RtpIngest(tracks, self._publishing, self.session, self._link.metrics)
        self.session.facts = lambda: self._ingest.facts if self._ingest is not None else {}
        self._ingest.begin(_wall_us())
        self._begun_s = self._last_media_s = now_s
        self._report_due_s = now_s + self._report_interval_s()

    @property
    def has_recorded(self) -> bool:
        """Whether media have been taken in: from then on no way can change."""
        return self._ingest is not None

    def pause(self, numbers: Iterable[int]) -> None:
        """Take in what has come of some tracks, and nothing more until `record`."""
        for number in numbers:
            if (pair := self._pairs.get(number)) is not None:
                pair.read()
            self._paused.add(number)

    def feed(self, packets: Iterable[tuple[int, bytes]], *, by_ports: bool = False) -> None:
        """Take in the packets of one read, each with the number of its track; `by_ports`: of one port after the other.

        Raises:
            UnsupportedError: the stream needs what is not implemented.
        """
        if self._ingest is None:
            return
        now_s = self._link.loop.time()
        try:
            self._ingest.feed(packets, _us(now_s), _wall_us(), by_ports=by_ports)
        finally:
            self._await_missing(_us(now_s))

    def feed_rtcp(self, number: int, packet: bytes) -> None:
        """Take in an RTCP packet."""
        if self._ingest is not None:
            self._ingest.feed_rtcp(number, packet, self._now_us())

    def remove(self, numbers: Iterable[int]) -> None:
        """The client is done with some tracks."""
        for number in numbers:
            self._close_pair(number)
            if self._ingest is not None:
                self._ingest.remove(number, self._now_us(), _wall_us())

    def sweep(self, now_s: float, silence_s: float) -> str:
        """Once a second: send the reports that are due, count. Gives a reason to close the connection; empty: there is none."""
        ingest = self._ingest
        if ingest is None:
            return f"no RECORD within {RECORD_DEADLINE_S:g} s" if now_s - self._begun_s > RECORD_DEADLINE_S else ""
        ingest.account()
        if (units := self._publishing.core.counters.units) != self._units_seen:
            self._units_seen, self._last_media_s = units, now_s
        if now_s >= self._report_due_s:
            self._report(ingest, _us(now_s))
            self._has_reported = True
            self._report_due_s = now_s + self._report_interval_s()
        return f"no media for {silence_s:g} s" if now_s - self._last_media_s > silence_s else ""

    def leave(self, reason: str) -> None:
        """The client has said goodbye. Among datagrams that may have overtaken the last: end once they have had time to come.

        Who publishes the stream anew by this edge is not kept waiting.
        """
        wait_ms = self._link.settings.reorder_ms
        if self._ingest is None or not self._pairs or not wait_ms:
            self.close(reason)
            return
        self._publishing.leaving = partial(self.close, reason)
        self._link.loop.call_later(wait_ms / 1000, self._publishing.close)

    def close(self, reason: str) -> None:
        """End it: what still waits goes out, ports and the stream are given back."""
        self._is_closed = True
        for pair in list(self._pairs.values()):
            pair.read(MAX_LAST_READS)  # what ends it may overtake the last datagrams
        for number in list(self._pairs):
            self._close_pair(number)
        try:
            if self._ingest is not None:
                self._ingest.end(self._now_us(), _wall_us())
        except UnsupportedError as error:
            log.warning("publisher ends with what is not implemented: %s", error, extra={"peer": self._link.peer})
        finally:
            self._publishing.close()
            self._link.context.sessions.closed(self.session, reason)

    # datagrams, and what is missing

    def _received(self, is_rtcp: bool, packets: list[Numbered]) -> None:
        """Datagrams of a track came, or, by the port that all share, of some."""
        self._link.heard()
        if is_rtcp:
            for number, packet in packets:
                self.feed_rtcp(number, packet)
            return
        if self._paused:
            packets = [packet for packet in packets if packet[0] not in self._paused]
        if self._gathered is not None:
            self._gathered += packets
            return
        self._gathered = packets
        heard = {number for number, _ in packets}
        for other in [pair for number, pair in self._pairs.items() if number not in heard]:
            other.read()  # after a burst or a wait, units of all tracks go on in their order
        self._gathered = None
        try:
            self.feed(packets, by_ports=True)
        except UnsupportedError as error:
            self._link.close(f"protocol error: {error}")

    def _await_missing(self, now_us: int) -> None:
        """One timer, and only while packets wait for one that is missing."""
        due = self._ingest.next_timer if self._ingest is not None and not self._timer_due else None
        if due is not None:
            self._timer_due = True
            self._link.loop.call_later(max(0, due - now_us) / 1e6, self._give_up_missing)

    def _give_up_missing(self) -> None:
        self._timer_due = False
        if self._ingest is None or self._is_closed:
            return
        now_us = self._now_us()
        try:
            self._ingest.handle_timer(now_us, _wall_us())
        except UnsupportedError as error:
            self._link.close(f"protocol error: {error}")
        else:
            self._await_missing(now_us)

    def _receiver_settings(self, transport: Transport) -> ReceiverSettings:
        """Among the messages nothing is lost: what is missing there was so before, and waiting brings nothing."""
        settings = self._link.settings
        reorder_ms = settings.reorder_ms if transport.is_udp else 0
        return ReceiverSettings(reorder_ms=reorder_ms, drop_broken_gop=settings.drop_broken_gop)

    # reports

    def _report(self, ingest: RtpIngest, now_us: int) -> None:
        """Report on each track. What goes among the messages goes in one write: a second may be refused, and end the connection."""
        frames: list[bytes] = []
        for number, transport in self._link.transports.items():
            report = ingest.report(number, self._ssrc, self._cname, now_us)
            if not report:
                continue
            if (pair := self._pairs.get(number)) is not None:
                pair.send_rtcp(report)
            elif transport.interleaved is not None:
                frames.append(serialize_frame(transport.interleaved[1], report))
        connection = self._link.transport
        if frames and connection is not None and connection.get_write_buffer_size() < MAX_UNSENT_REPORT_BYTES:
            self._link.write(b"".join(frames))

    def _report_interval_s(self) -> float:
        moved, lasted_s = self._publishing.core.counters.payload_bytes, self._link.loop.time() - self._begun_s
        return report_interval_s(
            members=2,
            senders=1,
            session_bandwidth_bps=max(1, int(moved * 8 / lasted_s)) if moved and lasted_s > 0 else NO_BITRATE_BPS,
            is_sender=False,
            average_rtcp_bytes=REPORT_BYTES,
            is_first=not self._has_reported,
            randomness=random.random(),
        )

    def _close_pair(self, number: int) -> None:
        if (pair := self._pairs.pop(number, None)) is not None:
            pair.close()

    def _now_us(self) -> int:
        return _us(self._link.loop.time())


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)


def _wall_us() -> int:
    return time.time_ns() // 1000
