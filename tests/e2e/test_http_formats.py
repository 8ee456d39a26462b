"""Every frame that is pushed comes out of MPEG-TS and fMP4 too, over HTTP and WebSocket: publisher × server × player.

fMP4 carries coded packets as they were, and is compared as FLV is. TS frames them anew, so there pictures are compared as they are
shown, and sound without its framing. Times are the publisher's but for one constant. Unusual ones are in `test_every_output`.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from e2e.test_frames import LEAST_S, RUN_S, Run, into
from support import ffmpeg, frames, wire
from support.cluster import PROGRAM, Node
from support.frames import Recording, assert_same_from_join
from support.media import media
from support.process import wait_until

from lalmesh.container.flv import TAG_AUDIO, TAG_SCRIPT, Tag

TS_MEDIA = ("h264_aac", "h264_b3_aac", "hevc_aac", "aac", "h264", "h264_mp3")
FMP4_MEDIA = (*TS_MEDIA, "av1_opus")
SERVERS = ("standalone", "cluster")
PHONE = "h264_pcma"  #: G.711, which becomes AAC
LIMIT_S = 30.0
LATE_MS = 300  #: by which sound begins after the pictures


class Playbacks:
    """Streams on their way through one server, and the recordings of all that plays them."""

    def __init__(self, folder: Path, run: Run, egress: Node, api_url: str) -> None:
        self.folder = folder
        self.run = run
        self.egress = egress
        self.api_url = api_url
        self.files: dict[str, Path] = {}
        self._plain: dict[Path, str] = {}
        self._sockets: dict[Path, str] = {}

    def add(self, name: str, suffix: str) -> None:
        """A stream is to be played in one format, both ways."""
        plain = self.files[f"http-{suffix}.{name}"] = self.folder / f"{name}.http.{suffix}"
        self._plain[plain] = self.egress.http_url(f"live/{name}.{suffix}")
        socket = self.files[f"ws-{suffix}.{name}"] = self.folder / f"{name}.ws.{suffix}"
        self._sockets[socket] = self.egress.socket_url(f"live/{name}.{suffix}")

    def record(self) -> None:
        """Play all that is to be played, each once it is live."""
        self.run.record_all("http", self._plain, once_live=self.api_url)
        self.run.record_all("websocket", self._sockets, once_live=self.api_url)

    def file(self, playback: str) -> Path:
        """What a player got, or why it got nothing."""
        file = self.files[playback]
        assert file.exists(), self.run.explain()
        assert file.stat().st_size, self.run.explain()
        return file

    def left_out(self, name: str) -> list[str]:
        """What the API says that players of a stream do not get."""
        with urllib.request.urlopen(f"{self.api_url}/v1/streams?items_per_page=100", timeout=LIMIT_S) as answer:
            return next(item["left_out"] or [] for item in json.load(answer)["items"] if item["name"] == name)


@pytest.fixture(scope="module", params=SERVERS)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playbacks]:
    """All media through one server, played from the moment that they are live."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        ingest, egress, api_url = into(folder, request.param, stack, {})
        run = Run(folder, stack)
        table = Playbacks(folder, run, egress, api_url)
        for name in FMP4_MEDIA:
            table.add(name, "mp4")
        for name in (*TS_MEDIA, PHONE, "av1_opus"):
            table.add(name, "ts")
        table.record()
        for name in (*FMP4_MEDIA, PHONE):
            run.push(name, media(name), ingest.rtmp_url(f"live/{name}"))
        run.wait_live(api_url)
        wait_until("what is left out", lambda: table.left_out("av1_opus") == ["ts: av1"], RUN_S)
        run.finish()
        yield table


@cache
def source(name: str, container: str) -> Recording:
    """What was published, as it is compared with what comes out of `container`."""
    return frames.in_ms(frames.as_transport_stream(media(name)) if container == "ts" else frames.of_file(media(name)))


def check(name: str, container: str, file: Path) -> None:
    received = frames.of_transport_stream(file) if container == "ts" else frames.of_file(file)
    joined = assert_same_from_join(source(name, container), frames.in_ms(received), to_end=True)
    lead = received.track("video") or received.track("audio")
    base = next(stream.time_base for stream in received.streams if stream.index == lead[0].stream)
    assert (lead[-1].dts - lead[0].dts) * base >= LEAST_S, joined


