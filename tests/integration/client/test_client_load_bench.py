"""What is told of a server that drops a track, by a bench and by a comparison of two players, and of a run too long to match."""

from __future__ import annotations

import asyncio
import os
from fractions import Fraction

import pytest
from support.loopback_server import LoopbackServer
from support.ports import LOOPBACK

from lalmesh.client import ClientOptions
from lalmesh.client.load import Bench, DelayReport, Plan, Report, made_media, measure_delay
from lalmesh.client.load import _matching as matching
from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, flv_header, previous_tag_size, tag_header
from lalmesh.protocol.rtmp import Connected, MediaMessage, PublishRequested, RtmpServer

MEDIA = made_media(bitrate_bps=300_000, frame_rate=Fraction(30), key_s=0.5, audio_bps=64_000)
OPTIONS = ClientOptions(first_media_timeout_s=30)
LIMIT_S = 30.0


class Relay(LoopbackServer):
    """A server of one stream: published by RTMP, played over HTTP as it is (``/all.flv``) or without sound (``/mute.flv``)."""

    def __init__(self) -> None:
        super().__init__()
        self._head = [flv_header(has_audio=True, has_video=True)]
        self._players: dict[asyncio.StreamWriter, tuple[int, ...]] = {}

    @property
    def where(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        core = RtmpServer(os.urandom)
        try:
            while data := await reader.read(1 << 16):
                if data.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(self._head))
                    self._players[writer] = (TAG_VIDEO,) if b"mute" in data else (TAG_VIDEO, TAG_AUDIO)
                    continue
                for event in core.feed(data):
                    self._handle(core, event)
                writer.write(core.data_to_send())
        finally:
            self._players.pop(writer, None)

    def _handle(self, core: RtmpServer, event: object) -> None:
        if isinstance(event, Connected):
            core.accept_connect()
        elif isinstance(event, PublishRequested):
            core.accept_publish(event.stream_id)
        elif isinstance(event, MediaMessage):
            head = tag_header(event.type_id, event.timestamp_ms, len(event.payload))
            tag = head + event.payload + previous_tag_size(len(event.payload))
            if event.payload[1] == 0:  # a configuration
                self._head.append(tag)
            for writer, types in self._players.items():
                if event.type_id in types:
                    writer.write(tag)


def plan_of(relay: Relay, *names: str, duration_s: float = 2.0) -> Plan:
    return Plan(
        publish_url=f"rtmp://{relay.where}/live/a",
        play_urls=tuple(f"http://{relay.where}/{name}.flv" for name in names),
        publish_within_s=0.0,
        play_within_s=0.0,
        settle_s=0.2,
        duration_s=duration_s,
    )


async def benched(plan: Plan) -> Report:
    async with asyncio.timeout(LIMIT_S):
        return await Bench(plan, OPTIONS, MEDIA, say=print).run()


async def test_a_track_that_never_comes_is_a_fault() -> None:
    async with Relay() as relay:
        report = await benched(plan_of(relay, "all", "mute"))
    whole, mute = (played.looks for played in report.players)
    assert (whole.missing, whole.doubled, whole.disordered, whole.foreign) == (0, 0, 0, 0)
    assert mute.missing is not None
    assert 30 < mute.missing < 60  # frames of a second, and up to one more
    assert [fault for fault in report.faults if "/mute.flv" not in fault] == []
    assert any(f"{mute.missing} units missing" in fault for fault in report.faults)


async def compared(relay: Relay, *names: str) -> DelayReport:
    urls = tuple(f"http://{relay.where}/{name}.flv" for name in names)
    async with asyncio.timeout(LIMIT_S):
        return await measure_delay("", urls, OPTIONS, None, duration_s=2.0, udp=False, say=print)


async def test_what_only_one_of_two_players_gets_is_a_fault() -> None:
    async with Relay() as relay:
        publishing = asyncio.ensure_future(benched(plan_of(relay, duration_s=LIMIT_S)))
        await asyncio.sleep(0.5)
        same, less, more = [
            await compared(relay, "all", "all"),
            await compared(relay, "all", "mute"),
            await compared(relay, "mute", "all"),
        ]
        publishing.cancel()
        await publishing
    assert same.faults == []
    assert ["missing" in fault for fault in less.faults] == [True]
    assert ["foreign" in fault for fault in more.faults] == [True]


async def test_a_run_too_long_to_be_matched_is_matched_as_far_as_it_was_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MAX_NOTED_UNITS", 100)
    async with Relay() as relay:
        report = await benched(plan_of(relay, "all"))
    looks = report.players[0].looks
    assert report.faults == []
    assert looks.units > 120
    assert report.matched_s is not None
    assert 0 < report.matched_s < 1.5
    assert any("units were matched for the first" in remark for remark in report.remarks)
