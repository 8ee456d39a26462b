"""Packets of a publisher become units, and what was lost is counted and said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from support.edge_fakes import FIRST, STREAM, epoch

from lalmesh.errors import UnsupportedError
from lalmesh.media import Codec, MediaEvent, Track
from lalmesh.protocol.rtp import PayloadFormat, ReceiverSettings, RtpPacket, build_depacketizer, build_opaque_depacketizer
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.metrics import EdgeMetrics
from services.edge.publication import Publication, PublicationSettings
from services.edge.rtp_ingest import RtpIngest
from services.edge.rtp_tracks import IncomingTrack
from services.edge.session import Session

NOW_US, WALL_US = 5_000_000, 1_700_000_000_000_000
REORDER_US = 200_000
PCMA_TYPE, OPAQUE_TYPE = 8, 99
PCMA = PayloadFormat("PCMA", 8_000)
AAC = PayloadFormat("mpeg4-generic", 8_000, 2, {"mode": "AAC-hbr", "config": "1590"})


class FakePublishing:
    """A publication without a cluster."""

    def __init__(self) -> None:
        self.core = Publication(FIRST, PublicationSettings())
        self.core.grant(epoch(1))
        self.feeds = 0

    def feed(self, events: Iterable[MediaEvent], now_us: int) -> None:
        self.feeds += 1
        self.core.feed(events, now_us)


class Stage:
    """One publisher of a sound and of something unknown."""

    def __init__(self, reorder_ms: int = 200, told: PayloadFormat = PCMA) -> None:
        self.registry = CollectorRegistry()
        self.metrics = EdgeMetrics(self.registry)
        self.publishing = FakePublishing()
        self.settings = ReceiverSettings(reorder_ms=reorder_ms)
        sound = IncomingTrack(control="", depacketizer=build_depacketizer(1, told), payload_type=PCMA_TYPE, clock_rate_hz=8_000)
        opaque = IncomingTrack(control="", depacketizer=build_opaque_depacketizer(2, b"m=x"), payload_type=OPAQUE_TYPE)
        nothing = IncomingTrack(control="", depacketizer=None)
        self.described = sound, opaque, nothing
        self.ingest = self.taking_in(*self.described)

    def taking_in(self, *described: IncomingTrack) -> RtpIngest:
        """What takes in the packets of such tracks."""
        client = Client(protocol="rtsp", address="peer", peer="peer:1")
        session = Session(client, SessionRole.PUBLISHER, STREAM, 0.0, lambda _: None)
        tracks = {number: (track, self.settings) for number, track in enumerate(described)}
        ingest = RtpIngest(tracks, self.publishing, session, self.metrics)
        ingest.begin(WALL_US)
        return ingest

    def send(self, *numbers: int, track: int = 0, payload_type: int = PCMA_TYPE, now_us: int = NOW_US) -> None:
        self.ingest.feed([(track, packet(number, payload_type)) for number in numbers], now_us, WALL_US)

    @property
    def units(self) -> int:
        return self.publishing.core.counters.units

    @property
    def tracks(self) -> tuple[Track, ...]:
        return self.publishing.core.tracks.tracks

    def ignored(self, reason: str) -> float | None:
        return self.registry.get_sample_value("edge_ignored_packets_total", {"reason": reason})


def packet(number: int, payload_type: int = PCMA_TYPE) -> bytes:
    """20 ms of sound."""
    return RtpPacket(payload_type, number, 160 * number, 7, False, bytes(160)).serialize()


def test_tracks_that_are_described_are_known_before_the_first_packet() -> None:
    assert [track.codec for track in Stage().tracks] == [Codec.PCMA, Codec.OPAQUE]


def test_the_packets_of_one_read_come_in_one_run() -> None:
    stage = Stage()
    before = stage.publishing.feeds
    stage.send(1, 2, 3)
    assert (stage.units, stage.publishing.feeds - before) == (3, 1)


def test_units_come_in_decoding_order_though_they_were_read_track_by_track() -> None:
    stage = Stage()
    sounds = [(0, packet(number)) for number in (1, 2, 3)]
    stage.ingest.feed([*sounds, (1, packet(1, OPAQUE_TYPE))], NOW_US, WALL_US, by_ports=True)
    (run,) = stage.publishing.core.ring.runs(stage.publishing.core.ring.start)
    assert [unit.track_id for unit in run.units] == [1, 2, 1, 1]


def test_of_one_time_the_picture_comes_before_the_sound_that_was_read_before_it() -> None:
    sound, _, _ = (stage := Stage()).described
    picture = replace(sound, depacketizer=build_depacketizer(2, PCMA), is_video=True)
    ingest = stage.taking_in(sound, picture)
    ingest.feed([(0, packet(1)), (1, packet(1))], NOW_US, WALL_US, by_ports=True)
    (run,) = stage.publishing.core.ring.runs(stage.publishing.core.ring.start)
    assert [unit.track_id for unit in run.units] == [2, 1]
    assert run.units[0].dts == run.units[1].dts


def test_units_of_one_connection_come_as_they_were_sent_whatever_their_times() -> None:
    stage = Stage()
    stage.ingest.feed([(0, packet(2)), (1, packet(1, OPAQUE_TYPE)), (0, packet(3))], NOW_US, WALL_US)
    stage.ingest.feed([(0, packet(4)), (1, packet(2, OPAQUE_TYPE))], NOW_US, WALL_US)
    runs = stage.publishing.core.ring.runs(stage.publishing.core.ring.start)
    assert [unit.track_id for run in runs for unit in run.units] == [1, 2, 1, 1, 2]


def test_an_opaque_track_has_whole_packets() -> None:
    stage = Stage()
    stage.send(1, track=1, payload_type=OPAQUE_TYPE)
    (run,) = stage.publishing.core.ring.runs(stage.publishing.core.ring.start)
    assert run.units[0].payload == packet(1, OPAQUE_TYPE)


def test_packets_of_a_track_that_is_not_taken_are_passed_over() -> None:
    stage = Stage()
    stage.send(1, track=2)
    stage.send(1, track=9)
    assert stage.units == 0


def test_what_is_missing_is_waited_for_and_then_given_up() -> None:
    stage = Stage()
    stage.send(1)
    assert not stage.ingest.next_timer
    stage.send(3, now_us=NOW_US + 1000)
    assert (stage.units, stage.ingest.next_timer) == (1, NOW_US + 1000 + REORDER_US)
    stage.ingest.handle_timer(NOW_US + 1000 + REORDER_US, WALL_US)
    assert (stage.units, stage.ingest.next_timer) == (2, None)
    stage.ingest.account()
    assert (stage.ignored("lost packet"), stage.ingest.facts) == (1.0, {"ignored_packets": {"lost packet": 1}})


def test_nothing_that_waits_is_lost_at_the_end() -> None:
    stage = Stage()
    stage.send(1, 3)
    stage.ingest.end(NOW_US, WALL_US)
    assert stage.units == 2


@pytest.mark.parametrize("is_over", [True, False])
def test_a_track_that_is_not_understood_keeps_nothing_back_that_waits_of_others(is_over: bool) -> None:
    stage = Stage(told=AAC)
    interleaved = RtpPacket(PCMA_TYPE, 3, 0, 7, True, bytes.fromhex("0010 0009 00")).serialize()  # AU-index 1 (RFC 3640 §3.2.1.1)
    stage.ingest.feed([(0, packet(1)), (0, interleaved)], NOW_US, WALL_US)
    stage.send(1, 3, track=1, payload_type=OPAQUE_TYPE)
    give = stage.ingest.end if is_over else stage.ingest.handle_timer
    with pytest.raises(UnsupportedError):
        give(NOW_US + REORDER_US, WALL_US)
    assert stage.units == 2
    assert stage.ignored("lost packet") == (2.0 if is_over else 0.0)


def test_what_is_passed_over_is_warned_of_once_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for number in range(3):
        stage.send(number, number, payload_type=77)
        stage.ingest.account()
    assert stage.ignored("other payload type") == 6.0
    [record] = caplog.records
    assert record.getMessage() == "publisher sends what is passed over: other payload type"


def test_a_track_that_is_removed_takes_nothing_more() -> None:
    stage = Stage()
    stage.send(1)
    stage.ingest.remove(0, NOW_US, WALL_US)
    stage.send(2)
    assert stage.units == 1


def test_what_was_lost_of_a_track_that_is_removed_stays_counted() -> None:
    stage = Stage()
    stage.send(1, 3)
    stage.ingest.remove(0, NOW_US, WALL_US)
    stage.ingest.account()
    assert (stage.ignored("lost packet"), stage.ingest.facts) == (1.0, {"ignored_packets": {"lost packet": 1}})


def test_a_report_names_a_source_that_has_sent() -> None:
    stage = Stage()
    assert stage.ingest.report(0, 5, "name", NOW_US) == b""
    stage.send(1)
    report = stage.ingest.report(0, 5, "name", NOW_US)
    assert report[:2] == b"\x81\xc9"  # a receiver report with one block
    assert report[8:12] == (7).to_bytes(4, "big")
