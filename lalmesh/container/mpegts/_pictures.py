"""H.264 and H.265 out of PES packets: Annex B to access units, decoder configurations from the parameter sets in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from lalmesh.codec import build_track, h264, h265
from lalmesh.codec.nalu import MAX_PARAMETER_SET_BYTES, join_avcc, split_annexb
from lalmesh.container.mpegts._pes import PesPacket
from lalmesh.container.mpegts._tracks import Tracks, composition_time
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Codec, MediaEvent, Track

MAX_PICTURE_BYTES: Final = 16 << 20  #: over several PES packets: twice the largest NALU
DEFAULT_PICTURE_TICKS: Final = TICKS_PER_SECOND // 25  #: between pictures of one PES packet whose rate nobody says

_Sets: TypeAlias = dict[int, tuple[bytes, ...]]  # parameter sets by NALU type


@dataclass(slots=True, frozen=True, kw_only=True)
class PictureCodec:
    """What differs between the two."""

    codec: Codec
    type_of: Callable[[bytes], int]
    delimiter: int
    sps: int
    needed: tuple[int, ...]  #: types of parameter sets that a configuration needs
    sets: tuple[int, ...]  #: all types of parameter sets
    configuration: Callable[[_Sets], bytes]
    is_random_access: Callable[[bytes], bool]


def _avcc(sets: _Sets) -> bytes:
    sps, pps = sets[h264.NaluType.SPS], sets[h264.NaluType.PPS]
    return h264.AvcDecoderConfigurationRecord.from_parameter_sets(sps, pps).serialize()


def _hvcc(sets: _Sets) -> bytes:
    vps, sps, pps = (sets.get(kind, ()) for kind in (h265.NaluType.VPS, h265.NaluType.SPS, h265.NaluType.PPS))
    return h265.HevcDecoderConfigurationRecord.from_parameter_sets(h265.ParameterSets(vps=vps, sps=sps, pps=pps)).serialize()


H264 = PictureCodec(
    codec=Codec.H264,
    type_of=h264.nalu_type,
    delimiter=h264.NaluType.ACCESS_UNIT_DELIMITER,
    sps=h264.NaluType.SPS,
    needed=(h264.NaluType.SPS, h264.NaluType.PPS),
    sets=(h264.NaluType.SPS, h264.NaluType.PPS),
    configuration=_avcc,
    is_random_access=h264.is_random_access,
)
H265 = PictureCodec(
    codec=Codec.H265,
    type_of=h265.nalu_type,
    delimiter=h265.NaluType.ACCESS_UNIT_DELIMITER,
    sps=h265.NaluType.SPS,
    needed=(h265.NaluType.SPS, h265.NaluType.PPS),
    sets=(h265.NaluType.VPS, h265.NaluType.SPS, h265.NaluType.PPS),
    configuration=_hvcc,
    is_random_access=h265.is_random_access,
)


class Pictures:
    """One video stream.

    A picture ends where the next PES packet with a time begins, or at an access unit delimiter inside. Delimiters and parameter
    sets are taken out: those that go out get their own.
    """

    def __init__(self, track_id: int, codec: PictureCodec, tracks: Tracks) -> None:
        """Give the pictures of `codec` to track `track_id` of `tracks`."""
        self._track_id = track_id
        self._codec = codec
        self._tracks = tracks
        self._sets: _Sets = {}
        self._track: Track | None = None
        self._pending = bytearray()
        self._times: tuple[int, int] | None = None  # dts and cts of what is pending

    def take(self, pes: PesPacket) -> list[MediaEvent]:
        """Take a PES packet, and give the pictures before it."""
        if pes.pts is None or pes.dts is None:
            self._go_on(pes.payload)
            return []
        events = self.flush()
        self._times = self._tracks.unwrap(pes.dts), composition_time(pes.pts, pes.dts)
        self._pending += pes.payload
        return events

    def _go_on(self, payload: bytes) -> None:
        """A PES packet without a time goes on where the last one ended (§2.7.4)."""
        if self._times is None:
            self._tracks.count_broken("PES packet without a time")
        elif len(self._pending) + len(payload) > MAX_PICTURE_BYTES:
            self._tracks.count_broken("picture over 16 MiB")
            self._forget()
        else:
            self._pending += payload

    def _forget(self) -> None:
        self._times = None
        self._pending.clear()

    def lost(self) -> None:
        """Nothing is known of the PES packet that was to come: the pictures before it are whole."""

    def flush(self) -> list[MediaEvent]:
        """Give the pictures that are held back."""
        if self._times is None:
            return []
        (dts, cts), data = self._times, bytes(self._pending)
        self._forget()
        try:
            pictures = list(self._split(split_annexb(data)))
        except RemoteProtocolError:
            self._tracks.count_broken(f"malformed {self._codec.codec.value} picture")
            return []
        events: list[MediaEvent] = []
        for nalus in pictures:
            events += self._picture(dts, cts, nalus)
            dts += self._picture_ticks()
        return events

    def _split(self, nalus: list[bytes]) -> Iterator[list[bytes]]:
        """The NALUs of each picture, without delimiters."""
        picture: list[bytes] = []
        for nalu in nalus:
            if self._codec.type_of(nalu) != self._codec.delimiter:
                picture.append(nalu)
            elif picture:
                yield picture
                picture = []
        if picture:
            yield picture

    def _picture_ticks(self) -> int:
        rate = self._track.frame_rate if self._track is not None else None
        return int(TICKS_PER_SECOND / rate) if rate else DEFAULT_PICTURE_TICKS

    def _picture(self, dts: int, cts: int, nalus: list[bytes]) -> list[MediaEvent]:
        sets = [nalu for nalu in nalus if self._codec.type_of(nalu) in self._codec.sets]
        events = self._learn(sets) if sets else []
        payload = join_avcc([nalu for nalu in nalus if self._codec.type_of(nalu) not in self._codec.sets])
        if not payload:
            return events
        if self._track is None:
            self._tracks.count_early(self._track_id)
            return events
        random_access = self._codec.is_random_access(payload)
        return [*events, AccessUnit(self._track_id, dts, cts, random_access, payload)]

    def _learn(self, nalus: list[bytes]) -> list[MediaEvent]:
        """Take the parameter sets of a picture in: with an SPS those of each type replace the former, else they are added."""
        sets = dict(self._sets)
        replaces = any(self._codec.type_of(nalu) == self._codec.sps for nalu in nalus)
        for kind in self._codec.sets:
            new = tuple(nalu for nalu in nalus if self._codec.type_of(nalu) == kind and len(nalu) <= MAX_PARAMETER_SET_BYTES)
            if new:
                kept = () if replaces else sets.get(kind, ())
                sets[kind] = tuple(dict.fromkeys((*kept, *new)))
        if sets == self._sets or not all(sets.get(kind) for kind in self._codec.needed):
            self._sets = sets
            return []
        return self._configure(sets)

    def _configure(self, sets: _Sets) -> list[MediaEvent]:
        """Let what follows be under `sets`; where they are broken, nothing is given until there are others."""
        try:
            track = build_track(self._track_id, self._codec.codec, self._codec.configuration(sets))
        except (RemoteProtocolError, UnsupportedError):
            self._tracks.count_broken(f"{self._codec.codec.value} parameter sets that do not parse")
            self._sets, self._track = {}, None
            return []
        self._sets, self._track = sets, track
        return self._tracks.replace(track)
