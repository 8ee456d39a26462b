"""What a camera of tests shows: a file as RTP packets when they are due, and a description that leaves things out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, Kind, Track
from lalmesh.protocol.rtp import (
    HeaderExtension,
    PayloadFormat,
    RtpPacket,
    SenderIdentity,
    TrackSender,
    WallClock,
    build_packetizer,
    format_of,
)
from lalmesh.protocol.sdp import FIRST_DYNAMIC_PAYLOAD_TYPE, assign_payload_types
from support.camera_ways import CameraSettings, Way

SPROPS = frozenset(("sprop-parameter-sets", "sprop-vps", "sprop-sps", "sprop-pps", "profile-level-id"))
#: As ONVIF has it for the time of a picture (ONVIF Streaming §6.3): profile 0xABAC, three words.
EXTENSION = HeaderExtension(0xABAC, bytes(12))
EPOCH_US = 1_700_000_000_000_000  #: wall clock of a stream's time 0
NAME = "camera"  #: in its reports


@dataclass(frozen=True, slots=True)
class Due:
    """A unit that is to be sent now."""

    track: int  #: index of its track
    index: int  #: of the unit among those of its track
    unit: AccessUnit


class Film:
    """What is in a FLV file, as far as RTP carries it."""

    def __init__(self, file: Path, settings: CameraSettings) -> None:
        """Show `file` as `settings` have it."""
        self.settings = settings
        self.tracks, self.units = _media(file)

    def describe(self, address: str, direction: str) -> bytes:
        """A description of what is at `address`, for who is to do what `direction` says."""
        is_absolute = self.settings.has_absolute_controls
        lines = ["v=0", "o=- 1109162014219182 0 IN IP4 0.0.0.0", "s=Media Presentation", "c=IN IP4 0.0.0.0", "t=0 0"]
        lines += [f"a=control:{address}/" if is_absolute else "a=control:*"]
        for number, track in enumerate(self.tracks):
            lines += self._section(number, track, format_of(track))
            lines += [f"a=control:{address}/trackID={number}" if is_absolute else f"a=control:trackID={number}", f"a={direction}"]
        return "".join(f"{line}\r\n" for line in lines).encode()

    def _section(self, number: int, track: Track, told: PayloadFormat) -> Iterator[str]:
        payload_type = self.payload_type(number)
        yield f"m={track.kind.value} 0 RTP/AVP {payload_type}"
        if self.settings.has_rtpmap and payload_type >= 96:
            yield f"a=rtpmap:{payload_type} {told.encoding_name}/{told.clock_rate_hz}" + (f"/{told.channels}" * (told.channels > 1))
        said = {name: value for name, value in told.parameters.items() if self.settings.has_sprop or name not in SPROPS}
        if said:
            yield f"a=fmtp:{payload_type} " + "; ".join(f"{name}={value}" for name, value in said.items())

    def payload_type(self, number: int) -> int:
        """Of a track."""
        fixed = assign_payload_types([format_of(self.tracks[number])])[0]
        return FIRST_DYNAMIC_PAYLOAD_TYPE + number if fixed >= FIRST_DYNAMIC_PAYLOAD_TYPE else fixed

    def senders(self) -> list[TrackSender]:
        """What numbers the packets of each track, for one showing."""
        clock = WallClock()
        return [
            TrackSender(
                build_packetizer(track),
                SenderIdentity(
                    ssrc=0x1000 + number,
                    payload_type=self.payload_type(number),
                    clock_rate_hz=format_of(track).clock_rate_hz,
                    first_sequence_number=self.settings.first_sequence_number,
                    timestamp_offset=0xFFFF0000,
                ),
                clock,
            )
            for number, track in enumerate(self.tracks)
        ]

    async def show(self, ways: Mapping[int, Way], drain: Callable[[], Awaitable[None]]) -> None:
        """Send all of it on the ways of its tracks, each unit when it is due; `drain` waits for room to send."""
        senders, now_us = self.senders(), EPOCH_US
        async for due in self._paced():
            if due.track not in ways:
                continue
            sender, way, now_us = senders[due.track], ways[due.track], due.unit.wall_us
            packets = sender.send(due.unit)
            report = sender.report(NAME, now_us) if due.index == 0 else b""
            if not self.settings.reports_late:
                way.report(report)
            for packet in packets:
                way.media(self._with_extension(packet), (due.track, due.index))
                for one in ways.values():
                    one.catch_up()
            if self.settings.reports_late:
                way.report(report)
            await drain()
        for number, way in ways.items():
            way.finish()
            if self.settings.says_goodbye:
                way.report(senders[number].goodbye(NAME, now_us))
        await drain()

    async def _paced(self) -> AsyncIterator[Due]:
        """Units when they are due; times go on when the file begins again."""
        loop, run, offset = asyncio.get_running_loop(), 0, 0
        counts = [0] * len(self.tracks)
        first = self.units[0][1].dts
        began_s, length = loop.time(), self.units[-1][1].dts - first + TICKS_PER_SECOND // 25
        while not self.settings.loops or run < self.settings.loops:
            for number, unit in self.units:
                dts = unit.dts + offset
                wait_s = (dts - first) / TICKS_PER_SECOND / self.settings.speed - (loop.time() - began_s)
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                wall_us = EPOCH_US + dts * 1_000_000 // TICKS_PER_SECOND
                moved = AccessUnit(unit.track_id, dts, unit.cts, unit.random_access, unit.payload, wall_us=wall_us)
                yield Due(number, counts[number], moved)
                counts[number] += 1
            run, offset = run + 1, offset + length

    def _with_extension(self, data: bytes) -> bytes:
        if not self.settings.has_extension:
            return data
        packet = RtpPacket.parse(data)
        packet.extension = EXTENSION
        return packet.serialize()


def _media(file: Path) -> tuple[list[Track], list[tuple[int, AccessUnit]]]:
    """The tracks of a FLV file that RTP carries, and its units with the index of their track."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in TagReader().feed(file.read_bytes()):
        units += [event for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(event, AccessUnit)]
    tracks = [track for track in demuxer.tracks.tracks if track.kind is not Kind.DATA and track.codec is not Codec.VP9]
    places = {track.track_id: place for place, track in enumerate(tracks)}
    return tracks, [(places[unit.track_id], unit) for unit in units if unit.track_id in places]
