"""The numbers that both directions need (ISO/IEC 14496-12, 14496-14, and the bindings of each codec)."""

from __future__ import annotations

from typing import Final

from lalmesh.media import Codec, Kind

# sample_flags (ISO/IEC 14496-12 §8.8.3.1)
NON_SYNC_SAMPLE: Final = 0x0001_0000  #: sample_is_non_sync_sample
SYNC_FLAGS: Final = 0x0200_0000  #: sample_depends_on 2: on no other
NON_SYNC_FLAGS: Final = 0x0100_0000 | NON_SYNC_SAMPLE  #: sample_depends_on 1: on others

# tf_flags and tr_flags (§8.8.7.1, §8.8.8.1)
TF_BASE_DATA_OFFSET: Final = 0x01
TF_DESCRIPTION_INDEX: Final = 0x02
TF_DURATION: Final = 0x08
TF_SIZE: Final = 0x10
TF_FLAGS: Final = 0x20
TF_BASE_IS_MOOF: Final = 0x02_0000
TR_DATA_OFFSET: Final = 0x001
TR_FIRST_FLAGS: Final = 0x004
TR_DURATION: Final = 0x100
TR_SIZE: Final = 0x200
TR_FLAGS: Final = 0x400
TR_CTS: Final = 0x800

# objectTypeIndication (ISO/IEC 14496-1 Table 5; mp4ra.org)
OTI_AAC: Final = 0x40
OTI_MPEG2_AAC: Final = (0x66, 0x67, 0x68)
OTI_MPEG2_AUDIO: Final = 0x69  #: layers I to III at the low rates
OTI_MPEG1_AUDIO: Final = 0x6B
OTI_AC3: Final = 0xA5
OTI_EAC3: Final = 0xA6

HANDLERS: Final = {Kind.VIDEO: b"vide", Kind.AUDIO: b"soun"}  #: handler_type (§8.4.3)

#: sample entry that a codec goes out in
SAMPLE_ENTRIES: Final = {
    Codec.H264: b"avc1",
    Codec.H265: b"hvc1",
    Codec.AV1: b"av01",
    Codec.VP9: b"vp09",
    Codec.AAC: b"mp4a",
    Codec.MP3: b"mp4a",
    Codec.OPUS: b"Opus",
    Codec.AC3: b"ac-3",
    Codec.EAC3: b"ec-3",
    Codec.FLAC: b"fLaC",
}
