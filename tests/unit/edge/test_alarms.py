from __future__ import annotations

from collections.abc import Sequence

import pytest
from support.virtual_time import in_virtual_time

from lalmesh.media import AccessUnit, Codec, Track, TracksChanged, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.events import Event
from lalmesh.runtime.ownership import Epoch, NodeId
from lalmesh.runtime.sessions import SessionRole
from services.edge.alarms import Alarms, AlarmSettings
from services.edge.client import Client
from services.edge.publication import Publication, PublicationSettings
from services.edge.session import Session

CAM = StreamKey.of("live", "cam")
FRAME_RATE = 25
PUBLISHER = Session(
    Client(protocol="rtmp", address="192.0.2.1", peer="192.0.2.1:5"),
    SessionRole.PUBLISHER,
    CAM,
    0.0,
    lambda _: None,
    session_id="id",
)


class _World:
    def __init__(self, settings: AlarmSettings) -> None:
        self.now = 0.0
        self.told: list[Event] = []
        self.outbox = EventOutbox(NodeId("edge", b"\1" * 8), self._tell)
        self.alarms = Alarms(settings, self.outbox, lambda _: PUBLISHER, lambda: self.now)
        self.core = Publication(b"p" * 16, PublicationSettings())
        self.core.grant(Epoch(1, 1))
        tracks = TrackSet((Track(track_id=1, codec=Codec.H264),), 1)
        self.core.feed([TracksChanged(tracks)], 1)
        self._frame = 0

    async def _tell(self, events: Sequence[Event]) -> None:
        self.told += events

    def second(self, *, frames: int = FRAME_RATE, key: bool = True, size: int = 1000, jump_ms: int = 0) -> None:
        """One second of media, and a look."""
        self.now += 1
        for index in range(frames):
            self._frame += 1
            dts = self._frame * 3600 + jump_ms * 90
            self.core.feed([AccessUnit(1, dts, 0, key and index == 0, bytes(size))], int(self.now * 1e6))
        self.alarms.sweep([(CAM, self.core)])

    def gone(self) -> None:
        """A look after the publication has ended."""
        self.now += 1
        self.alarms.sweep([])

    def words(self) -> list[str]:
        return [f"{event.kind} {event.facts['alarm']}" for event in self.outbox._waiting]


@in_virtual_time
async def test_a_stream_without_key_frames_is_an_alarm_once_and_it_ends() -> None:
    world = _World(AlarmSettings(no_keyframe_s=3))
    for key in (True, True, False, False, False, False, False, True, True):
        world.second(key=key)
    assert world.words() == ["alarm no_keyframe", "alarm_over no_keyframe"]


@in_virtual_time
async def test_an_alarm_is_over_when_its_publication_has_gone() -> None:
    world = _World(AlarmSettings(no_keyframe_s=3))
    for key in (True, False, False, False, False, False):
        world.second(key=key)
    for _ in range(2):
        world.gone()
    assert world.words() == ["alarm no_keyframe", "alarm_over no_keyframe"]
    of = [[event.facts[name] for name in ("session_id", "protocol", "role")] for event in world.outbox._waiting]
    assert of == [["id", "rtmp", "publisher"], ["", "", ""]]


@in_virtual_time
@pytest.mark.parametrize("settings", [AlarmSettings(), AlarmSettings(frames_per_s=1)])
async def test_an_alarm_is_over_when_it_is_not_wanted_any_more(settings: AlarmSettings) -> None:
    world = _World(AlarmSettings(no_keyframe_s=3))
    for key in (True, False, False, False, False, False):
        world.second(key=key)
    world.alarms.settings = settings
    for _ in range(8):
        world.second()
    assert world.words() == ["alarm no_keyframe", "alarm_over no_keyframe"]


@in_virtual_time
async def test_rates_are_measured_over_some_seconds() -> None:
    world = _World(AlarmSettings(bitrate_low_bps=100_000, frames_per_s=20))
    for frames in (25, 25, 25, 25, 25, 25, 25, 25, 25, 5, 5, 5, 5, 5, 5, 25, 25, 25, 25, 25, 25):
        world.second(frames=frames)
    assert sorted(world.words()) == [
        "alarm bitrate_low", "alarm frame_rate_low", "alarm_over bitrate_low", "alarm_over frame_rate_low"
    ]  # fmt: skip


@in_virtual_time
async def test_each_jump_of_the_clock_is_an_alarm() -> None:
    world = _World(AlarmSettings(timestamp_jump=True))
    for jump_ms in (0, 0, 60_000, 60_000, 0, 0):
        world.second(jump_ms=jump_ms)
    assert world.words() == ["alarm timestamp_jump", "alarm timestamp_jump"]


@in_virtual_time
async def test_nothing_is_looked_at_where_no_alarm_is_wanted() -> None:
    world = _World(AlarmSettings())
    world.second(key=False)
    assert len(world.outbox) == 0
