"""What an hls node answers to a GET: the same whether over HTTP or to another node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lalmesh.errors import Unavailable
from lalmesh.protocol.hls import FileName, InitName, PartName, SegmentName
from lalmesh.runtime.hls_answers import CODECS_HEADER, OWNER_HEADER, OWNER_UNKNOWN, PUBLICATION_HEADER, Played

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"  #: RFC 8216 §10
TS_TYPE = "video/mp2t"
SEGMENT_TYPE = "video/iso.segment"
INIT_TYPE = "video/mp4"

#: a name is never used for other bytes; a day, as what left the playlist is asked for by nobody
FILE_CACHING = "public, max-age=86400, immutable"
BLOCKED_TARGETS = 6  #: target durations that an answer to a blocking request may be cached: its URL is asked for once
UNCACHED = "no-store"
MISSING_CACHING = "max-age=1"  #: of what is not there: it may come any time, and a thousand who ask for it are one a second
RETRY_AFTER_S = 1


class OwnerUnknown(Unavailable):
    """Nobody here knows who segments a stream, and no scheduler says it."""


@dataclass(slots=True, frozen=True)
class Answer:
    """An answer of HTTP."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, reason: str) -> Answer:
    """An answer that says no, with the reason for people."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": MISSING_CACHING if status == 404 else UNCACHED}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return Answer(status, f"{reason}\n".encode(), headers)


def unavailable(error: Unavailable) -> Answer:
    """An answer that it cannot be told now; where another node may know, it says so."""
    answer = refusal(503, str(error))
    if not isinstance(error, OwnerUnknown):
        return answer
    return replace(answer, headers={**answer.headers, OWNER_HEADER: OWNER_UNKNOWN})


def file_answer(name: FileName, data: bytes) -> Answer:
    """A segment, a part or an initialization section."""
    return Answer(200, data, {"Content-Type": _file_type(name), "Cache-Control": FILE_CACHING})


def playlist_answer(text: str, max_age_s: int) -> Answer:
    """A playlist, which caches keep for `max_age_s` seconds."""
    return Answer(200, text.encode(), {"Content-Type": PLAYLIST_TYPE, "Cache-Control": f"max-age={max_age_s}"})


def with_codecs(answer: Answer, codecs: Sequence[str], publication: bytes) -> Answer:
    """The answer with a playlist of a `publication` that is coded with `codecs`, saying so to whoever counts its player."""
    if answer.status != 200 or not codecs:
        return answer
    told = {CODECS_HEADER: ",".join(codecs)} | ({PUBLICATION_HEADER: str(Played.of(publication))} if publication else {})
    return replace(answer, headers={**answer.headers, **told})


def _file_type(name: FileName) -> str:
    match name:
        case InitName():
            return INIT_TYPE
        case PartName():
            return SEGMENT_TYPE
        case SegmentName(suffix="ts"):
            return TS_TYPE
        case SegmentName():
            return SEGMENT_TYPE
