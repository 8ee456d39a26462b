"""Where containers and protocols meet: ingest adaptors in, packagers out. Sans-I/O."""

from lalmesh.remux._flv import FlvPackager, WebSocketFlvPackager
from lalmesh.remux._packager import Packager, Parts
from lalmesh.remux._rtmp import RtmpPackager

__all__ = ["FlvPackager", "Packager", "Parts", "RtmpPackager", "WebSocketFlvPackager"]
