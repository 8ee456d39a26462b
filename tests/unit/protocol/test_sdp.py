from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec import aac, build_track
from lalmesh.codec.opus import OpusHead
from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from lalmesh.media import Codec, Kind, Track
from lalmesh.protocol import rtp
from lalmesh.protocol.sdp import (
    MAX_DESCRIPTION_BYTES,
    MAX_LINES,
    MAX_MEDIA,
    Attribute,
    MediaDescription,
    MediaFormat,
    SessionDescription,
    _formats,
    assign_payload_types,
    build_media,
    build_session,
    parse_media,
    parse_session,
)
from lalmesh.protocol.sdp._formats import parse_payload_type
from lalmesh.protocol.sdp._model import MAX_FORMATS

FOLDER = Path(__file__).parents[2] / "captures" / "sdp"
RFC_2326, HIKVISION, DAHUA, FFMPEG, GSTREAMER, AXIS, LIVE555 = CAPTURES = [
    (FOLDER / f"{name}.sdp").read_bytes() for name in ("rfc2326", "hikvision", "dahua", "ffmpeg", "gstreamer", "axis", "live555")
]


def formats(data: bytes) -> list[MediaFormat]:
    return [media_format for media in parse_session(data).media for media_format in media.formats]


def only(lines: str) -> MediaFormat:
    (media_format,) = formats(lines.encode())
    return media_format


def test_each_line_is_looked_at_once_however_many_formats_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []

    def watched(text: str) -> int | None:
        looked_at.append(text)
        return parse_payload_type(text)

    numbers = range(96, 96 + MAX_FORMATS)
    lines = [f"a={name}:{number} {value}" for number in numbers for name, value in (("rtpmap", "H264/90000"), ("fmtp", "a=b"))]
    others = ["a=rtpmap:1 x", "a=fmtp:1 x"] * 450
    (media,) = parse_session("\n".join([f"m=video 0 RTP/AVP {' '.join(map(str, numbers))}", *others, *lines]).encode()).media
    monkeypatch.setattr(_formats, "parse_payload_type", watched)
    assert len(media.formats) == MAX_FORMATS
    assert len(looked_at) == len(others) + len(lines) + MAX_FORMATS
    looked_at.clear()
    assert media.passed_on == media.formats[0]
    assert len(looked_at) <= 2 * (len(others) + len(lines)) + MAX_FORMATS + 1


def test_the_example_of_rfc_2326_is_read() -> None:
    description = parse_session(RFC_2326)
    assert description.name == "SDP Seminar"
    assert description.attributes == (Attribute("recvonly"),)
    assert [media.media for media in description.media] == ["audio", "video", "whiteboard"]
    assert description.media[0].port == 3456
    assert formats(RFC_2326) == [MediaFormat(0, "PCMU", 8_000), MediaFormat(31, "H261", 90_000)]
    assert description.media[2].protocol == "UDP"


def test_the_description_of_hikvision_is_read() -> None:
    description = parse_session(HIKVISION)
    assert description.control.startswith("rtsp://192.168.1.64:554/Streaming/Channels/101/?")
    video, audio, metadata = description.media
    assert video.direction == "recvonly"
    assert video.control == "rtsp://192.168.1.64:554/Streaming/Channels/101/trackID=1?transportmode=unicast"
    assert audio.control == ""
    (sound,) = audio.formats
    assert (sound.encoding_name, sound.clock_rate_hz, sound.channels) == ("mpeg4-generic", 16_000, 1)
    assert sound.parameters["config"] == "1408"
    assert sound.parameters["sizelength"] == "13"
    assert metadata.formats == [MediaFormat(107, "vnd.onvif.metadata", 90_000)]
    assert ("media_header", True) in [(name, value.endswith(";")) for name, value in metadata.attributes]


