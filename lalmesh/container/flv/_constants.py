"""The numbers of FLV and of enhanced RTMP that both directions need (FLV 10.1 annex E; Enhanced RTMP v2)."""

from __future__ import annotations

from typing import Final, Literal

from lalmesh.media import Codec

TAG_AUDIO: Final = 8  #: also the RTMP message type
TAG_VIDEO: Final = 9
TAG_SCRIPT: Final = 18  #: AMF 0
TAG_SCRIPT_AMF3: Final = 15  #: only in RTMP

VIDEO_TRACK_ID: Final = 1
AUDIO_TRACK_ID: Final = 2
SCRIPT_TRACK_ID: Final = 3

HevcForm = Literal["enhanced", "legacy"]  #: FourCC ``hvc1``, or codec id 12
OpusForm = Literal["enhanced", "legacy"]  #: FourCC ``Opus``, or sound format 13

# FrameType, UB[4] or UB[3] (§E.4.3.1)
KEY_FRAME, INTER_FRAME, GENERATED_KEY_FRAME, COMMAND_FRAME = 1, 2, 4, 5
EX_HEADER = 0x80  #: IsExVideoHeader, the highest bit of a video body

# CodecID and SoundFormat (§E.4.3.1, §E.4.2.1); 12 and 13 are agreed on by their users, not by the standard
VIDEO_CODECS = {7: Codec.H264, 12: Codec.H265}
VIDEO_CODEC_IDS = {codec: number for number, codec in VIDEO_CODECS.items()}
FORMAT_MP3, FORMAT_PCMA, FORMAT_PCMU, FORMAT_EX, FORMAT_AAC, FORMAT_OPUS, FORMAT_MP3_8K = 2, 7, 8, 9, 10, 13, 14
AUDIO_FORMATS = {
    Codec.AAC: FORMAT_AAC,
    Codec.MP3: FORMAT_MP3,
    Codec.PCMA: FORMAT_PCMA,
    Codec.PCMU: FORMAT_PCMU,
    Codec.OPUS: FORMAT_OPUS,
}
SOUND_RATES_HZ = (5512, 11025, 22050, 44100)  #: by SoundRate, UB[2]
SOUND_16_BIT = 0x02
SOUND_STEREO = 0x01

# AVCPacketType and AACPacketType
LEGACY_HEADER, LEGACY_CODED, LEGACY_END = 0, 1, 2

# VideoPacketType and AudioPacketType (Enhanced RTMP v2, ExVideoTagHeader and ExAudioTagHeader)
SEQUENCE_START, CODED_FRAMES, SEQUENCE_END = 0, 1, 2
VIDEO_CODED_FRAMES_X, VIDEO_METADATA, VIDEO_MPEG2TS_START, VIDEO_MULTITRACK = 3, 4, 5, 6
AUDIO_MULTICHANNEL, AUDIO_MULTITRACK = 4, 5
MOD_EX = 7

FOURCCS = {
    Codec.H264: b"avc1",
    Codec.H265: b"hvc1",
    Codec.AV1: b"av01",
    Codec.VP9: b"vp09",
    Codec.AAC: b"mp4a",
    Codec.OPUS: b"Opus",
    Codec.AC3: b"ac-3",
    Codec.EAC3: b"ec-3",
    Codec.FLAC: b"fLaC",
    Codec.MP3: b".mp3",
}
CODECS = {fourcc: codec for codec, fourcc in FOURCCS.items()}

ON_METADATA = "onMetaData"
SET_DATA_FRAME = "@setDataFrame"  #: goes before what a publisher wants kept for later players; never sent to players
