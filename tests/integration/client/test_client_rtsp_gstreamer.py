"""RTSP players and publishers against the RTSP server of GStreamer, where its bindings are installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from support import ffmpeg
from support.gstreamer import PIPELINE, gstreamer, is_installed
from support.media import media
from support.process import wait_until

from lalmesh.client import ClientOptions, Counts, Refused, RefusedNotAuthorized, RtspTransport, open_player, push
from lalmesh.container.flv import AUDIO_TRACK_ID, VIDEO_TRACK_ID, BodyDemuxer
from lalmesh.media import AccessUnit, Codec

LIMIT_S = 30
PICTURES = 75

pytestmark = pytest.mark.skipif(not is_installed(), reason="no gir1.2-gst-rtsp-server-1.0 and python3-gi here")


RECORDING = (
    "( rtph264depay name=depay0 ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au ! filesink buffer-mode=2"
    " location={file} rtpmp4gdepay name=depay1 ! fakesink sync=false )"
)


Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start it for a pipeline; its URL. Its stream begins with each player."""
    with ExitStack() as stack:

        def start(pipeline: str, mode: str = "play", *, ways: str = "all", login: str = "") -> str:
            return stack.enter_context(gstreamer(tmp_path / "server.log", pipeline, mode, ways=ways, login=login))

        yield start


async def played(url: str, options: ClientOptions, pictures: int) -> tuple[set[Codec], list[AccessUnit]]:
    """The codecs and the first units of a stream."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    async with asyncio.timeout(LIMIT_S), open_player(url, options) as player:
        async for tag in player:
            events = demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
            units += [event for event in events if isinstance(event, AccessUnit)]
            if sum(unit.track_id == VIDEO_TRACK_ID for unit in units) >= pictures:
                break
    return {track.codec for track in demuxer.tracks.tracks}, units


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_its_streams_are_played_with_rising_times(serve: Serve, transport: RtspTransport) -> None:
    codecs, units = await played(serve(PIPELINE), ClientOptions(rtsp_transport=transport), PICTURES)
    assert codecs == {Codec.H264, Codec.PCMA, Codec.SCRIPT}
    for track_id in (VIDEO_TRACK_ID, AUDIO_TRACK_ID):
        times = [unit.dts for unit in units if unit.track_id == track_id]
        assert all(one < two for one, two in pairwise(times))
    assert any(unit.cts > 0 for unit in units)  # B-frames


async def test_where_it_does_not_do_udp_the_connection_is_taken(serve: Serve) -> None:
    url = serve(PIPELINE, ways="tcp")
    assert (await played(url, ClientOptions(), 3))[1]
    with pytest.raises(Refused, match="RTSP 461"):
        await played(url, ClientOptions(rtsp_transport="udp"), 3)


async def test_it_is_told_who_plays(serve: Serve) -> None:
    url = serve(PIPELINE, login="me:secret")
    assert (await played(url.replace("//", "//me:secret@"), ClientOptions(), 3))[1]
    with pytest.raises(RefusedNotAuthorized, match="RTSP 401"):
        await played(url.replace("//", "//me:wrong@"), ClientOptions(), 3)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_it_records_every_picture_that_is_published(serve: Serve, transport: RtspTransport, tmp_path: Path) -> None:
    file = tmp_path / "got.h264"
    url, options = serve(RECORDING.format(file=file), "record"), ClientOptions(rtsp_transport=transport)
    await push(media("h264_aac"), url, Counts(), options=options)
    await asyncio.to_thread(wait_until, "all pictures", lambda: hashes(file) == hashes(media("h264_aac")), LIMIT_S, every_s=0.5)


def hashes(file: Path) -> list[str]:
    """Of the pictures of a file, as far as it is written."""
    if not file.exists() or not file.stat().st_size:
        return []
    rows = ffmpeg.run("-i", file, "-map", "0:v", "-f", "framemd5", "-")
    return [line.rpartition(",")[2].strip() for line in rows.splitlines() if not line.startswith("#")]