def test_the_description_of_dahua_is_read() -> None:
    description = parse_session(DAHUA)
    assert (description.control, description.range) == ("*", "npt=now-")
    assert [media.control for media in description.media] == ["trackID=0", "trackID=1"]
    video, audio = formats(DAHUA)
    assert video.parameters["sprop-vps"] == "QAEMAf//AWAAAAMAsAAAAwAAAwB7rAk="
    assert audio == MediaFormat(8, "PCMA", 8_000)


@pytest.mark.parametrize(
    ("data", "codecs"), [(FFMPEG, [Codec.H264, Codec.AAC]), (GSTREAMER, [Codec.H264]), (DAHUA, [Codec.H265, Codec.PCMA])]
)
def test_descriptions_with_parameter_sets_give_whole_tracks(data: bytes, codecs: list[Codec]) -> None:
    tracks = [track_of(media_format) for media_format in formats(data)]
    assert [track.codec for track in tracks if track is not None] == codecs


def test_a_static_payload_type_needs_no_map() -> None:
    assert formats(LIVE555) == [MediaFormat(14, "MPA", 90_000)]
    assert only("m=audio 0 RTP/AVP 10\n") == MediaFormat(10, "L16", 44_100, 2)


def test_a_map_overrules_a_static_payload_type() -> None:
    assert only("m=audio 0 RTP/AVP 0\na=rtpmap:0 PCMA/16000/2\n") == MediaFormat(0, "PCMA", 16_000, 2)


@pytest.mark.parametrize(
    ("rtpmap", "expected"),
    [
        ("a=rtpmap:96 H264/90000", MediaFormat(96, "H264", 90_000)),
        ("a=rtpmap: 96  H264/90000/1 ", MediaFormat(96, "H264", 90_000)),
        ("a=rtpmap:96\tH264", MediaFormat(96, "H264", 90_000)),
        (" a=rtpmap : 96 h265 / 90000", MediaFormat(96, "h265", 90_000)),
        ("a=rtpmap:97 H265/90000\na=rtpmap:96 H264/90000", MediaFormat(96, "H264", 90_000)),
    ],
)
def test_maps_are_read_as_cameras_write_them(rtpmap: str, expected: MediaFormat) -> None:
    assert only(f"m=video 0 RTP/AVP 96\n{rtpmap}\n") == expected


@pytest.mark.parametrize(
    ("fmtp", "name", "clock_rate_hz"),
    [
        ("packetization-mode=1;profile-level-id=4D002A", "H264", 90_000),
        ("sprop-vps=QAE=; sprop-sps=QgE=; sprop-pps=RAE=", "H265", 90_000),
        ("mode=AAC-hbr;SizeLength=13;config=1408", "mpeg4-generic", 16_000),
    ],
)
def test_a_missing_map_is_told_by_the_parameters(fmtp: str, name: str, clock_rate_hz: int) -> None:
    found = only(f"m=video 0 RTP/AVP 96\na=fmtp:96 {fmtp}\n")
    assert (found.encoding_name, found.clock_rate_hz) == (name, clock_rate_hz)


@pytest.mark.parametrize(
    "lines",
    [
        "m=video 0 RTP/AVP 96",
        "m=video 0 RTP/AVP 128\na=rtpmap:128 H264/90000",
        "m=video 0 RTP/AVP x",
        "m=video 0 RTP/AVP",
        "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/0",
        "m=video 0 RTP/AVP 96\na=rtpmap:96 /90000",
        "m=audio 0 RTP/AVP 96\na=fmtp:96 sizelength=13;config=xyz",
        "m=whiteboard 32416 UDP WB",
    ],
)
def test_what_nothing_tells_of_has_no_format(lines: str) -> None:
    assert formats(lines.encode()) == []


def test_aac_without_config_becomes_what_clock_and_channels_tell() -> None:
    found = only("m=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/44100/2\na=fmtp:97 mode=AAC-hbr;config=;sizelength=13\n")
    assert found.parameters["config"] == "1210"  # ISO/IEC 14496-3 §1.6.2.1: AAC-LC, index 4, two channels
    track = track_of(found)
    assert track is not None
    assert (track.codec, track.sample_rate_hz, track.channels) == (Codec.AAC, 44_100, 2)


