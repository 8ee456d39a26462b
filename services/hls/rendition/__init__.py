"""Renditions: the segments of a stream in one container each, and the playlists that list them. Each unit is muxed once, for all.

Renditions of a stream share its cuts, so their segments have the same numbers. Each is started by its first request; one that
starts late is given the last cuts again.
"""

from __future__ import annotations

from services.hls.rendition._files import Format, MadeFile
from services.hls.rendition._make import make_rendition
from services.hls.rendition._rendition import Rendition

__all__ = ["Format", "MadeFile", "Rendition", "make_rendition"]
