"""MPEG transport streams: H264, H265, AAC, MP2, MP3, AC-3, E-AC-3 and Opus, muxed and demuxed (ISO/IEC 13818-1)."""

from __future__ import annotations

from lalmesh.container.mpegts._constants import PACKET_BYTES, PCR_INTERVAL_TICKS, TABLE_INTERVAL_TICKS
from lalmesh.container.mpegts._demux import TsDemuxer
from lalmesh.container.mpegts._framing import MAX_AUDIO_BYTES, carries, carries_track
from lalmesh.container.mpegts._mux import Continuity, TsMuxer
from lalmesh.container.mpegts._pictures import MAX_PICTURE_BYTES
from lalmesh.container.mpegts._pids import MAX_PES_BYTES
from lalmesh.container.mpegts._program import MAX_STREAMS, MAX_TRACK_ID
from lalmesh.container.mpegts._psi import MAX_SECTION_BYTES
from lalmesh.container.mpegts._streams import AUDIO_TRACK_ID, VIDEO_TRACK_ID
from lalmesh.container.mpegts._tables import TABLES_BYTES
from lalmesh.container.mpegts._timestamps import PCR_LEAD_TICKS, TIME_OFFSET_TICKS
from lalmesh.container.mpegts._tracks import TsCounters

__all__ = [
    "AUDIO_TRACK_ID",
    "MAX_AUDIO_BYTES",
    "MAX_PES_BYTES",
    "MAX_PICTURE_BYTES",
    "MAX_SECTION_BYTES",
    "MAX_STREAMS",
    "MAX_TRACK_ID",
    "PACKET_BYTES",
    "PCR_INTERVAL_TICKS",
    "PCR_LEAD_TICKS",
    "TABLES_BYTES",
    "TABLE_INTERVAL_TICKS",
    "TIME_OFFSET_TICKS",
    "VIDEO_TRACK_ID",
    "Continuity",
    "TsCounters",
    "TsDemuxer",
    "TsMuxer",
    "carries",
    "carries_track",
]