@pytest.mark.parametrize("protocol", ["http", "ws"])
@pytest.mark.parametrize("name", TS_MEDIA)
def test_every_frame_comes_out_of_a_transport_stream(table: Playbacks, name: str, protocol: str) -> None:
    check(name, "ts", table.file(f"{protocol}-ts.{name}"))


@pytest.mark.parametrize("protocol", ["http", "ws"])
@pytest.mark.parametrize("name", FMP4_MEDIA)
def test_every_frame_comes_out_of_fragments(table: Playbacks, name: str, protocol: str) -> None:
    check(name, "mp4", table.file(f"{protocol}-mp4.{name}"))


@pytest.mark.parametrize(
    ("name", "mime"),
    [
        ("h264_aac", 'video/mp4; codecs="avc1.'),
        ("hevc_aac", 'video/mp4; codecs="hvc1.'),
        ("av1_opus", 'video/mp4; codecs="av01.'),
        ("aac", 'audio/mp4; codecs="mp4a.40.2"'),
    ],
)
def test_over_websocket_pages_hear_first_what_it_is(table: Playbacks, name: str, mime: str) -> None:
    file = table.file(f"ws-mp4.{name}")
    (said,) = file.with_name(f"{file.name}.text").read_text().splitlines()
    assert json.loads(said)["mime"].startswith(mime)


def test_g711_becomes_aac_that_keeps_up_with_the_pictures(table: Playbacks) -> None:
    pytest.importorskip("av", reason="the extra transcode is not installed")
    received = frames.of_transport_stream(table.file(f"http-ts.{PHONE}"))
    sent = source(PHONE, "ts")
    sound = received.track("audio")
    assert [stream.codec for stream in received.streams] == ["rawvideo", "aac"]
    pictures = [frame.md5 for frame in received.track("video")]
    assert pictures == [frame.md5 for frame in sent.track("video")][-len(pictures) :]
    assert {after.dts - before.dts for before, after in pairwise(sound)} == {1920}
    assert abs(sound[-1].dts - received.track("video")[-1].dts) < 90_000 // 4


def test_what_a_format_cannot_carry_is_told_and_the_rest_comes(table: Playbacks) -> None:
    received = frames.parse(ffmpeg.run("-copyts", "-i", table.file("http-ts.av1_opus"), *ffmpeg.FRAME_HASHES, "-"))
    assert [stream.codec for stream in received.streams] == ["opus"]
    assert 'edge_tracks_left_out_total{codec="av1",format="ts"} 1.0' in table.egress.metrics()
    assert "track left out: ts cannot carry av1" in table.egress.output()


def with_late_sound(file: Path, *, names_it: bool) -> Path:
    """A file whose sound and its configuration come late, which its onMetaData tells, or it has none."""
    tags = wire.tags_of_file(media("h264_aac"))
    header = next(tag for tag in tags if tag.type_id == TAG_AUDIO)
    assert wire.is_header(header)

    def kept(tag: Tag) -> bool:
        return names_it if tag.type_id == TAG_SCRIPT else tag.type_id != TAG_AUDIO or tag.timestamp_ms >= LATE_MS

    late = [tag for tag in tags if kept(tag)]
    late.insert(next(at for at, tag in enumerate(late) if tag.type_id == TAG_AUDIO), replace(header, timestamp_ms=LATE_MS))
    return wire.file_of_tags(late, file)


def test_players_of_fragments_wait_for_sound_that_begins_after_the_pictures(tmp_path: Path) -> None:
    with ExitStack() as stack:
        ingest, egress, _ = into(tmp_path, "standalone", stack, {"edge.play.wait_publisher_s": RUN_S})
        run = Run(tmp_path, stack)
        sources = {name: with_late_sound(tmp_path / f"{name}.flv", names_it=name == "named") for name in ("named", "unnamed")}
        players = {name: tmp_path / f"{name}.mp4" for name in sources}
        run.rows |= players
        run.record_all("http", {file: egress.http_url(f"live/{name}.mp4") for name, file in players.items()})
        wait_until("all players", lambda: f"\nedge_relays {len(players)}.0\n" in egress.metrics(), RUN_S)
        for name, file in sources.items():
            run.publish(name, file, run.command(f"push.{name}", PROGRAM, "push", file, ingest.rtmp_url(f"live/{name}")))
        run.finish()
        for name, file in players.items():
            sent, received = frames.in_ms(frames.of_file(sources[name])), frames.in_ms(run.received(name))
            assert assert_same_from_join(sent, received, to_end=True).first_dts_ms == 0, file
