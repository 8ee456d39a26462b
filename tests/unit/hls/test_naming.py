"""Which stream a URL names: with its application, without it, and where applications mean nothing."""

from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import in_virtual_time

from lalmesh.errors import RemoteProtocolError, Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling import NamedStreams
from services.hls.naming import FRESH_S, StreamNames

URL = "/hls/cam.m3u8"
LIVE, TV = StreamKey("live", "cam"), StreamKey("tv", "cam")


class Cluster:
    """What the scheduler knows."""

    def __init__(self, *streams: StreamKey, match_app: bool = True) -> None:
        self.streams: list[StreamKey] = [*streams]
        self.fetched: StreamKey | None = None
        self.is_away = False
        self.asked: list[str] = []
        self.names = StreamNames(self._find, asyncio.get_running_loop().time, match_app=match_app)

    async def _find(self, name: str) -> NamedStreams:
        self.asked.append(name)
        await asyncio.sleep(0.01)
        if self.is_away:
            raise Unavailable("no scheduler", retry_after_s=1.0)
        found = tuple(stream for stream in self.streams if stream.name == name)
        return NamedStreams(found, None if found else self.fetched)

    async def named(self, url: str = URL) -> StreamKey:
        return (await self.names.resolve(url))[1]


@in_virtual_time
async def test_an_application_in_the_url_is_taken_at_its_word() -> None:
    cluster = Cluster(LIVE)
    assert await cluster.named("/hls/tv/cam.m3u8") == TV
    assert cluster.asked == []


@in_virtual_time
async def test_without_it_the_only_stream_of_the_name_is_meant_wherever_it_is() -> None:
    cluster = Cluster(TV, StreamKey("live", "other"))
    assert [await cluster.named(), await cluster.named("/hls/cam/playlist.m3u8")] == [TV, TV]
    assert cluster.asked == ["cam"]


@in_virtual_time
async def test_many_who_want_to_know_at_once_ask_once_and_then_not_for_a_while() -> None:
    cluster = Cluster(TV)
    asking = [asyncio.create_task(cluster.named()) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()
    assert await asyncio.gather(*asking[1:]) == [TV] * 9
    await cluster.named()
    assert cluster.asked == ["cam"]
    await asyncio.sleep(FRESH_S)
    await cluster.named()
    assert cluster.asked == ["cam"] * 2


@in_virtual_time
async def test_a_name_that_two_applications_have_is_refused_but_not_to_those_who_play_one_already() -> None:
    cluster = Cluster(LIVE, TV)
    with pytest.raises(RemoteProtocolError, match="several applications have a stream cam: live, tv"):
        await cluster.named()
    cluster.streams = [TV]
    assert await cluster.named() == TV
    cluster.streams = [LIVE, TV]
    await asyncio.sleep(FRESH_S)
    assert await cluster.named() == TV


@in_virtual_time
async def test_what_a_name_meant_stays_when_the_stream_is_over_or_the_scheduler_away() -> None:
    cluster = Cluster(TV)
    await cluster.named()
    cluster.streams = []
    await asyncio.sleep(FRESH_S)
    assert await cluster.named() == TV
    cluster.is_away = True
    await asyncio.sleep(FRESH_S)
    assert await cluster.named() == TV
    cluster.is_away, cluster.streams = False, [LIVE]
    await asyncio.sleep(FRESH_S)
    assert await cluster.named() == LIVE


@in_virtual_time
async def test_what_a_relay_would_fetch_is_meant_where_no_stream_is_there_and_none_was() -> None:
    cluster = Cluster()
    cluster.fetched = TV
    assert [await cluster.named(), await cluster.named()] == [TV, TV]
    assert cluster.asked == ["cam"] * 2, "another may be fetched any time"
    cluster.streams = [LIVE]
    assert await cluster.named() == LIVE
    cluster.streams = []
    await asyncio.sleep(FRESH_S)
    assert await cluster.named() == LIVE


@in_virtual_time
async def test_a_name_of_which_nothing_is_known_is_one_of_the_usual_application() -> None:
    cluster = Cluster()
    assert [await cluster.named(), await cluster.named()] == [LIVE, LIVE]
    assert cluster.asked == ["cam"] * 2, "it may come any time"
    cluster.is_away = True
    with pytest.raises(Unavailable):
        await cluster.named()


@in_virtual_time
async def test_where_applications_mean_nothing_the_name_is_the_stream() -> None:
    cluster = Cluster(LIVE, match_app=False)
    urls = (URL, "/hls/tv/cam.m3u8", "/hls/live/deeper/cam/index.m3u8")
    assert {await cluster.named(url) for url in urls} == {StreamKey("-", "cam")}
    assert cluster.asked == []
