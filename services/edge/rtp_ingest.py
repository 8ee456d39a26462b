"""From the packets of one publisher to its publication, and the account of what was lost or passed over on the way.

One run comes of all packets that were read at once. What is passed over is said once per
session and reason, counted in metrics once a second, and summed up for the line that closes the session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from lalmesh.errors import UnsupportedError
from lalmesh.media import AccessUnit, MediaEvent, Track, TracksChanged, TrackSet
from lalmesh.protocol.rtp import ReceiverSettings, Timeline, TrackEvent, TrackReceiver
from services.edge.ingest import Feedable
from services.edge.metrics import LOST_PACKET, PACKETS_IGNORED_FOR, EdgeMetrics
from services.edge.rtp_tracks import IncomingTrack
from services.edge.session import Session

log = logging.getLogger(__name__)


class RtpIngest:
    """Takes in what one publisher sends. Times of arrival are µs of the loop's clock."""

    __slots__ = ("_counted", "_metrics", "_pictures_first", "_publishing", "_receivers", "_removed", "_session", "_tracks")

    def __init__(
        self,
        tracks: Mapping[int, tuple[IncomingTrack, ReceiverSettings]],
        publishing: Feedable,
        session: Session,
        metrics: EdgeMetrics,
    ) -> None:
        """Begin.

        Args:
            tracks: those that were set up, by their number.
            publishing: where the media goes.
            session: for logs.
            metrics: where what is passed over is counted.
        """
        timeline = Timeline()
        self._receivers = {
            number: receiver
            for number, (track, settings) in tracks.items()
            if (receiver := _receiver(track, timeline, settings)) is not None
        }
        self._pictures_first = sorted(tracks, key=lambda number: not tracks[number][0].is_video)
        self._removed: list[TrackReceiver] = []  # what they lost or passed over stays counted
        self._publishing = publishing
        self._session = session
        self._metrics = metrics
        self._tracks = TrackSet()
        self._counted: dict[str, int] = {}

    def begin(self, wall_us: int) -> None:
        """Let the tracks be known whose description says enough, before the first packet (`wall_us`: Unix µs)."""
        known = [receiver.track for receiver in self._receivers.values() if receiver.track is not None]
        self._publish(known, wall_us)

    def feed(self, packets: Iterable[tuple[int, bytes]], now_us: int, wall_us: int, *, by_ports: bool = False) -> None:
        """Take in packets, each with the number of its track, that came at `now_us` (`wall_us`: Unix µs).

        What they give goes on in the order in which they came, as they were sent: times say less, where the first picture may have
        that of a sound behind it. Only where they were read of one port after the other, `by_ports`, times are all there is.

        Raises:
            UnsupportedError: the stream needs what is not implemented; what came before it has been taken in.
        """
        events, receivers = dict[int, list[TrackEvent]](), self._receivers
        in_order: list[TrackEvent] = []
        try:
            for number, packet in packets:
                if (receiver := receivers.get(number)) is not None and (given := receiver.receive(packet, now_us)):
                    (events.setdefault(number, []) if by_ports else in_order).extend(given)
        finally:
            if by_ports:
                in_order += _by_time([events[number] for number in self._pictures_first if number in events])
            self._publish(in_order, wall_us)

    def feed_rtcp(self, number: int, packet: bytes, now_us: int) -> None:
        """Take in an RTCP packet of a track."""
        if (receiver := self._receivers.get(number)) is not None:
            receiver.receive_rtcp(packet, now_us)

    @property
    def next_timer(self) -> int | None:
        """When `handle_timer` is due, µs; None: not at all."""
        timers = [timer for receiver in self._receivers.values() if (timer := receiver.next_timer) is not None]
        return min(timers) if timers else None

    def handle_timer(self, now_us: int, wall_us: int) -> None:
        """Go on without what has been missing for too long.

        Raises:
            UnsupportedError: a track needs what is not implemented; what the others gave has been taken in.
        """
        self._take_waiting(lambda receiver: receiver.handle_timer(now_us), wall_us)

    def report(self, number: int, ssrc: int, cname: str, now_us: int) -> bytes:
        """A receiver report of a track, from our `ssrc`; empty where nothing of it is taken, or nothing has come."""
        receiver = self._receivers.get(number)
        return receiver.report(ssrc, cname, now_us) if receiver is not None and receiver.ssrc is not None else b""

    def remove(self, number: int, now_us: int, wall_us: int) -> None:
        """The publisher is done with a track; it stays in the track set.

        Raises:
            UnsupportedError: as `handle_timer`.
        """
        receiver = self._receivers.pop(number, None)
        if receiver is not None:
            self._removed.append(receiver)
            self._publish(receiver.flush(now_us), wall_us)

    def end(self, now_us: int, wall_us: int) -> None:
        """Give all that waits: nothing more comes.

        Raises:
            UnsupportedError: as `handle_timer`.
        """
        try:
            self._take_waiting(lambda receiver: receiver.flush(now_us), wall_us)
        finally:
            self.account()

    def account(self) -> None:
        """Bring what was lost or passed over since the last time into the metrics; say it where it is new."""
        for reason, count in self._counts().items():
            before = self._counted.get(reason, 0)
            if count <= before:
                continue
            if not before and reason != LOST_PACKET:
                log.warning("publisher sends what is passed over: %s", reason, extra=self._names())
            self._metrics.ignored_packets.labels(reason).inc(count - before)
            self._counted[reason] = count

    @property
    def facts(self) -> dict[str, object]:
        """For the line that closes the session: packets that gave nothing, by reason, and jumps of the clock; none where none."""
        counts = {reason: count for reason, count in self._counts().items() if count}
        facts = {"ignored_packets": counts, "clock_jumps": self._publishing.core.clock_jumps}
        return {name: value for name, value in facts.items() if value}

    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for receiver in (*self._receivers.values(), *self._removed):
            for reason, count in _counts_of(receiver).items():
                counts[reason] = counts.get(reason, 0) + count
        return counts

    def _take_waiting(self, take: Callable[[TrackReceiver], list[TrackEvent]], wall_us: int) -> None:
        """Take what waits in every receiver, whatever one of them raises."""
        events, unsupported = list[TrackEvent](), list[UnsupportedError]()
        for receiver in self._receivers.values():
            try:
                events += take(receiver)
            except UnsupportedError as error:
                unsupported.append(error)
        self._publish(events, wall_us)
        if unsupported:
            raise unsupported[0]

    def _publish(self, events: Sequence[TrackEvent], wall_us: int) -> None:
        if events:
            self._publishing.feed(self._media_events(events), wall_us)

    def _media_events(self, events: Iterable[TrackEvent]) -> Iterator[MediaEvent]:
        for event in events:
            if not isinstance(event, Track):
                yield event
                continue
            tracks = self._tracks.with_latest(event)
            if tracks is not self._tracks:
                self._tracks = tracks
                yield TracksChanged(tracks)

    def _names(self) -> dict[str, object]:
        session = self._session
        return {
            "session_id": session.session_id,
            "protocol": session.protocol,
            "stream_key": str(session.stream),
            "peer": session.peer,
        }


