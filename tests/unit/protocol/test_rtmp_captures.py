"""What real clients sent, see tests/captures/rtmp/README.md."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from lalmesh.amf import parse_amf0
from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtmp import (
    Connected,
    MediaMessage,
    PlayRequested,
    PublishRequested,
    RtmpServer,
    ServerEvent,
    StreamClosed,
)

CAPTURES = Path(__file__).parents[2] / "captures" / "rtmp"
PUBLISHERS = sorted(path.stem for path in CAPTURES.glob("*publish*.bin"))
PLAYERS = sorted(path.stem for path in CAPTURES.glob("*play.bin"))


def random_bytes(count: int) -> bytes:
    return random.Random(count).randbytes(count)


def serve(data: bytes, step: int) -> list[ServerEvent]:
    server = RtmpServer(random_bytes)
    events: list[ServerEvent] = []
    for at in range(0, len(data), step):
        for event in server.feed(data[at : at + step]):
            events.append(event)
            if isinstance(event, Connected):
                server.accept_connect()
            elif isinstance(event, PublishRequested):
                server.accept_publish(event.stream_id)
            elif isinstance(event, PlayRequested):
                server.reject_play(event.stream_id)
    return events


@pytest.mark.parametrize("capture", PUBLISHERS)
@pytest.mark.parametrize("step", [61, 1 << 20])
def test_every_publisher_is_understood(capture: str, step: int) -> None:
    events = serve((CAPTURES / f"{capture}.bin").read_bytes(), step)
    connected, request = events[:2]
    assert isinstance(connected, Connected)
    assert isinstance(request, PublishRequested)
    assert (request.app.split("/")[0], request.name) == ("live", "a")
    assert events[-1] == StreamClosed(request.stream_id)
    media = [event for event in events if isinstance(event, MediaMessage)]
    assert [len([m for m in media if m.type_id == 9]) in (11, 12), len([m for m in media if m.type_id == 8]) > 20] == [True, True]
    metadata = next(m for m in media if m.type_id == 18)
    assert parse_amf0(metadata.payload)[0] == "onMetaData"


@pytest.mark.parametrize("capture", PLAYERS)
def test_every_player_is_understood(capture: str) -> None:
    events = serve((CAPTURES / f"{capture}.bin").read_bytes(), 100)
    assert [type(event) for event in events[:2]] == [Connected, PlayRequested]
    assert isinstance(events[1], PlayRequested)
    assert (events[1].app, events[1].name) == ("live", "missing")


def test_times_go_on_past_24_bits() -> None:
    events = serve((CAPTURES / "ffmpeg9-publish-extended-timestamps.bin").read_bytes(), 1000)
    times = [
        event.timestamp_ms for event in events if isinstance(event, MediaMessage) and event.type_id == 9 and event.timestamp_ms
    ]
    assert times == sorted(times)
    assert times[0] < 0xFFFFFF < times[-1]


@pytest.mark.parametrize("capture", PUBLISHERS + PLAYERS)
def test_a_truncated_capture_is_only_shorter(capture: str) -> None:
    data = (CAPTURES / f"{capture}.bin").read_bytes()
    whole = serve(data, 1 << 20)
    for size in range(3073, len(data), 997):
        part = serve(data[:size], 1 << 20)
        assert part == whole[: len(part)]


@pytest.mark.parametrize("capture", PUBLISHERS + PLAYERS)
def test_a_damaged_capture_gives_events_or_a_protocol_error(capture: str) -> None:
    data = (CAPTURES / f"{capture}.bin").read_bytes()
    rng = random.Random(7)
    for _ in range(20):
        damaged = bytearray(data)
        damaged[rng.randrange(3073, min(len(data), 4500))] ^= 1 << rng.randrange(8)
        with contextlib.suppress(RemoteProtocolError):
            serve(bytes(damaged), 4096)
