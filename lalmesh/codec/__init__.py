"""Codecs: headers, parameter sets and configuration records, one module or package each; and tracks described from them."""

from lalmesh.codec._tracks import build_track, codec_string

__all__ = ["build_track", "codec_string"]
