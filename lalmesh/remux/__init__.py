"""Where containers and protocols meet: ingest adaptors in, packagers out. Sans-I/O."""

from lalmesh.remux._flv import FlvPackager, WebSocketFlvPackager
from lalmesh.remux._flv_tags import FlvMessage, FlvMessages
from lalmesh.remux._fmp4 import Fmp4Packager, WebSocketFmp4Packager
from lalmesh.remux._interleaved import (
    Channels,
    InterleavedPackager,
    RtpDatagrams,
    WebSocketInterleavedPackager,
    plain_channels,
    rtp_datagrams,
    rtp_frames,
)
from lalmesh.remux._packager import Packager, Parts
from lalmesh.remux._rtmp import RtmpPackager
from lalmesh.remux._rtp import RtpBurst, RtpStream
from lalmesh.remux._rtp_description import rtp_session, rtp_tracks
from lalmesh.remux._transcode import Transcoder, can_transcode, needs_transcoding, transcoded_tracks
from lalmesh.remux._ts import TsPackager, WebSocketTsPackager

__all__ = [
    "Channels",
    "FlvMessage",
    "FlvMessages",
    "FlvPackager",
    "Fmp4Packager",
    "InterleavedPackager",
    "Packager",
    "Parts",
    "RtmpPackager",
    "RtpBurst",
    "RtpDatagrams",
    "RtpStream",
    "Transcoder",
    "TsPackager",
    "WebSocketFlvPackager",
    "WebSocketFmp4Packager",
    "WebSocketInterleavedPackager",
    "WebSocketTsPackager",
    "can_transcode",
    "needs_transcoding",
    "plain_channels",
    "rtp_datagrams",
    "rtp_frames",
    "rtp_session",
    "rtp_tracks",
    "transcoded_tracks",
]
