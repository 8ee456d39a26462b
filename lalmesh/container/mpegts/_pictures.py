"""H.264 and H.265 out of PES packets: Annex B to access units, decoder configurations from the parameter sets in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lalmesh.codec.nalu import join_avcc, split_annexb
from lalmesh.codec.nalu_codecs import NaluCodec
from lalmesh.codec.parameter_sets import ParameterSetStore
from lalmesh.container.mpegts._pes import PesPacket
from lalmesh.container.mpegts._tracks import Tracks, composition_time
from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, MediaEvent

MAX_PICTURE_BYTES: Final = 16 << 20  #: over several PES packets: twice the largest NALU
DEFAULT_PICTURE_TICKS: Final = TICKS_PER_SECOND // 25  #: between pictures of one PES packet whose rate nobody says


class Pictures:
    """One video stream.

    A picture ends where the next PES packet with a time begins, or at an access unit delimiter inside. Delimiters and parameter
    sets are taken out: those that go out get their own.
    """

    def __init__(self, track_id: int, codec: NaluCodec, tracks: Tracks) -> None:
        """Give the pictures of `codec` to track `track_id` of `tracks`."""
        self._track_id = track_id
        self._codec = codec
        self._tracks = tracks
        self._store = ParameterSetStore(track_id, codec)
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
        rate = self._store.track.frame_rate if self._store.track is not None else None
        return int(TICKS_PER_SECOND / rate) if rate else DEFAULT_PICTURE_TICKS

    def _picture(self, dts: int, cts: int, nalus: list[bytes]) -> list[MediaEvent]:
        sets = [nalu for nalu in nalus if self._codec.type_of(nalu) in self._codec.sets]
        events = self._learn(sets) if sets else []
        payload = join_avcc([nalu for nalu in nalus if self._codec.type_of(nalu) not in self._codec.sets])
        if not payload:
            return events
        if self._store.track is None:
            self._tracks.count_early(self._track_id)
            return events
        random_access = self._codec.is_random_access(payload)
        return [*events, AccessUnit(self._track_id, dts, cts, random_access, payload)]

    def _learn(self, parameter_sets: list[bytes]) -> list[MediaEvent]:
        """Let what follows be under these parameter sets; where they are broken, nothing is given until there are others."""
        try:
            track = self._store.learn(parameter_sets)
        except (RemoteProtocolError, UnsupportedError):
            self._tracks.count_broken(f"{self._codec.codec.value} parameter sets that do not parse")
            return []
        return [] if track is None else self._tracks.replace(track)
