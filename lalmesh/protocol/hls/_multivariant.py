"""The multivariant playlist of a stream: one variant (rfc8216bis §4.4.6.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from lalmesh.protocol.hls._render import VERSION_MAP, checked_uri


@dataclass(slots=True, frozen=True, kw_only=True)
class Variant:
    """One encoding of a stream."""

    uri: str  #: of its media playlist, relative to the multivariant playlist
    bandwidth_bps: int  #: highest bit rate of a segment
    average_bandwidth_bps: int = 0  #: over all segments, 0 unknown
    codecs: str = ""  #: RFC 6381, comma-separated; empty unknown
    width: int = 0  #: pixels, 0 unknown or no video
    height: int = 0  #: pixels, 0 unknown or no video
    frame_rate: Fraction | None = None  #: pictures a second, None unknown
    independent: bool = False  #: as of `MediaPlaylist`


def render_multivariant(variant: Variant, *, query: str = "") -> str:
    """The text of the multivariant playlist over `variant`, with `query`, percent-encoded, on its URI.

    Raises:
        LocalProtocolError: a text of it would break the playlist.
    """
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION_MAP}"]
    if variant.independent:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    lines.append(f"#EXT-X-STREAM-INF:{','.join(_attributes(variant))}")
    lines.append(checked_uri(variant.uri, "URI") + (f"?{checked_uri(query, 'query')}" if query else ""))
    return "\n".join(lines) + "\n"


def with_query(text: str, added: str) -> str:
    """The multivariant playlist `text`, with the query `added`, percent-encoded, behind what its URIs have.

    Raises:
        LocalProtocolError: `added` would break the playlist.
    """
    checked_uri(added, "query")
    lines = text.splitlines()
    return "".join(f"{line}{'&' if '?' in line else '?'}{added}\n" if _is_uri(line) else f"{line}\n" for line in lines)


def _is_uri(line: str) -> bool:
    """Whether it is one, and no tag, comment or blank line (rfc8216bis §4.1)."""
    return bool(line) and not line.startswith("#")


def _attributes(variant: Variant) -> Iterator[str]:
    yield f"BANDWIDTH={variant.bandwidth_bps}"
    if variant.average_bandwidth_bps:
        yield f"AVERAGE-BANDWIDTH={variant.average_bandwidth_bps}"
    if variant.codecs:
        yield f'CODECS="{checked_uri(variant.codecs, "CODECS")}"'
    if variant.width and variant.height:
        yield f"RESOLUTION={variant.width}x{variant.height}"
    if variant.frame_rate is not None:
        yield f"FRAME-RATE={float(variant.frame_rate):.3f}"