@pytest.mark.parametrize("rtpmap", ["mpeg4-generic/99999999", "mpeg4-generic/44100/99"])
def test_aac_without_config_that_nothing_tells_is_left_alone(rtpmap: str) -> None:
    assert "config" not in only(f"m=audio 0 RTP/AVP 97\na=rtpmap:97 {rtpmap}\n").parameters


def test_parameter_sets_in_the_wrong_order_or_broken_do_no_harm() -> None:
    swapped = "aO+8sA,%%%,Z2QADazZQUGfnwEQAAADABAAAAMDIPFCmWA="
    found = only(f"m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 sprop-parameter-sets={swapped}\n")
    track = track_of(found)
    assert track is not None
    assert (track.width, track.height) == (320, 180)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\n\r\n", "\r\r\n", "\0\r\n"])
def test_any_line_end_will_do(end: str) -> None:
    data = "\ufeffv=0\ns=x\nm=audio 0 RTP/AVP 8\na=control:1".replace("\n", end).encode() + b"\0\0<html>\n\n="
    description = parse_session(data)
    assert (description.name, description.media[0].control) == ("x", "1")


def test_what_rtsp_can_do_without_may_be_missing() -> None:
    description = parse_session(b"m=audio 0 RTP/AVP 8")
    assert description == SessionDescription(media=(MediaDescription(media="audio", payload_types=("8",)),))


@pytest.mark.parametrize("data", [b"", b"v=0\r\ns=x\r\n", b"<html>not found</html>", b"m=video", b"m=video 0\n"])
def test_no_media_is_an_error(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_session(data)


@pytest.mark.parametrize("data", [b"a" * (MAX_DESCRIPTION_BYTES + 1), b"a=\n" * (MAX_LINES + 1), b"m=a 0 b\n" * (MAX_MEDIA + 1)])
def test_a_description_has_bounds(data: bytes) -> None:
    with pytest.raises(LimitExceeded):
        parse_session(data)


def test_a_section_of_endless_payload_types_costs_no_more_than_a_few() -> None:
    numbers = " ".join(["0"] * 20_000)
    assert len(formats(f"m=audio 0 RTP/AVP {numbers}\n".encode())) == MAX_FORMATS


def test_one_section_is_kept_for_who_sends_it_on() -> None:
    section = parse_session(HIKVISION).media[2]
    assert parse_media(section.serialize()) == section
    moved = section.with_control("trackID=2")
    assert moved.control == "trackID=2"
    assert moved.formats == section.formats
    with pytest.raises(RemoteProtocolError):
        parse_media(HIKVISION)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("m=application 0 RTP/AVP 98 107\na=rtpmap:107 x/8000", MediaFormat(107, "x", 8_000)),
        ("m=application 0 RTP/AVP 98", MediaFormat(98, "", 90_000)),
        ("m=application 0 RTP/AVP", None),
        ("m=application 9 DTLS/SCTP 5000", None),
    ],
)
def test_what_is_not_understood_is_passed_on_as_one_format(lines: str, expected: MediaFormat | None) -> None:
    assert parse_media(lines.encode()).passed_on == expected


def test_a_description_of_ours_has_all_that_players_ask_for() -> None:
    video = MediaFormat(96, "H264", 90_000, 1, {"packetization-mode": "1", "sprop-parameter-sets": "Z2QA,aO8="})
    media = build_media(Kind.VIDEO, video, payload_type=96, control="trackID=0")
    assert build_session([media], session_id=17, address="10.0.0.1").serialize() == (
        b"v=0\r\no=- 17 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=range:npt=now-\r\na=control:*\r\n"
        b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        b"a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z2QA,aO8=\r\na=control:trackID=0\r\n"
    )


