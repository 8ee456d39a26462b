"""Ingest: messages become media, and what gave nothing is said once, counted and summed up."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry
from support.edge_fakes import FIRST, STREAM, epoch

from lalmesh.errors import RemoteProtocolError
from lalmesh.media import MediaEvent
from lalmesh.protocol.rtmp import MediaMessage
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.ingest import Ingest
from services.edge.metrics import EdgeMetrics
from services.edge.publication import Publication, PublicationSettings
from services.edge.session import Session

NOW_US = 1_700_000_000_000_000
ASC = bytes.fromhex("af00 1210")
FRAME = bytes.fromhex("af01 2110")
SPEEX = b"\xbf\x00"
EXTRA = b"\x95\x01mp4a\x01no"  # OneTrack, id 1


class FakePublishing:
    """A publication without a cluster."""

    def __init__(self) -> None:
        self.core = Publication(FIRST, PublicationSettings())
        self.core.grant(epoch(1))

    def feed(self, events: Iterable[MediaEvent], now_us: int) -> None:
        self.core.feed(events, now_us)


class Stage:
    """One publisher session."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.publishing = FakePublishing()
        client = Client(protocol="rtmp", address="peer", peer="peer:1")
        session = Session(client, SessionRole.PUBLISHER, STREAM, 0.0, lambda _: None)
        self.ingest = Ingest(self.publishing, session, EdgeMetrics(self.registry))

    def send(self, *bodies: bytes, ms: int = 0, now_us: int = NOW_US) -> None:
        self.ingest.feed([MediaMessage(stream_id=1, type_id=8, timestamp_ms=ms, payload=body) for body in bodies], now_us)

    @property
    def units(self) -> int:
        return self.publishing.core.counters.units

    def ignored(self, reason: str) -> float | None:
        return self.registry.get_sample_value("edge_ignored_messages_total", {"reason": reason})


def test_messages_become_units() -> None:
    stage = Stage()
    stage.send(ASC, FRAME)
    stage.send(FRAME, ms=23)
    assert (stage.units, stage.ingest.facts) == (2, {})


def test_what_came_before_a_malformed_message_is_taken_in() -> None:
    stage = Stage()
    with pytest.raises(RemoteProtocolError):
        stage.send(ASC, FRAME, SPEEX, b"\xaf", FRAME)
    assert (stage.units, stage.ignored("unsupported codec")) == (1, 1.0)


def test_a_reason_is_warned_of_once_and_counted_always(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for _ in range(3):
        stage.send(SPEEX, SPEEX)
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        "publisher sends what is passed over: unsupported codec: audio format 11",
    )
    assert record.__dict__["stream_key"] == "live/a"
    assert stage.ignored("unsupported codec") == 6.0


def test_each_class_of_reasons_has_its_own_count(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.send(FRAME, ASC, EXTRA, EXTRA, SPEEX, b"\x94Opus\x01")
    assert stage.ingest.facts == {"ignored_messages": {"extra track": 2, "no configuration": 1, "unsupported codec": 1, "other": 1}}
    assert [stage.ignored(reason) for reason in ("extra track", "no configuration", "unsupported codec", "other")] == [2, 1, 1, 1]
    assert len(caplog.records) == 4


def test_a_flood_of_different_reasons_makes_no_flood_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    for number in range(200):
        stage.send(b"\x91" + number.to_bytes(4, "big") + b"x")
    assert (len(caplog.records), stage.ignored("unsupported codec")) == (1, 200.0)


def test_jumps_of_the_clock_are_counted_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.send(ASC, FRAME)
    for number, ms in enumerate((600_000, 1_200_000), 1):
        stage.send(FRAME, ms=ms, now_us=NOW_US + number * 23_000)
    assert stage.registry.get_sample_value("edge_clock_jumps_total") == 2.0
    assert (stage.ingest.facts, len(caplog.records)) == ({"clock_jumps": 2}, 1)
