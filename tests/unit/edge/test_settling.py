"""The beginning of a stream: how long players are made to wait for tracks that come late, and how long they are not."""

from __future__ import annotations

import asyncio

import pytest
from support.edge_fakes import AUDIO, BOTH, SECOND, VIDEO, gop, run_of
from support.virtual_time import in_virtual_time

from lalmesh.amf import AmfValue, serialize_amf0
from lalmesh.media import Codec, Track, TrackSet
from services.edge.settling import BEGUN_UNITS, MAX_WAIT_S, SETTLED_MS, Settling, is_complete

PICTURES = TrackSet((VIDEO,), 1)
PICTURE_MS = 40
UNTIL_SETTLED = SETTLED_MS // PICTURE_MS + 2  #: pictures, from the first to the one that is over `SETTLED_MS` later


def metadata(**members: AmfValue) -> Track:
    return Track(track_id=3, codec=Codec.SCRIPT, configuration=serialize_amf0("onMetaData", members))


@pytest.mark.parametrize(
    ("tracks", "complete"),
    [
        ((VIDEO, AUDIO), True),
        ((VIDEO,), False),
        ((), False),
        ((metadata(videocodecid=7.0), VIDEO), True),
        ((metadata(videocodecid=7.0, audiocodecid=0.0), VIDEO), True),
        ((metadata(hasVideo=True, hasAudio=False), VIDEO), True),
        ((metadata(videocodecid="avc1", audiocodecid="mp4a"), VIDEO), False),
        ((metadata(hasVideo=True, hasAudio=True), AUDIO), False),
        ((metadata(audiocodecid=10.0), AUDIO), True),
        ((metadata(width=640.0), VIDEO), False),
        ((metadata(audiocodecid=None), VIDEO), False),
        ((Track(track_id=3, codec=Codec.SCRIPT), VIDEO), False),
    ],
)
def test_what_the_publisher_names_is_waited_for_else_both_kinds(tracks: tuple[Track, ...], complete: bool) -> None:
    assert is_complete(TrackSet(tracks, 1)) == complete


async def test_a_stream_with_all_its_tracks_is_settled_at_once() -> None:
    settling = Settling()
    settling.see(run_of(gop(0, 1), tracks=BOTH))
    assert settling.done


async def test_tracks_that_come_later_settle_it() -> None:
    settling = Settling()
    settling.see(run_of(gop(0, 3), tracks=PICTURES))
    before = settling.done
    settling.see(run_of(gop(3, 1), tracks=BOTH))
    assert (before, settling.done) == (False, True)


async def test_of_one_kind_only_half_a_second_of_its_own_time_settles_it() -> None:
    settling, seen = Settling(), 0
    while not settling.done:
        settling.see(run_of(gop(seen, 1), tracks=PICTURES))
        seen += 1
    assert seen == UNTIL_SETTLED


async def test_a_stream_that_began_long_before_is_settled_at_its_first_unit() -> None:
    settling = Settling()
    settling.see(run_of(gop(BEGUN_UNITS, 1), tracks=PICTURES))
    assert settling.done


async def test_another_publication_settles_anew() -> None:
    settling = Settling()
    settling.see(run_of(gop(0, 1), tracks=BOTH))
    settling.see(run_of(gop(0, 1), tracks=PICTURES, publication=SECOND))
    assert not settling.done


@in_virtual_time
async def test_who_waits_is_let_go_when_it_is_settled_or_has_ended() -> None:
    loop, settling = asyncio.get_running_loop(), Settling()
    begun = loop.time()
    loop.call_later(0.3, settling.see, run_of(gop(0, 1), tracks=BOTH))
    await settling.wait()
    ended = Settling()
    loop.call_later(0.2, ended.end)
    await ended.wait()
    assert loop.time() - begun == pytest.approx(0.5)


@in_virtual_time
async def test_a_stream_that_stands_still_is_not_waited_for_longer_than_the_bound() -> None:
    settling, begun = Settling(), asyncio.get_running_loop().time()
    settling.see(run_of(gop(0, 1), tracks=PICTURES))
    await settling.wait()
    assert asyncio.get_running_loop().time() - begun == pytest.approx(MAX_WAIT_S)
    assert not settling.done