def test_ipv6_is_said_where_it_is_used() -> None:
    text = build_session([], session_id=1, address="fe80::1").serialize()
    assert b"IN IP6 fe80::1\r\n" in text
    assert b"c=IN IP6 ::\r\n" in text


def test_fixed_payload_types_are_used_and_the_others_count_up() -> None:
    names = [
        ("H264", 90_000, 1),
        ("PCMA", 8_000, 1),
        ("MPA", 90_000, 1),
        ("PCMA", 16_000, 1),
        ("pcma", 8_000, 1),
        ("opus", 48_000, 2),
    ]
    wanted = [MediaFormat(0, *name) for name in names]
    assert assign_payload_types(wanted, taken=(97,)) == [96, 8, 14, 98, 99, 100]
    with pytest.raises(LocalProtocolError):
        assign_payload_types(wanted[:1], taken=range(96, 128))


def track_of(media_format: MediaFormat) -> Track | None:
    told = rtp.PayloadFormat(media_format.encoding_name, media_format.clock_rate_hz, media_format.channels, media_format.parameters)
    return rtp.build_depacketizer(1, told).track


@pytest.mark.parametrize(
    ("codec", "configuration"),
    [
        (Codec.AAC, aac.AudioSpecificConfig(sample_rate_hz=44_100, channel_configuration=2).serialize()),
        (Codec.AAC, aac.AudioSpecificConfig(sample_rate_hz=48_000, channel_configuration=6).serialize()),
        (Codec.OPUS, OpusHead(channels=1).serialize()),
        (Codec.OPUS, OpusHead(channels=2).serialize()),
        (Codec.PCMA, b""),
        (Codec.PCMU, b""),
    ],
)
def test_a_track_that_goes_out_comes_in_the_same(codec: Codec, configuration: bytes) -> None:
    track = build_track(1, codec, configuration, channels=1 if codec in (Codec.PCMA, Codec.PCMU) else 0)
    told = rtp.format_of(track)
    (payload_type,) = assign_payload_types([told])
    text = build_session([build_media(track.kind, told, payload_type=payload_type, control="1")], session_id=1).serialize()
    (found,) = formats(text)
    assert track_of(found) == track


tokens = st.text("abcXYZ019-", min_size=1, max_size=8)
values = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)
attributes = st.builds(Attribute, tokens.map(str.lower), values)
sections = st.builds(
    MediaDescription,
    media=tokens.map(str.lower),
    port=st.integers(0, 65_535),
    protocol=st.sampled_from(["RTP/AVP", "RTP/SAVP", "UDP"]),
    payload_types=st.lists(tokens, max_size=3).map(tuple),
    connection=values,
    bandwidth=st.lists(values, max_size=2).map(tuple),
    attributes=st.lists(attributes, max_size=4).map(tuple),
)
sessions = st.builds(
    SessionDescription,
    origin=values.filter(bool),
    name=values.filter(bool),
    connection=values,
    attributes=st.lists(attributes, max_size=3).map(tuple),
    media=st.lists(sections, min_size=1, max_size=3).map(tuple),
)


@given(sessions)
def test_any_description_comes_back(description: SessionDescription) -> None:
    assert parse_session(description.serialize()) == description


@given(st.sampled_from(CAPTURES), st.data())
def test_a_description_that_is_cut_or_changed_is_read_or_refused(capture: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(capture)))
    changed = capture[:at] + data.draw(st.binary(max_size=4)) + capture[at + data.draw(st.integers(0, 30)) :]
    for text in (capture[:at], changed):
        try:
            description = parse_session(text)
        except RemoteProtocolError:
            continue
        assert all(found.clock_rate_hz > 0 for media in description.media for found in media.formats)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_description_or_an_error(data: bytes) -> None:
    for text in (data, b"m=video 0 RTP/AVP 96\n" + data, b"m=audio 0 RTP/AVP 96\na=fmtp:96 sizelength=13;config=" + data):
        try:
            [media.formats for media in parse_session(text).media]
        except RemoteProtocolError:
            continue
