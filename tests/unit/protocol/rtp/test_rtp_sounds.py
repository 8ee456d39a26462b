"""G.711, Opus, MPEG audio and opaque packets."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.codec import build_track
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit, Codec, Track
from lalmesh.protocol.rtp import (
    Depacketized,
    Depacketizer,
    HeaderExtension,
    PayloadFormat,
    RtpPacket,
    TimedUnit,
    build_depacketizer,
    build_opaque_depacketizer,
    build_packetizer,
)

# MPEG-1 layer III, 64 kbit/s, 48 kHz, mono: 192 bytes; layer II, 192 kbit/s, 48 kHz, stereo: 576 bytes
MP3_FRAME = bytes.fromhex("fffb54c4") + bytes(188)
MP2_FRAME = bytes.fromhex("fffda400") + bytes(572)


def packet(payload: bytes, *, at: int = 0, marker: bool = False) -> RtpPacket:
    return RtpPacket(0, 0, at, 1, marker, payload)


def wires(track: Track, payload: bytes, max_payload_bytes: int = 1388) -> list[tuple[bytes, int]]:
    made = build_packetizer(track, max_payload_bytes=max_payload_bytes).packetize(AccessUnit(1, 0, 0, True, payload))
    return [(b"".join(one.parts), one.later) for one in made]


@pytest.mark.parametrize("name", ["PCMA", "pcmu", "opus"])
def test_a_packet_is_a_unit(name: str) -> None:
    tested = build_depacketizer(1, PayloadFormat(name, 48_000 if name == "opus" else 8_000, 2))
    assert tested.track is not None
    assert (tested.track.codec.value, tested.track.channels) == (name.lower(), 2)
    assert tested.feed(packet(b"sound", at=5)) == [TimedUnit(5, b"sound")]
    tested.lost()
    assert tested.feed(packet(b"")) == []
    assert tested.feed(packet(b"sound", at=7)) == [TimedUnit(7, b"sound", after_loss=True)]


def test_opus_says_whether_it_is_mono() -> None:
    track = build_depacketizer(1, PayloadFormat("opus", 48_000, 2, {"sprop-stereo": "0"})).track
    assert track is not None
    assert track.channels == 1
    assert wires(track, b"packet" * 300) == [(b"packet" * 300, 0)]


def test_samples_are_cut_where_they_fit() -> None:
    track = Track(track_id=1, codec=Codec.PCMA, channels=2)
    assert wires(track, bytes(range(10)), 5) == [(bytes((0, 1, 2, 3)), 0), (bytes((4, 5, 6, 7)), 2), (bytes((8, 9)), 4)]


def mpa() -> Depacketizer:
    return build_depacketizer(1, PayloadFormat("MPA", 90_000))


@pytest.mark.parametrize(("frame", "codec"), [(MP3_FRAME, Codec.MP3), (MP2_FRAME, Codec.MP2)])
def test_frames_of_mpeg_audio_tell_their_track(frame: bytes, codec: Codec) -> None:
    # RFC 2250 §3.5: 16 bits that must be zero, then the offset of the fragment; 1152 samples are 2160 ticks at 48 kHz
    track = build_track(1, codec, sample_rate_hz=48_000, channels=1 if codec is Codec.MP3 else 2)
    given_back = mpa().feed(packet(bytes(4) + frame + frame, at=9))
    assert given_back == [track, TimedUnit(9, frame), TimedUnit(9 + 2160, frame)]
    assert wires(track, frame) == [(bytes(4) + frame, 0)]
    assert [wire[:4].hex() for wire, _ in wires(track, frame, 104)][:3] == ["00000000", "00000064", "000000c8"][
        : -(-len(frame) // 100)
    ]


def test_a_frame_of_mpeg_audio_may_come_in_fragments() -> None:
    tested = mpa()
    assert tested.feed(packet(bytes(4) + MP2_FRAME[:500], at=1)) == []
    assert tested.feed(packet(b"\x00\x00\x01\xf4" + MP2_FRAME[500:], at=1))[1:] == [TimedUnit(1, MP2_FRAME)]


@pytest.mark.parametrize("lost", [0, 1])
def test_loss_of_a_fragment_drops_its_frame_alone(lost: int) -> None:
    tested, given_back = mpa(), list[Depacketized]()
    for index, (head, part) in enumerate(((bytes(4), MP2_FRAME[:500]), (b"\x00\x00\x01\xf4", MP2_FRAME[500:]))):
        if index == lost:
            tested.lost()
        else:
            given_back += tested.feed(packet(head + part, at=1))
    given_back += tested.feed(packet(bytes(4) + MP2_FRAME, at=2))
    assert given_back[1:] == [TimedUnit(2, MP2_FRAME, after_loss=True)]


def test_broken_mpeg_audio_is_refused_or_ends_a_packet() -> None:
    tested = mpa()
    free_format = bytes(4) + bytes.fromhex("fffb04c4") + bytes(188)  # bitrate_index 0 (ISO/IEC 11172-3 §2.4.2.3)
    for wire in (b"", bytes(4), bytes(4) + b"no frame", free_format):
        with pytest.raises(RemoteProtocolError):
            tested.feed(packet(wire))
    assert tested.feed(packet(bytes(4) + MP3_FRAME + b"no frame"))[1:] == [TimedUnit(0, MP3_FRAME)]
    assert tested.feed(packet(bytes(4) + MP3_FRAME + MP3_FRAME[:50])) == [TimedUnit(0, MP3_FRAME)]
    assert (tested.counters.ignored, tested.counters.broken_units) == (1, 1)


@given(st.lists(st.sampled_from([MP3_FRAME, MP2_FRAME]), min_size=1, max_size=5), st.integers(50, 700))
def test_any_frames_of_mpeg_audio_come_back(frames: list[bytes], max_payload_bytes: int) -> None:
    tested = mpa()
    for index, frame in enumerate(frames):
        sent = wires(Track(track_id=1, codec=Codec.MP3), frame, max_payload_bytes)
        given_back = [item for wire, _ in sent for item in tested.feed(packet(wire, at=index))]
        assert [item for item in given_back if isinstance(item, TimedUnit)] == [TimedUnit(index, frame)]


@given(st.lists(st.binary(max_size=60) | st.binary(max_size=30).map(lambda tail: bytes(4) + MP3_FRAME + tail), max_size=8))
def test_any_packets_of_mpeg_audio_give_frames_or_are_refused(payloads: list[bytes]) -> None:
    tested = mpa()
    for payload in payloads:
        with suppress(RemoteProtocolError):
            tested.feed(packet(payload))


def test_sound_waits_for_nothing_at_the_end() -> None:
    assert mpa().flush() == build_depacketizer(1, PayloadFormat("PCMA", 8_000)).flush() == []


def test_opaque_packets_are_kept_as_they_are() -> None:
    tested = build_opaque_depacketizer(3, b"m=application 0 RTP/AVP 107\r\n")
    assert tested.track == Track(track_id=3, codec=Codec.OPAQUE, configuration=b"m=application 0 RTP/AVP 107\r\n")
    came = RtpPacket(107, 5, 6, 7, True, b"<xml/>", extension=HeaderExtension(0xABAC, b"time"))
    assert tested.feed(came) == [TimedUnit(6, came.serialize())]
    [made] = build_packetizer(tested.track).packetize(AccessUnit(3, 0, 0, True, came.serialize()))
    assert (made.parts, made.marker, made.extension) == ((b"<xml/>",), True, came.extension)
    with pytest.raises(RemoteProtocolError):
        build_packetizer(tested.track).packetize(AccessUnit(3, 0, 0, True, b"no packet"))
