"""Real files, see tests/captures/flv/README.md: what comes in goes out the same, and no damage does more than it may."""

import contextlib
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lalmesh.container.flv import BodyDemuxer, BodyMuxer, Tag, TagReader
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import AccessUnit, Codec, TrackEnded, TracksChanged

CAPTURES = Path(__file__).parents[2] / "captures" / "flv"
FILES = {path.stem: path.read_bytes() for path in sorted(CAPTURES.glob("*.flv"))}

#: what is not sent on: message bodies that start with these
NOT_SENT = {
    "h264-multitrack": (b"\x96", b"\xa6"),  # further tracks
    "hevc-aac-enhanced": (b"\xd4hvc1",),  # metadata of the video with nothing in it
    "av1-opus-enhanced": (b"\xd4av01", b"\x94Opus"),
    "vp9-flac-enhanced": (b"\xd4vp09", b"\x94fLaC"),
    "ac3-enhanced": (b"\x90ac-3", b"\x94ac-3"),
    "eac3-enhanced": (b"\x90ec-3", b"\x94ec-3"),
}
EMPTY = (b"\x90av01", b"\x91fLaC")  # sent once without anything in it

TRACKS = {
    "ac3-enhanced": [(Codec.AC3, 48_000, 2)],
    "av1-opus-enhanced": [(Codec.AV1, 96, 64), (Codec.OPUS, 48_000, 2)],
    "eac3-enhanced": [(Codec.EAC3, 48_000, 2)],
    "h264-aac-bframes": [(Codec.H264, 96, 64), (Codec.AAC, 44_100, 1)],
    "h264-multitrack": [(Codec.H264, 96, 64)],
    "hevc-aac-enhanced": [(Codec.H265, 96, 64), (Codec.AAC, 44_100, 1)],
    "mp3": [(Codec.MP3, 44_100, 2)],
    "pcm-alaw": [(Codec.PCMA, 8_000, 1)],
    "vp9-flac-enhanced": [(Codec.VP9, 0, 0), (Codec.FLAC, 48_000, 1)],
}


def tags_of(name: str) -> list[Tag]:
    return list(TagReader().feed(FILES[name]))


def bodies_of(demuxer: BodyDemuxer, muxer: BodyMuxer, tag: Tag) -> list[bytes]:
    """What goes out for one tag: a header where a track with a configuration came, and the units."""
    before, out = demuxer.tracks, list[bytes]()
    for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body):
        match event:
            case AccessUnit():
                track = demuxer.tracks.get(event.track_id)
                assert track is not None
                assert muxer.type_id(track) == tag.type_id
                out.append(muxer.body_prefix(track, event) + event.payload)
            case TracksChanged(tracks):
                for track in tracks.tracks:
                    if track not in before.tracks:
                        header = muxer.sequence_header(track)
                        out += (
                            [header[1]] if header is not None else [muxer.metadata(tracks)] if track.codec is Codec.SCRIPT else []
                        )
            case TrackEnded(track_id):
                ended = demuxer.tracks.get(track_id)
                end = muxer.sequence_end(ended) if ended is not None else None
                out += [end[1]] if end is not None else []
    return out


@pytest.mark.parametrize("name", FILES)
def test_units_headers_and_metadata_go_out_as_they_came(name: str) -> None:
    demuxer, muxer = BodyDemuxer(), BodyMuxer()
    for tag in tags_of(name):
        before = demuxer.tracks
        out = bodies_of(demuxer, muxer, tag)
        if tag.body in EMPTY or tag.body.startswith(NOT_SENT.get(name, ())):
            assert (out, demuxer.tracks) == ([], before)
        else:
            assert out == [tag.body]


@pytest.mark.parametrize("name", FILES)
def test_the_tracks_are_known(name: str) -> None:
    demuxer = BodyDemuxer()
    for tag in tags_of(name):
        demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
    found = [
        (track.codec, track.sample_rate_hz or track.width, track.channels or track.height)
        for track in sorted(demuxer.tracks.tracks, key=lambda track: track.track_id)
        if track.codec is not Codec.SCRIPT
    ]
    assert found == TRACKS[name]


def test_a_further_track_is_counted() -> None:
    demuxer = BodyDemuxer()
    for tag in tags_of("h264-multitrack"):
        demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)
    assert demuxer.counters.ignored_tracks == 9


def test_pictures_that_are_shown_out_of_order_keep_their_times() -> None:
    demuxer, seen = BodyDemuxer(), list[AccessUnit]()
    for tag in tags_of("h264-aac-bframes"):
        seen += [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
    pictures = [unit for unit in seen if unit.track_id == 1]
    assert len(pictures) == 15
    assert [unit.dts for unit in pictures] == sorted(unit.dts for unit in pictures)
    shown = sorted(unit.pts for unit in pictures)
    assert all(5_900 <= later - earlier <= 6_100 for earlier, later in itertools.pairwise(shown))


@pytest.mark.parametrize("name", FILES)
@given(st.integers(1, 400))
@settings(max_examples=5)
def test_any_split_gives_the_same_tags(name: str, size: int) -> None:
    wire, reader = FILES[name], TagReader()
    seen = [tag for at in range(0, len(wire), size) for tag in reader.feed(wire[at : at + size])]
    assert seen == tags_of(name)


@pytest.mark.parametrize("name", FILES)
def test_every_cut_body_gives_events_or_an_error(name: str) -> None:
    tags = [tag for tag in tags_of(name) if len(tag.body) < 300]
    for tag in tags[:4]:
        for end in range(len(tag.body)):
            with contextlib.suppress(RemoteProtocolError):
                BodyDemuxer().demux(tag.type_id, 0, tag.body[:end])


@given(st.sampled_from([8, 9, 15, 18]), st.integers(0, 0xFFFFFFFF), st.binary(max_size=100))
def test_any_body_gives_events_or_an_error(type_id: int, timestamp_ms: int, body: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        BodyDemuxer().demux(type_id, timestamp_ms, body)


@given(
    st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(0, 255)), max_size=20)
)
def test_any_damage_gives_events_that_can_be_muxed_or_an_error(name: str, damage: list[tuple[int, int, int]]) -> None:
    tags = tags_of(name)[:20]
    for number, at, byte in damage:
        tag = tags[number % len(tags)]
        tag.body = tag.body[: at % len(tag.body)] + bytes((byte,)) + tag.body[at % len(tag.body) + 1 :]
    demuxer, muxer = BodyDemuxer(), BodyMuxer(hevc="legacy", opus="legacy")
    for tag in tags:
        try:
            bodies_of(demuxer, muxer, tag)
        except (RemoteProtocolError, UnsupportedError):
            break
