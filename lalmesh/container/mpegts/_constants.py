"""The numbers of MPEG transport streams that both directions need (ISO/IEC 13818-1)."""

from __future__ import annotations

from typing import Final

from lalmesh.media import TICKS_PER_MS, Codec

PACKET_BYTES: Final = 188  #: a transport packet, header included (§2.4.3.2)
HEADER_BYTES: Final = 4
PAYLOAD_BYTES: Final = PACKET_BYTES - HEADER_BYTES
SYNC_BYTE: Final = 0x47
TIME_BITS: Final = 33  #: of PTS, DTS and the base of the PCR (§2.4.3.5, §2.4.3.7)

# pid, 13 bits (§2.4.3.3 Table 2-3)
PAT_PID: Final = 0
NULL_PID: Final = 0x1FFF

# stream_id of a PES packet (§2.4.3.7 Table 2-22)
PRIVATE_STREAM_1: Final = 0xBD
AUDIO_STREAM: Final = 0xC0
VIDEO_STREAM: Final = 0xE0

# stream_type of a PMT (§2.4.4.9 Table 2-34; 0x81 and 0x87 by ATSC A/52 and A/53)
STREAM_MPEG1_AUDIO: Final = 0x03
STREAM_MPEG2_AUDIO: Final = 0x04
STREAM_PRIVATE: Final = 0x06
STREAM_AAC: Final = 0x0F
STREAM_H264: Final = 0x1B
STREAM_H265: Final = 0x24
STREAM_AC3: Final = 0x81
STREAM_EAC3: Final = 0x87

# descriptor_tag (§2.6 Table 2-45; the last three by ETSI EN 300 468 §6.1)
DESCRIPTOR_REGISTRATION: Final = 0x05
DESCRIPTOR_AC3: Final = 0x6A
DESCRIPTOR_EAC3: Final = 0x7A
DESCRIPTOR_EXTENSION: Final = 0x7F
EXTENSION_OPUS: Final = 0x80  #: descriptor_tag_extension of the Opus audio descriptor

#: format_identifier of a registration descriptor (§2.6.8)
FORMAT_IDENTIFIERS = {Codec.AC3: b"AC-3", Codec.EAC3: b"EAC3", Codec.OPUS: b"Opus"}

PCR_INTERVAL_TICKS: Final = 100 * TICKS_PER_MS  #: the longest between two PCRs (§2.7.2)
TABLE_INTERVAL_TICKS: Final = 500 * TICKS_PER_MS  #: the longest between two PATs or PMTs, as players of live streams expect
