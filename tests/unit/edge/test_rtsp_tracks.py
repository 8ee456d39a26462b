"""From a publisher's description to what takes its packets."""

from __future__ import annotations

from random import Random

import pytest

from lalmesh.media import AccessUnit, Codec, TrackSet
from lalmesh.protocol.rtp import RtpPacket
from lalmesh.protocol.sdp import parse_media, parse_session
from lalmesh.remux import RtpStream
from services.edge.rtp_tracks import IncomingTrack, incoming_tracks

URI = "rtsp://host/live/cam"
HEAD = "v=0\r\no=- 0 0 IN IP4 10.0.0.1\r\ns=-\r\nt=0 0\r\n"
H264 = "m=video 0 RTP/AVP 96\r\nc=IN IP4 10.0.0.1\r\na=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n"
PCMA = "m=audio 0 RTP/AVP 8\r\na=control:streamid=1\r\n"
LATM = "m=audio 0 RTP/AVP 97\r\nc=IN IP4 10.0.0.1\r\na=rtpmap:97 MP4A-LATM/44100/2\r\na=control:streamid=1\r\n"


def tracks(*parts: str) -> list[IncomingTrack]:
    return incoming_tracks(parse_session("".join((HEAD, *parts)).encode()), URI)


def codec(track: IncomingTrack) -> Codec | None:
    assert track.depacketizer is not None
    return track.depacketizer.track.codec if track.depacketizer.track is not None else None


def test_known_formats_are_understood() -> None:
    picture, sound = tracks(H264, PCMA)
    assert (picture.control, picture.payload_type, picture.clock_rate_hz, picture.is_video) == ("streamid=0", 96, 90_000, True)
    assert codec(picture) is None  # until its parameter sets come
    assert (sound.payload_type, sound.clock_rate_hz, codec(sound)) == (8, 8_000, Codec.PCMA)
    assert sound.depacketizer is not None
    assert sound.depacketizer.track is not None
    assert sound.depacketizer.track.track_id == 2


def test_an_unknown_format_is_passed_on_as_it_is_without_addresses() -> None:
    _, sound = tracks(H264, LATM)
    assert (codec(sound), sound.payload_type, sound.clock_rate_hz) == (Codec.OPAQUE, 97, 44_100)
    assert sound.depacketizer is not None
    assert sound.depacketizer.track is not None
    section = parse_media(sound.depacketizer.track.configuration)
    assert (section.connection, section.formats[0].encoding_name) == ("", "MP4A-LATM")


@pytest.mark.parametrize(
    ("payload_types", "taken"),
    [("98 107", (107, 8_000)), ("98", (98, 90_000)), ("x 98", (98, 90_000))],
)
def test_the_packets_that_are_passed_on_are_those_that_players_are_told_of(payload_types: str, taken: tuple[int, int]) -> None:
    section = f"m=application 0 RTP/AVP {payload_types}\r\na=rtpmap:107 vnd.onvif.metadata/8000\r\n"
    (data,) = tracks(section)
    assert (data.payload_type, data.clock_rate_hz) == taken
    assert data.depacketizer is not None
    assert data.depacketizer.track is not None
    stream = RtpStream(TrackSet((data.depacketizer.track,), 1), Random(1).randbytes)
    packet = RtpPacket(taken[0], 1, 0, 7, True, b"<a/>").serialize()
    burst = stream.package(AccessUnit(1, 0, 0, True, packet), TrackSet((data.depacketizer.track,), 1))
    assert burst is not None
    assert RtpPacket.parse(burst.packets[0]).payload_type == taken[0]


def test_a_second_picture_is_passed_on_as_it_is() -> None:
    first, second = tracks(H264, H264)
    assert (codec(first), codec(second)) == (None, Codec.OPAQUE)


def test_the_first_known_format_of_several_is_taken() -> None:
    (picture,) = tracks("m=video 0 RTP/AVP 98 96\r\na=rtpmap:98 VP8/90000\r\na=rtpmap:96 H264/90000\r\n")
    assert (picture.payload_type, codec(picture)) == (96, None)


def test_parameters_that_do_not_parse_make_an_opaque_track() -> None:
    (sound,) = tracks("m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/44100/2\r\na=fmtp:97 mode=AAC-hbr;config=zz\r\n")
    assert codec(sound) is Codec.OPAQUE


def test_what_is_not_carried_by_rtp_is_not_taken() -> None:
    (_, data) = tracks(H264, "m=application 9 DTLS/SCTP 5000\r\n")
    assert data.depacketizer is None


def test_a_description_with_a_url_of_its_own_counts_from_there() -> None:
    description = parse_session(f"{HEAD}a=control:rtsp://other/live/cam/all\r\n{H264}".encode())
    assert [track.control for track in incoming_tracks(description, URI)] == ["rtsp://other/live/cam/all/streamid=0"]
    star = parse_session(f"{HEAD}a=control:*\r\n{H264}".encode())
    assert [track.control for track in incoming_tracks(star, URI)] == ["streamid=0"]
