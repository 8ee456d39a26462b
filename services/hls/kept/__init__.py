"""HLS as a recording: segments that are kept beside the live ones, and the playlist of all that are there.

A kept segment's name says everything that a playlist says of it. So there is no index that could be behind, or that two workers
could disagree about: what storage lists is what was recorded. What was removed is all that such a list does not show, and that
playlists have to know (`Place`).
"""

from __future__ import annotations

from services.hls.kept._names import ROOT, KeptName, kept_path
from services.hls.kept._place import Place, place_path
from services.hls.kept._playlist import recorded_playlist
from services.hls.kept._segments import FRESH_S, KeptSegments, find_kept
from services.hls.kept._sweep import sweep_kept

__all__ = [
    "FRESH_S",
    "ROOT",
    "KeptName",
    "KeptSegments",
    "Place",
    "find_kept",
    "kept_path",
    "place_path",
    "recorded_playlist",
    "sweep_kept",
]
