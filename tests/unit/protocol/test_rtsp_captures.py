"""What real clients sent and were answered, see tests/captures/rtsp/README.md."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import pytest

from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtsp import (
    AnnounceRequested,
    ClientEvent,
    DescribeRequested,
    PacketReceived,
    Paused,
    PlayRequested,
    RecordRequested,
    RtspClient,
    RtspServer,
    RtspUrl,
    ServerEvent,
    SetupRequested,
    Started,
    TornDown,
    TrackRequest,
    resolve_control,
)
from lalmesh.protocol.rtsp import Described as IsDescribed
from lalmesh.protocol.sdp import parse_session

FOLDER = Path(__file__).parents[2] / "captures"
PUBLISHERS = sorted(path.stem for path in (FOLDER / "rtsp").glob("*publish*.bin"))
PLAYERS = sorted(path.stem for path in (FOLDER / "rtsp").glob("*play*.bin"))
CONTROLS = ("streamid=0", "streamid=1")


class Application:
    """Lets everything happen, to publishers once they have shown who they are."""

    def __init__(self) -> None:
        self.server = RtspServer(bytes)
        self.events: list[ServerEvent] = []

    def feed(self, data: bytes) -> None:
        for event in self.server.feed(data, 0.0):
            self.events.append(event)
            self._answer(event)

    def _answer(self, event: ServerEvent) -> None:
        server = self.server
        match event:
            case AnnounceRequested() if not event.request.headers.get("authorization"):
                server.reject(401, ("WWW-Authenticate", 'Basic realm="x"'))
            case AnnounceRequested():
                server.accept_announce([media.control for media in parse_session(event.description).media])
            case DescribeRequested():
                server.accept_describe(b"v=0", CONTROLS)
            case SetupRequested():
                server.accept_setup(event.transports[0])
            case PlayRequested():
                server.accept_play()
            case RecordRequested():
                server.accept_record()
            case _:
                pass


def without_session(data: bytes) -> bytes:
    """Clients repeat an id that our server here does not make."""
    return b"\r\n".join(line for line in data.split(b"\r\n") if not line.startswith(b"Session:"))


def serve(capture: str, step: int) -> list[ServerEvent]:
    data, application = without_session((FOLDER / "rtsp" / f"{capture}.bin").read_bytes()), Application()
    for at in range(0, len(data), step):
        application.feed(data[at : at + step])
    return application.events


@pytest.mark.parametrize("capture", PUBLISHERS)
@pytest.mark.parametrize("step", [61, 1 << 20])
def test_every_publisher_is_understood(capture: str, step: int) -> None:
    events = serve(capture, step)
    asked = Counter(type(event) for event in events)
    assert (asked[AnnounceRequested], asked[SetupRequested], asked[RecordRequested]) == (2, 2, 1)
    assert {(event.path.app, event.path.name) for event in events if isinstance(event, AnnounceRequested)} == {("live", "a")}
    assert isinstance(events[-1], TornDown | Paused)  # GStreamer says no more than that
    media = Counter(event.track for event in events if isinstance(event, PacketReceived) and not event.is_rtcp)
    assert len(media) == (0 if capture.endswith("udp") else 2)
    assert capture.endswith("udp") or media.total() >= 10


@pytest.mark.parametrize("capture", PLAYERS)
@pytest.mark.parametrize("step", [61, 1 << 20])
def test_every_player_is_understood(capture: str, step: int) -> None:
    asked = Counter(type(event) for event in serve(capture, step))
    assert (asked[DescribeRequested], asked[SetupRequested], asked[PlayRequested]) == (1, 2, 1)


def play(data: bytes) -> list[ClientEvent]:
    """What our client makes of the answers that another one got."""
    client = RtspClient(RtspUrl.parse("rtsp://h/live/a"), "play")
    events: list[ClientEvent] = []
    for event in client.feed(data, 0.0):
        events.append(event)
        if isinstance(event, IsDescribed):
            controls = [media.control for media in parse_session(event.description).media]
            client.setup([TrackRequest(resolve_control(event.base_url, control)) for control in controls])
    return events


def test_what_a_player_was_answered_is_understood() -> None:
    events = play((FOLDER / "rtsp_answers" / "ffmpeg9-play.bin").read_bytes())
    assert sum(isinstance(event, Started) for event in events) == 1
    assert {event.track for event in events if isinstance(event, PacketReceived)} == {0, 1}


@pytest.mark.parametrize("capture", PLAYERS)
def test_no_answers_that_end_early_are_an_error_of_ours(capture: str) -> None:
    data = (FOLDER / "rtsp_answers" / f"{capture}.bin").read_bytes()
    for end in range(0, min(len(data), 3000), 7):
        with contextlib.suppress(RemoteProtocolError):
            play(data[:end])
