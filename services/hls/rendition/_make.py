"""The rendition of a format: one line a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from lalmesh.runtime.ownership import Epoch
from services.hls.rendition._files import Format
from services.hls.rendition._fmp4 import Fmp4Rendition
from services.hls.rendition._rendition import Rendition
from services.hls.rendition._ts import TsRendition


def make_rendition(
    kind: Format, epoch: Epoch, list_size: int, restored: Mapping[str, Any] | None = None, *, goes_on: bool = False
) -> Rendition:
    """The rendition of a format; the arguments are those of `Rendition`."""
    match kind:
        case Format.TS:
            return TsRendition(epoch, list_size, restored, goes_on=goes_on)
        case Format.FMP4:
            return Fmp4Rendition(epoch, list_size, restored, goes_on=goes_on)
        case _:
            assert_never(kind)
