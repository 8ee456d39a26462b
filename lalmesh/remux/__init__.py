"""Where containers and protocols meet: ingest adaptors in, packagers out. Sans-I/O."""

from lalmesh.remux._flv import FlvPackager, WebSocketFlvPackager
from lalmesh.remux._fmp4 import Fmp4Packager, WebSocketFmp4Packager
from lalmesh.remux._packager import Packager, Parts
from lalmesh.remux._rtmp import RtmpPackager
from lalmesh.remux._transcode import Transcoder, can_transcode, needs_transcoding, transcoded_tracks
from lalmesh.remux._ts import TsPackager, WebSocketTsPackager

__all__ = [
    "FlvPackager",
    "Fmp4Packager",
    "Packager",
    "Parts",
    "RtmpPackager",
    "Transcoder",
    "TsPackager",
    "WebSocketFlvPackager",
    "WebSocketFmp4Packager",
    "WebSocketTsPackager",
    "can_transcode",
    "needs_transcoding",
    "transcoded_tracks",
]
