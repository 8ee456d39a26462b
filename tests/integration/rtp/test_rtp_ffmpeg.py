"""RTP as ffmpeg sends and reads it: every access unit goes through, with its times."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from support import ffmpeg, frames
from support.ffmpeg import FFMPEG, bounded, quiet
from support.media import media
from support.ports import LOOPBACK
from support.process import Child, wait_until

from lalmesh.codec.av1 import OBU_TEMPORAL_DELIMITER, parse_obus, serialize_obu
from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.media import TICKS_PER_MS, AccessUnit, Codec, Kind, Track
from lalmesh.protocol.rtp import (
    PayloadFormat,
    SenderIdentity,
    Timeline,
    TrackReceiver,
    TrackSender,
    WallClock,
    build_depacketizer,
    build_packetizer,
    format_of,
    parse_compound,
)
from lalmesh.protocol.sdp import FIRST_DYNAMIC_PAYLOAD_TYPE, assign_payload_types, parse_session

RECEIVE_BUFFER_BYTES = 8 << 20  #: as much of it as the kernel gives
SENDING_S = 30  #: for ffmpeg to start and to send all
LOOK_S = 0.05  #: between two looks at whether it has ended
SPEED = 8  #: times real time

NAMES = ["h264_b3_aac", "hevc_aac", "h264_mp3", "h264_pcma", "h264_pcmu", "av1_opus"]


def source(name: str) -> tuple[list[Track], list[AccessUnit]]:
    """Tracks and units of a FLV file, without its script data; temporal units without delimiters, which RTP leaves out."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in TagReader().feed(media(name).read_bytes()):
        units += [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
    tracks = {track.track_id: track for track in demuxer.tracks.tracks if track.kind is not Kind.DATA}
    units = [unit for unit in units if unit.track_id in tracks]
    for unit in units:
        if tracks[unit.track_id].codec is Codec.AV1:
            obus = [obu for obu in parse_obus(unit.payload) if obu.obu_type != OBU_TEMPORAL_DELIMITER]
            unit.payload = b"".join(map(serialize_obu, obus))
    return list(tracks.values()), units


@contextlib.contextmanager
def sockets(count: int) -> Iterator[list[socket.socket]]:
    """UDP sockets on loopback."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for sock in made:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            sock.bind((LOOPBACK, 0))
        yield made


def captured(name: str, tracks: list[Track], folder: Path) -> tuple[str, list[tuple[int, bool, bytes, int]]]:
    """What ffmpeg sends of a file: session description; then track (from 0), whether it is RTCP, datagram, time in µs."""
    description = folder / "sent.sdp"
    count = len(tracks)
    with sockets(2 * count) as receivers:  # those for RTP, then those for RTCP
        ports = [sock.getsockname()[1] for sock in receivers]
        outputs = [
            part
            for index, track in enumerate(tracks)
            for part in (
                *("-map", f"0:{track.kind.value[0]}", "-c", "copy", "-strict", "experimental", "-f", "rtp"),
                f"rtp://{LOOPBACK}:{ports[index]}?rtcpport={ports[count + index]}&pkt_size=1200",
            )
        ]
        command = [
            *quiet(FFMPEG),
            "-copyts",
            "-readrate",
            str(SPEED),
            "-i",
            str(media(name)),
            "-sdp_file",
            str(description),
            *outputs,
        ]
        with Child(bounded(SENDING_S, command), log=folder / "ffmpeg.log") as child:
            datagrams = list(received(receivers, child))
            assert child.wait(10) == 0, child.describe()
    return description.read_text(), [(index % count, index >= count, data, at) for index, data, at in datagrams]


def received(receivers: list[socket.socket], sender: Child) -> Iterator[tuple[int, bytes, int]]:
    """Index of the socket, datagram and time in µs, until the sender has ended: what it sent on loopback has arrived then."""
    sends = True
    while sends:
        sends = sender.running
        while readable := select.select(receivers, (), (), LOOK_S if sends else 0)[0]:
            for sock in sorted(readable, key=receivers.index, reverse=True):  # reports first, as they were sent
                yield receivers.index(sock), sock.recv(65_536), time.monotonic_ns() // 1000


def formats(description: str) -> list[tuple[int, PayloadFormat]]:
    """Payload type and format of each section of a session description that ffmpeg has written."""
    found = [media.formats[0] for media in parse_session(description.encode()).media]
    return [
        (told.payload_type, PayloadFormat(told.encoding_name, told.clock_rate_hz, told.channels, told.parameters)) for told in found
    ]


@pytest.mark.parametrize("name", NAMES)
def test_what_ffmpeg_sends_is_read_whole(name: str, tmp_path: Path) -> None:
    tracks, sent = source(name)
    description, datagrams = captured(name, tracks, tmp_path)
    timeline = Timeline()
    receivers = [
        TrackReceiver(
            build_depacketizer(track.track_id, told),
            timeline.add(told.clock_rate_hz, leads=track.kind is Kind.VIDEO),
            payload_type=number,
            clock_rate_hz=told.clock_rate_hz,
        )
        for track, (number, told) in zip(tracks, formats(description), strict=True)
    ]
    units = list[AccessUnit]()
    for index, is_rtcp, data, at_us in datagrams:
        if is_rtcp:
            parse_compound(data)
            receivers[index].receive_rtcp(data, at_us)
        else:
            units += [event for event in receivers[index].receive(data, at_us) if isinstance(event, AccessUnit)]
    for receiver in receivers:
        units += [event for event in receiver.flush(0) if isinstance(event, AccessUnit)]
        assert (receiver.reorder_counters.lost, receiver.counters.malformed, receiver.times.dropped) == (0, 0, 0)
    offsets = [offset_ms(track, sent, units) for track in tracks]
    assert max(offsets) - min(offsets) <= 25  # ms: ffmpeg's reports, and the tolerance of the time line


def offset_ms(track: Track, sent: list[AccessUnit], units: list[AccessUnit]) -> float:
    """By how much the units of a track came later than they were sent: all of them by the same, and otherwise as they were."""
    mine = [unit for unit in sent if unit.track_id == track.track_id]
    theirs = [unit for unit in units if unit.track_id == track.track_id]
    # ffmpeg keeps the last frames of sound to itself: it waits for more of them to share a packet with
    assert len(theirs) == len(mine) or (track.kind is Kind.AUDIO and len(theirs) >= len(mine) - 8)
    mine = mine[: len(theirs)]
    for one, two in zip(mine, theirs, strict=True):
        # ffmpeg gives the encoder's SEI of a hvcC along with the first picture
        assert two.payload == one.payload or (track.codec is Codec.H265 and two.payload.endswith(one.payload))
        assert two.random_access == one.random_access
    assert all(one.dts < two.dts <= two.pts for one, two in pairwise(theirs))
    offsets = [two.pts - one.pts for one, two in zip(mine, theirs, strict=True)]
    # sample clocks of sound: FLV has rounded each time to whole ms
    assert max(offsets) - min(offsets) <= (0 if track.kind is Kind.VIDEO else 2 * TICKS_PER_MS)
    return offsets[-1] / TICKS_PER_MS


def payload_type(track: Track, index: int) -> int:
    """The static type where there is one, as everybody expects it."""
    fixed = assign_payload_types([format_of(track)])[0]
    return FIRST_DYNAMIC_PAYLOAD_TYPE + index if fixed >= FIRST_DYNAMIC_PAYLOAD_TYPE else fixed


def description_of(tracks: list[Track], ports: list[int]) -> str:
    """A session description for ffmpeg to read."""
    lines = ["v=0", f"o=- 0 0 IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {LOOPBACK}", "t=0 0"]
    for index, (track, port) in enumerate(zip(tracks, ports, strict=True)):
        told, number = format_of(track), payload_type(track, index)
        channels = f"/{told.channels}" if told.channels > 1 else ""
        lines += [
            f"m={track.kind.value} {port} RTP/AVP {number}",
            f"a=rtpmap:{number} {told.encoding_name}/{told.clock_rate_hz}{channels}",
        ]
        if told.parameters:
            lines.append(f"a=fmtp:{number} " + "; ".join(f"{key}={value}" for key, value in told.parameters.items()))
    return "".join(f"{line}\r\n" for line in lines)


def send_all(tracks: list[Track], units: list[AccessUnit], ports: list[int]) -> None:
    """Send `units` at `SPEED` times real time, a sender report first. No goodbye: it would overtake them inside ffmpeg."""
    wall_clock = WallClock()
    senders = {
        track.track_id: (
            TrackSender(
                build_packetizer(track),
                SenderIdentity(
                    ssrc=1 + index,
                    payload_type=payload_type(track, index),
                    clock_rate_hz=format_of(track).clock_rate_hz,
                    first_sequence_number=65_500,
                    timestamp_offset=0xFFFFF000 - index,
                ),
                wall_clock,
            ),
            ports[index],
        )
        for index, track in enumerate(tracks)
    }
    start_s, first = time.monotonic(), units[0].dts
    with sockets(1) as [out]:
        for unit in units:
            unit.wall_us = 1_700_000_000_000_000 + (unit.dts - first) * 1000 // TICKS_PER_MS
            time.sleep(max(0.0, start_s + (unit.dts - first) / 90_000 / SPEED - time.monotonic()))
            sender, port = senders[unit.track_id]
            is_first = not sender.packet_count
            packets = sender.send(unit)
            if is_first:
                out.sendto(sender.report("lalmesh", unit.wall_us), (LOOPBACK, port + 1))
            for packet in packets:
                out.sendto(packet, (LOOPBACK, port))


def even_ports(count: int) -> list[int]:
    """Even ports whose odd neighbours are free, too, as RTP wants them (RFC 3550 §11)."""
    found: list[int] = []
    while len(found) < count:
        with sockets(1) as [first], contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
            port = int(first.getsockname()[1])
            second.bind((LOOPBACK, port + 1))
            if port % 2 == 0 and port not in found:
                found.append(port)
    return found


def is_bound(port: int) -> bool:
    """Whether somebody has a UDP socket on the port."""
    return f":{port:04X} " in Path("/proc/net/udp").read_text()


DECODED = ("-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5")
HELD = 8  #: pictures and frames that ffmpeg has not given out when it is stopped
COPIED = ("-map", "0:a", "-c", "copy", "-f", "framemd5")


@pytest.mark.parametrize("name", NAMES)
def test_ffmpeg_shows_and_hears_what_is_sent(name: str, tmp_path: Path) -> None:
    tracks, units = source(name)
    ports = even_ports(len(tracks))
    (tmp_path / "session.sdp").write_text(description_of(tracks, ports))
    pictures, sound = tmp_path / "pictures.md5", tmp_path / "sound.md5"
    read = ["-protocol_whitelist", "file,udp,rtp", "-buffer_size", str(RECEIVE_BUFFER_BYTES), "-analyzeduration", "500000"]
    command = [*quiet(FFMPEG), *read, "-strict", "experimental", "-i", str(tmp_path / "session.sdp"), "-flush_packets", "1"]
    outputs = [*DECODED, str(pictures), *COPIED, "-flush_packets", "1", str(sound)]
    wanted = [hashes(frames.parse(ffmpeg.run("-i", media(name), *options, "-"))) for options in (DECODED, COPIED)]
    with Child(bounded(40, [*command, *outputs]), log=tmp_path / "ffmpeg.log") as child:
        wait_until("socket of ffmpeg", lambda: all(map(is_bound, ports)), 20, child=child)
        send_all(tracks, units, ports)
        shown = list(zip((pictures, sound), wanted, strict=True))
        wait_until(
            "all of it", lambda: all(len(frames.read(file).frames) >= len(sent) - HELD for file, sent in shown), 20, child=child
        )
    for file, expected in shown:
        found = hashes(frames.read(file))
        assert found == expected[: len(found)]
        assert len(found) >= len(expected) - HELD


def hashes(recording: frames.Recording) -> list[str]:
    return [frame.md5 for frame in recording.frames]
