"""Transport packets in, access units out (ISO/IEC 13818-1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lalmesh.container.mpegts._constants import PAT_PID
from lalmesh.container.mpegts._pids import PesAssembly, PidReader, TableAssembly
from lalmesh.container.mpegts._psi import TABLE_PAT, TABLE_PMT, Section, StreamInfo, parse_pat, parse_pmt
from lalmesh.container.mpegts._streams import TRACK_IDS, choose
from lalmesh.container.mpegts._sync import PacketReader
from lalmesh.container.mpegts._tracks import Tracks, TsCounters
from lalmesh.errors import UnsupportedError
from lalmesh.media import Kind, MediaEvent, PassedOver, TrackEnded, TrackSet

_ERROR, _STARTS = 0x80, 0x40  # transport_error_indicator, payload_unit_start_indicator
_SCRAMBLED, _HAS_FIELD, _HAS_PAYLOAD, _COUNTER = 0xC0, 0x20, 0x10, 0x0F
_DISCONTINUITY = 0x80


@dataclass(slots=True, frozen=True)
class _Chosen:
    """The stream that is taken of one kind."""

    info: StreamInfo
    reader: PidReader


class TsDemuxer:
    """Demux the first program of a transport stream: track 1 is its first video, track 2 its first audio.

    A transport stream is made to lose packets: whatever is broken is passed over and counted, and nothing is raised. Times are
    those of the stream, unwrapped from 33 bits.
    """

    def __init__(self) -> None:
        """Start without tracks."""
        self._packets = PacketReader()
        self._streams = Tracks()
        self._chosen: dict[Kind, _Chosen] = {}
        self._pmt_pid: int | None = None
        self._program_number = 0
        self._pids = {PAT_PID: PidReader(TableAssembly(self._on_pat, self._streams), self._streams)}

    @property
    def tracks(self) -> TrackSet:
        """The tracks so far."""
        return self._streams.tracks

    @property
    def counters(self) -> TsCounters:
        """What was passed over, or is missing."""
        self._streams.counters.lost_bytes = self._packets.lost_bytes
        return self._streams.counters

    def feed(self, data: bytes) -> Iterator[MediaEvent]:
        """Iterate over what `data` completed; a `TracksChanged` comes before the units that need it.

        A picture is complete when the next begins. Held between calls: less than two packets, and of each of the two streams one
        PES packet and one picture, of at most 16 MiB each.

        Source: ISO/IEC 13818-1 §2.4.3
        """
        self._packets.feed(data)  # kept even if the caller drops the iterator
        return self._events()

    def flush(self) -> Iterator[MediaEvent]:
        """Iterate over what is held back: nothing more comes, or what comes is another stream."""
        for chosen in list(self._chosen.values()):
            yield from chosen.reader.flush()

    def _events(self) -> Iterator[MediaEvent]:
        while (packet := self._packets.next_packet()) is not None:
            yield from self._packet(packet)

    def _packet(self, packet: bytes) -> list[MediaEvent]:
        """Take one packet (§2.4.3.2)."""
        second, control = packet[1], packet[3]
        reader = self._pids.get((second & 0x1F) << 8 | packet[2])
        if reader is None:
            return []
        if second & _ERROR or control & _SCRAMBLED:
            self._streams.count_broken("damaged packet" if second & _ERROR else "scrambled packet")
            return []
        start = 4
        if control & _HAS_FIELD:
            start = 5 + packet[4]
            if packet[4] and packet[5] & _DISCONTINUITY:
                reader.expect_any()
        if not control & _HAS_PAYLOAD:
            return []
        return reader.take(control & _COUNTER, packet[start:], bool(second & _STARTS))

    def _on_pat(self, section: Section) -> list[MediaEvent]:
        """Follow the first program (§2.4.4.3)."""
        programs = parse_pat(section.body) if section.table_id == TABLE_PAT else []
        if not programs or programs[0] == (self._program_number, self._pmt_pid):
            return []
        if self._pmt_pid is not None:
            self._pids.pop(self._pmt_pid, None)
        self._program_number, self._pmt_pid = programs[0]
        if self._pmt_pid != PAT_PID:
            self._pids[self._pmt_pid] = PidReader(TableAssembly(self._on_pmt, self._streams), self._streams)
        return []

    def _on_pmt(self, section: Section) -> list[MediaEvent]:
        """Follow the streams of the program (§2.4.4.8)."""
        if section.table_id != TABLE_PMT or section.table_id_extension != self._program_number:
            return []
        wanted = self._wanted(parse_pmt(section.body))
        events: list[MediaEvent] = []
        for kind in TRACK_IDS:
            chosen, info = self._chosen.get(kind), wanted.get(kind)
            if chosen is not None and chosen.info != info:
                events += self._end(kind, chosen, replaced=info is not None)
            if info is not None and kind not in self._chosen:
                self._begin(kind, info)
        return events

    def _wanted(self, infos: list[StreamInfo]) -> dict[Kind, StreamInfo]:
        """The first stream of each kind that is supported; the others are counted."""
        wanted: dict[Kind, StreamInfo] = {}
        counters = self._streams.counters
        for info in infos:
            try:
                kind, make = choose(info)
                make(info, self._streams)
            except UnsupportedError as error:
                counters.count(error.what, PassedOver.UNSUPPORTED_CODEC)
                continue
            if kind in wanted:
                counters.count(f"further {kind.value} stream", PassedOver.EXTRA_TRACK)
            elif info.pid not in (PAT_PID, self._pmt_pid):
                wanted[kind] = info
        return wanted

    def _begin(self, kind: Kind, info: StreamInfo) -> None:
        _, make = choose(info)
        reader = PidReader(PesAssembly(make(info, self._streams), self._streams), self._streams)
        self._chosen[kind] = _Chosen(info, reader)
        self._pids[info.pid] = reader

    def _end(self, kind: Kind, chosen: _Chosen, *, replaced: bool) -> list[MediaEvent]:
        """Give what is left of a stream that is no longer in the program, and its end where no other takes its place."""
        del self._chosen[kind]
        if self._pids.get(chosen.info.pid) is chosen.reader:
            del self._pids[chosen.info.pid]
        events = chosen.reader.flush()
        track_id = TRACK_IDS[kind]
        if not replaced and self._streams.tracks.get(track_id) is not None:
            events.append(TrackEnded(track_id))
        return events