def _by_time(tracks: Sequence[list[TrackEvent]]) -> Sequence[TrackEvent]:
    """What several tracks gave, in decoding order: by UDP it was read track by track.

    Of one time, the track that comes first is first: pictures, since players begin at one and sound of its time belongs to it.
    """
    if len(tracks) < 2:
        return tracks[0] if tracks else ()
    timed: list[tuple[int, TrackEvent]] = []
    for events in tracks:
        latest = next((event.dts for event in events if isinstance(event, AccessUnit)), 0)
        for event in events:
            if isinstance(event, AccessUnit):
                latest = max(latest, event.dts)  # opaque packets may go back
            timed.append((latest, event))
    timed.sort(key=itemgetter(0))
    return [event for _, event in timed]


def _receiver(track: IncomingTrack, timeline: Timeline, settings: ReceiverSettings) -> TrackReceiver | None:
    if track.depacketizer is None:
        return None
    clock = timeline.add(track.clock_rate_hz, leads=track.is_video)
    return TrackReceiver(
        track.depacketizer, clock, payload_type=track.payload_type, clock_rate_hz=track.clock_rate_hz, settings=settings
    )


def _counts_of(receiver: TrackReceiver) -> dict[str, int]:
    """What one track lost or passed over, by reason."""
    packets, reorder, units = receiver.counters, receiver.reorder_counters, receiver.depacketizer_counters
    counts = (
        reorder.lost,
        packets.malformed,
        packets.other_payload_types,
        packets.other_sources,
        packets.not_rising,
        units.broken_units,
        units.unconfigured_units,
        receiver.gate.dropped,
        receiver.times.dropped,
    )
    return dict(zip(PACKETS_IGNORED_FOR, counts, strict=True))
