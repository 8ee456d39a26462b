"""Text that somebody else chose, as it may be kept, told and shown: encodable as UTF-8, and of a bounded length.

HTTP and RTSP decode what is no UTF-8 to lone surrogates (PEP 383), so that a password is compared byte by byte. No message, no JSON
and no log can carry these: one of them in a user agent would break whatever tells of it, with everything else that is told.
"""

from __future__ import annotations

import re
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """The text with `REPLACEMENT` for what UTF-8 cannot say."""
    return text if text.isascii() else _SURROGATE.sub(REPLACEMENT, text)


def within(text: str, limit_bytes: int) -> str:
    """The beginning of the well-formed text that has at most `limit_bytes` as UTF-8; no character of it is cut in two."""
    return well_formed(text[:limit_bytes]).encode()[:limit_bytes].decode(errors="ignore")
