"""The outputs of a relay: what they share, what they leave out, and what is made AAC for some of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import pytest
from support.edge_fakes import AUDIO, BOTH, STREAM, VIDEO, epoch, gop, run_of, video
from support.virtual_time import in_virtual_time

from lalmesh.container.mpegts import TsDemuxer
from lalmesh.errors import LocalProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, Track, TracksChanged, TrackSet
from lalmesh.remux import Fmp4Packager, InterleavedPackager, Parts, Transcoder, TsPackager, plain_channels
from lalmesh.runtime.ring import RingLimits, Run
from services.edge import outputs as outputs_module
from services.edge.fanout import MAX_PENDING_BYTES, FanOut, FanOutSettings
from services.edge.feed import PlayerFeed
from services.edge.held_bursts import HeldBursts
from services.edge.outputs import AnyFanOut, OutputFormat, Outputs
from services.edge.packetizing import Packetizing
from services.edge.push_fanout import PushFanOut

TS = OutputFormat(key="http-ts", name="ts", packager=TsPackager, transcodes=True)
WS_TS = OutputFormat(key="ws-ts", name="ts", packager=TsPackager, transcodes=True)
FMP4 = OutputFormat(key="http-fmp4", name="fmp4", packager=Fmp4Packager, transcodes=True)
PCMA = Track(track_id=2, codec=Codec.PCMA, sample_rate_hz=8000, channels=1)
PHONE = TrackSet((PCMA,), 1)
SOUND = TrackSet((AUDIO,), 1)
PICTURE = replace(VIDEO, configuration=bytes.fromhex("01000000001582010101 0000"))  # version 1, profile 0, level 2.1, 8 bits
PICTURE_AND_SOUND = TrackSet((PICTURE, AUDIO), 2)
UNITS_OF_PCM = 100
LIMIT_S = 30.0


def pcm(first: int = 0, count: int = UNITS_OF_PCM) -> list[AccessUnit]:
    """Units of 20 ms."""
    return [AccessUnit(2, seq * 1800, 0, True, b"\xd5" * 160, seq, 1_000_000 + seq * 20_000) for seq in range(first, first + count)]


def sound(first: int, count: int, size: int = 9) -> list[AccessUnit]:
    return [AccessUnit(2, seq * 1920, 0, True, b"\x21" * size, seq, seq) for seq in range(first, first + count)]


class Player:
    def __init__(self, fanout: FanOut) -> None:
        self.got = b""
        self.closed = ""
        self._more = asyncio.Event()
        self.feed = PlayerFeed(self._write, lambda: 0, self._close)
        fanout.add(self.feed)
        self._more.clear()

    async def more(self) -> None:
        """Return once it has more than it joined with."""
        await self._more.wait()

    def _write(self, data: bytes) -> None:
        self.got += data
        self._more.set()

    def _close(self, reason: str) -> None:
        self.closed = reason

    @property
    def units(self) -> list[AccessUnit]:
        """What a player of TS has."""
        demuxer = TsDemuxer()
        return [event for event in [*demuxer.feed(self.got), *demuxer.flush()] if isinstance(event, AccessUnit)]

    @property
    def codecs(self) -> set[Codec]:
        demuxer = TsDemuxer()
        changes = [event for event in [*demuxer.feed(self.got), *demuxer.flush()] if isinstance(event, TracksChanged)]
        return {track.codec for track in changes[-1].tracks.tracks}


class Stage:
    """Outputs of one relay."""

    def __init__(self, *, transcode: bool = True, gathers: bool = False) -> None:
        limits = RingLimits(gop_num=1, audio_cache_us=2_000_000)
        self.retired: list[AnyFanOut] = []
        settings = FanOutSettings(max_delay_ms=1 if gathers else 0, players_per_delay_ms=1)
        self.failed: list[Exception] = []
        self.outputs = Outputs(STREAM, settings, limits, self.retired.append, self.failed.append, HeldBursts(), transcode=transcode)

    def send(self, units: Sequence[AccessUnit], tracks: TrackSet) -> None:
        self.outputs.feed(run_of(units, tracks=tracks))

    def join(self, form: OutputFormat) -> Player:
        return Player(self.outputs.fanout(form))

    def leave(self, form: OutputFormat, player: Player) -> None:
        self.outputs.fanout(form).remove(player.feed)
        self.outputs.left(form.key)


async def test_what_a_format_cannot_carry_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    tracks = TrackSet((VIDEO, AUDIO), 1)  # VP9
    with caplog.at_level(logging.WARNING):
        stage.send(gop(0, 2), tracks)
        stage.join(TS)
        stage.join(WS_TS)
        stage.send(gop(2, 2), TrackSet((VIDEO, AUDIO), 2))
    assert [record.getMessage() for record in caplog.records] == ["track left out: ts cannot carry vp9"]
    assert stage.outputs.left_out == ("ts: vp9",)
    assert stage.outputs.left_out_counts == {("ts", "vp9"): 1}


async def test_what_nobody_plays_is_not_left_out() -> None:
    stage = Stage()
    stage.send(gop(0, 2), BOTH)
    player = stage.join(TS)
    stage.leave(TS, player)
    assert (stage.outputs.left_out, len(stage.retired)) == ((), 1)
    assert stage.outputs.left_out_counts.total() == 1


async def test_what_was_sent_in_a_format_that_nobody_plays_any_more_was_sent() -> None:
    stage = Stage()
    stage.send(gop(0, 2), BOTH)
    first, second = stage.join(WS_TS), stage.join(TS)
    stage.send(gop(2, 2), BOTH)
    sent = len(first.got) + len(second.got)
    assert stage.outputs.sent_bytes == sent
    stage.leave(WS_TS, first)
    assert stage.outputs.sent_bytes == sent
    stage.outputs.end("over")
    assert stage.outputs.sent_bytes >= sent


async def test_without_transcoding_g711_is_left_out() -> None:
    stage = Stage(transcode=False)
    stage.send(pcm(), PHONE)
    stage.join(FMP4)
    assert stage.outputs.left_out == ("fmp4: pcma",)
    assert stage.outputs.tracks_for(TS) is PHONE


async def test_without_the_extra_g711_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs_module, "can_transcode", lambda: False)
    stage = Stage()
    stage.send(pcm(), PHONE)
    stage.join(TS)
    assert stage.outputs.left_out == ("ts: pcma",)


def needs_av() -> None:
    pytest.importorskip("av", reason="the extra transcode is not installed")


async def test_g711_is_made_aac_for_formats_that_cannot_carry_it() -> None:
    needs_av()
    stage = Stage()
    stage.send(pcm(), PHONE)
    player = stage.join(TS)
    stage.send(pcm(UNITS_OF_PCM), PHONE)
    assert player.codecs == {Codec.AAC}
    assert stage.outputs.left_out == ()
    assert [track.codec for track in stage.outputs.tracks_for(TS).tracks] == [Codec.AAC]


async def test_it_is_made_once_and_all_formats_get_the_same_frames() -> None:
    needs_av()
    stage = Stage()
    stage.send(pcm(), PHONE)
    early = stage.join(TS)
    stage.send(pcm(UNITS_OF_PCM), PHONE)
    late = stage.join(WS_TS)
    stage.send(pcm(2 * UNITS_OF_PCM), PHONE)
    first, second = ({unit.dts: unit.payload for unit in player.units} for player in (early, late))
    assert second.keys() <= first.keys()
    assert all(first[dts] == payload for dts, payload in second.items())
    assert max(second) == max(first)
    assert max(second) - min(second) > 3 * 90_000  # what is kept for joins, and what came after


async def test_g711_that_appears_later_is_made_aac_too() -> None:
    needs_av()
    stage = Stage()
    silent = TrackSet((Track(track_id=1, codec=Codec.VP9, configuration=b"vpcC"),), 1)
    stage.send(gop(0, 2), silent)
    player = stage.join(TS)
    stage.send([video(2), *pcm(3)], TrackSet((*silent.tracks, PCMA), 2))
    assert player.codecs == {Codec.AAC}


async def test_where_transcoding_fails_g711_is_left_out_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_av()
    stage = Stage()
    pictures = TrackSet((AUDIO, Track(track_id=3, codec=Codec.PCMU)), 1)
    sound = [AccessUnit(2, seq * 1920, 0, True, b"\x21" * 9, seq) for seq in range(3)]
    stage.send(sound[:1], pictures)
    player = stage.join(TS)
    monkeypatch.setattr(Transcoder, "transcode", failing)
    stage.send(sound[1:], pictures)
    assert stage.outputs.left_out == ("ts: pcmu",)
    assert len(player.units) == 3


def failing(*_: object) -> None:
    raise UnsupportedError("this")


async def test_a_format_that_fails_ends_and_no_other_hears_of_it(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(TsPackager):
        def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
            if unit.seq > 1:
                raise LocalProtocolError("no")
            return super().package(unit, tracks, parts)

    stage = Stage()
    stage.send(sound(0, 2), SOUND)
    broken, whole = stage.join(OutputFormat(key="failing", name="failing", packager=Failing)), stage.join(TS)
    stage.send(sound(2, 2), SOUND)
    assert broken.closed == "this stream cannot be had in this format"
    assert (whole.closed, len(whole.units), len(stage.retired)) == ("", 4, 1)
    assert "format failed" in caplog.text


@pytest.mark.parametrize(("first", "error"), [(0, LocalProtocolError("no")), (2, LocalProtocolError("no")), (2, IndexError("bug"))])
async def test_a_stream_that_cannot_be_made_packets_ends_rtp_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, first: int, error: Exception
) -> None:
    def failing_at(self: Packetizing, run: Run) -> Run:
        if run.units[-1].seq >= first:
            raise error
        return replace(run, units=[])

    monkeypatch.setattr(Packetizing, "convert", failing_at)
    stage = Stage()
    stage.send(sound(0, 2), SOUND)
    rtp = stage.outputs.rtp_stream()
    form = OutputFormat(key="rtp", name="rtp", packager=lambda: InterleavedPackager(rtp, plain_channels(rtp)), rtp=rtp)
    broken, whole = stage.join(form), stage.join(TS)
    stage.send(sound(2, 2), SOUND)
    await asyncio.sleep(0)
    assert broken.closed == "this stream cannot be had in this format"
    assert (whole.closed, len(whole.units), len(stage.retired)) == ("", 4, 1)


@pytest.mark.parametrize("error", [LocalProtocolError("no"), IndexError("a bug")])
async def test_who_asks_for_a_format_that_fails_at_once_is_told(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(TsPackager):
        def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
            raise error

    stage = Stage()
    stage.send([AccessUnit(2, 0, 0, True, b"\x21" * 9, 0, 0)], SOUND)
    player = stage.join(OutputFormat(key="failing", name="failing", packager=Failing))
    await asyncio.sleep(0)
    assert player.closed == "this stream cannot be had in this format"
    assert (stage.outputs.fanouts, len(stage.retired)) == ([], 1)
    assert "failed at once" in caplog.text


# what is gathered


def gathering() -> Stage:
    """A stage of a stream whose tracks are all there, and which has one unit."""
    stage = Stage(gathers=True)
    stage.send(sound(0, 1), SOUND)
    stage.outputs.settling.end()
    return stage


async def test_what_comes_next_has_the_time_until_the_first_format_sends() -> None:
    stage = Stage(gathers=True)
    assert stage.outputs.slack_s == 0
    stage.send(sound(0, 1), SOUND)
    player, _ = stage.join(TS), stage.join(WS_TS)
    assert stage.outputs.slack_s == 0  # its tracks may not all be there
    stage.outputs.settling.end()
    assert stage.outputs.slack_s == 0  # nothing is gathered
    stage.send(sound(1, 1), SOUND)
    assert 0 < stage.outputs.slack_s <= 0.001
    async with asyncio.timeout(LIMIT_S):
        await player.more()
    assert stage.outputs.slack_s == 0


async def test_a_target_of_a_relay_gets_what_comes_next_at_once() -> None:
    stage = gathering()
    stage.join(TS)
    stage.outputs.open(replace(TS, key="push"), PushFanOut(FanOutSettings(), lambda _tracks: ()))
    stage.send(sound(1, 1), SOUND)
    assert stage.outputs.slack_s == 0


async def test_what_every_format_gathers_is_packaged_when_it_goes_out() -> None:
    stage = gathering()
    whole, other = stage.join(TS), stage.join(WS_TS)
    for seq in range(1, 6):
        stage.send(sound(seq, 1), SOUND)
    assert (len(whole.units), stage.outputs.held_bytes) == (1, 45)
    async with asyncio.timeout(LIMIT_S):
        await other.more()
    assert [unit.dts - whole.units[0].dts for unit in whole.units] == [seq * 1920 for seq in range(6)]
    assert whole.units == other.units
    assert stage.outputs.held_bytes == 0


async def test_one_that_cannot_wait_has_all_fed_at_once() -> None:
    stage = gathering()
    stage.join(TS)
    stage.send(sound(1, 1), SOUND)
    push = stage.outputs.open(
        OutputFormat(key="push", name="push", packager=TsPackager), PushFanOut(FanOutSettings(), lambda _: ())
    )
    stage.send(sound(2, 1), SOUND)
    run = push.read()
    assert run is not None
    assert ([unit.seq for unit in run.units], stage.outputs.held_bytes) == ([0, 1, 2], 0)


@pytest.mark.parametrize("ends", [True, False])
async def test_what_is_held_when_the_last_player_leaves_or_the_stream_ends_is_not_lost(ends: bool) -> None:
    stage = gathering()
    player = stage.join(TS)
    stage.send(sound(1, 2), SOUND)
    if ends:
        stage.outputs.end("over")
    else:
        stage.leave(TS, player)
        player = stage.join(TS)
    assert len(player.units) == 3


async def test_what_is_held_for_one_that_goes_is_not_left_behind_for_the_others() -> None:
    stage = gathering()
    first = stage.join(TS)
    stage.send(sound(1, 1), SOUND)
    other = stage.join(WS_TS)  # which has no timer of its own yet
    stage.leave(TS, first)
    async with asyncio.timeout(LIMIT_S):
        await other.more()
    assert (len(other.units), stage.outputs.held_bytes) == (2, 0)


async def test_what_is_held_for_one_that_fails_is_not_left_behind_for_the_others() -> None:
    class FailingLater(TsPackager):
        def start(self, tracks: TrackSet, dts: int) -> bytes:
            raise IndexError("a bug")

    stage = gathering()
    stage.join(TS)
    stage.send(sound(1, 1), SOUND)
    broken = stage.outputs.fanout(OutputFormat(key="failing", name="failing", packager=FailingLater))
    other = stage.join(WS_TS)
    stage.outputs._fail(stage.outputs._outputs["failing"])
    assert (stage.outputs.held_bytes, broken in stage.outputs.fanouts) == (0, False)
    async with asyncio.timeout(LIMIT_S):
        await other.more()


async def test_no_more_is_held_than_may_be_gathered() -> None:
    stage = gathering()
    stage.join(TS)
    for seq in range(1, 9):
        stage.send(sound(seq, 1, 8000), SOUND)
    assert stage.outputs.held_bytes == 64_000
    stage.send([AccessUnit(2, 9 * 1920, 0, True, bytes(MAX_PENDING_BYTES), 9, 9)], SOUND)
    assert stage.outputs.held_bytes == 0


async def test_other_tracks_are_told_at_once() -> None:
    stage = gathering()
    stage.join(FMP4)
    stage.send(sound(1, 1), SOUND)
    stage.send(sound(2, 1), TrackSet((AUDIO,), 2))
    assert (stage.outputs.tracks.version, stage.outputs.held_bytes) == (2, 0)


@pytest.mark.parametrize("error", [LocalProtocolError("no"), IndexError("a bug")])
async def test_a_format_that_fails_on_what_was_held_ends_and_no_other_hears_of_it(error: Exception) -> None:
    class Failing(TsPackager):
        def package(self, unit: AccessUnit, tracks: TrackSet, parts: Parts) -> int:
            if unit.seq:
                raise error
            return super().package(unit, tracks, parts)

    stage = gathering()
    broken, whole = stage.join(OutputFormat(key="failing", name="failing", packager=Failing)), stage.join(TS)
    stage.send(sound(1, 2), SOUND)
    async with asyncio.timeout(LIMIT_S):
        await whole.more()
    assert broken.closed == "this stream cannot be had in this format"
    assert (whole.closed, len(whole.units), len(stage.retired)) == ("", 3, 1)


@in_virtual_time
async def test_what_fails_for_all_formats_ends_the_relay_and_leaves_no_timer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = gathering()
    player = stage.join(TS)
    stage.send(sound(1, 1), SOUND)
    with monkeypatch.context() as broken:
        broken.setattr(stage.outputs._ring, "append", failing_by_a_bug)
        await asyncio.sleep(0.002)
    assert isinstance(stage.failed[0], IndexError)
    assert stage.outputs.slack_s == 0
    stage.outputs.end("internal error")
    assert (player.closed, len(stage.retired)) == ("internal error", 1)


def failing_by_a_bug(*_: object) -> NoReturn:
    raise IndexError("a bug")


async def test_an_end_ends_whatever_fails_on_what_was_held(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = gathering()
    players = [stage.join(TS), stage.join(WS_TS)]
    stage.send(sound(1, 1), SOUND)
    monkeypatch.setattr(stage.outputs._ring, "append", failing_by_a_bug)
    stage.outputs.end("over")
    assert ([player.closed for player in players], len(stage.failed)) == (["over", "over"], 1)


async def test_an_end_ends_every_player_whatever_fails_in_a_format_or_in_closing_one(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(TsPackager):
        def end(self, tracks: TrackSet, dts: int, parts: Parts) -> int:
            raise IndexError("a bug")

    stage = Stage()
    stage.send(sound(0, 2), SOUND)
    form = OutputFormat(key="failing", name="failing", packager=Failing)
    first, second, third, other = stage.join(form), stage.join(form), stage.join(form), stage.join(TS)
    second.feed.close = failing_by_a_bug
    stage.outputs.end("over")
    assert [player.closed for player in (first, third, other)] == ["over"] * 3
    assert ("failed at its end" in caplog.text, "could not be closed" in caplog.text) == (True, True)
    assert len(stage.retired) == 2


@in_virtual_time
async def test_a_player_that_cannot_be_closed_keeps_no_other(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.send(sound(0, 2), SOUND)
    broken, same, other = stage.join(TS), stage.join(TS), stage.join(WS_TS)
    broken.feed.close = failing_by_a_bug
    for player, form in ((broken, TS), (same, TS), (other, WS_TS)):
        stage.outputs.fanout(form).paused(player.feed)
    await asyncio.sleep(FanOutSettings().slow_player_s + 1)
    stage.outputs.sweep()
    assert [player.closed.partition(":")[0] for player in (same, other)] == ["too slow"] * 2
    assert (stage.outputs.players, caplog.messages) == (0, ["player could not be closed"])


@in_virtual_time
async def test_a_format_that_fails_as_it_goes_out_ends_and_no_other_hears_of_it() -> None:
    class Failing(TsPackager):
        fails = False

        def start(self, tracks: TrackSet, dts: int) -> bytes:
            return failing_by_a_bug() if self.fails else super().start(tracks, dts)

    stage = gathering()
    form = OutputFormat(key="failing", name="failing", packager=Failing)
    live, waiting, whole = stage.join(form), stage.join(form), stage.join(TS)
    stage.outputs.fanout(form).remove(waiting.feed)
    stage.outputs.fanout(form).add(waiting.feed, from_cache=False)
    Failing.fails = True
    stage.send(sound(1, 1), SOUND)
    await asyncio.sleep(0.01)
    assert len(whole.units) == 2
    assert [player.closed for player in (live, waiting)] == ["this stream cannot be had in this format"] * 2
    assert (whole.closed, len(stage.retired), stage.failed) == ("", 1, [])


async def test_when_nobody_plays_it_any_more_nothing_is_made() -> None:
    needs_av()
    stage = Stage()
    stage.send(pcm(), PHONE)
    player = stage.join(TS)
    stage.leave(TS, player)
    stage.send(pcm(UNITS_OF_PCM), PHONE)
    again = stage.join(TS)
    stage.send(pcm(2 * UNITS_OF_PCM), PHONE)
    times = [unit.dts for unit in again.units]
    assert {after - before for before, after in itertools.pairwise(times)} == {1920}


async def test_players_of_another_configuration_go_and_new_ones_are_served() -> None:
    stage = Stage()
    tracks = TrackSet((AUDIO,), 1)
    sounds = [AccessUnit(2, seq * 1920, 0, True, b"a", seq, seq) for seq in range(4)]
    stage.send(sounds[:2], tracks)
    old = stage.join(FMP4)
    old.feed.close = lambda reason: (setattr(old, "closed", reason), stage.outputs.left(FMP4.key))  # type: ignore[assignment, func-returns-value]
    louder = TrackSet(
        (Track(track_id=2, codec=Codec.AAC, configuration=bytes.fromhex("1190"), sample_rate_hz=48_000, channels=2),), 2
    )
    stage.send(sounds[2:], louder)
    assert "another configuration" in old.closed
    assert (stage.outputs.players, len(stage.retired)) == (0, 1)
    new = stage.join(FMP4)
    assert new.got.startswith(Fmp4Packager().start(louder, 0))


@pytest.mark.parametrize("tells_once", [False, True])
async def test_who_hears_of_tracks_once_has_the_pictures_from_before_the_sound(tells_once: bool) -> None:
    stage = Stage()
    stage.send(gop(0, 8), TrackSet((PICTURE,), 1))
    stage.send(gop(0, 12)[8:], PICTURE_AND_SOUND)
    player = stage.join(replace(FMP4, tells_tracks_once=tells_once))
    assert player.got.startswith(Fmp4Packager().start(PICTURE_AND_SOUND, 0)) == tells_once
    assert player.got.count(b"moof") == (12 if tells_once else 0)


async def test_pictures_of_another_configuration_are_not_given_out_under_the_newest() -> None:
    stage = Stage()
    stage.send(gop(0, 8), TrackSet((replace(PICTURE, configuration=bytes.fromhex("01000000001482010101 0000")),), 1))
    stage.send(gop(0, 12)[8:], PICTURE_AND_SOUND)
    assert stage.join(replace(FMP4, tells_tracks_once=True)).got == b""


async def test_a_publication_after_another_is_converted_on() -> None:
    needs_av()
    stage = Stage()
    stage.send(pcm(), PHONE)
    player = stage.join(TS)
    stage.outputs.feed(Run(epoch(2), b"2" * 16, PHONE, list(pcm(UNITS_OF_PCM))))
    await asyncio.sleep(0)
    times = [unit.dts for unit in player.units]
    assert times == sorted(set(times))
    assert len(times) > 180
