"""Answers of hls nodes that an edge may give to more than one player, for as long as they say (RFC 9111).

Bounded in bytes and in entries; the one not asked for the longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from lalmesh.runtime.hls_answers import NOT_KNOWN, Played

MAX_ENTRIES = 10_000  #: a playlist with parts has some 30 things to ask for: 300 streams
ENTRY_BYTES = 1_000  #: what an entry costs beside its body
#: what is passed on of an answer's headers; what is about the connection to the hls node is not (RFC 9110 §7.6.1)
PASSED_ON = (
    "Content-Type", "Cache-Control", "ETag", "Last-Modified", "Content-Range", "Accept-Ranges", "Content-Disposition",
    "Content-Encoding", "Expires", "Location", "Retry-After", "X-Content-Type-Options",
)  # fmt: skip

#: what keeps an answer from being given to those who ask later
_UNKEPT = frozenset(("no-store", "no-cache", "private"))


@dataclass(slots=True, frozen=True, kw_only=True)
class Answer:
    """One whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    fetched_at: float  #: seconds of the clock
    codecs: tuple[str, ...] = ()  #: of the stream, where it is a playlist whose node says so
    played: Played = NOT_KNOWN  #: the publication in it, likewise

    #: Whether those who asked for it at the same time may all have it: it is meant for no one alone (RFC 9111 §5.2.2). That
    #: something is not there, or cannot be had now, is so for all of them, even where nobody may keep it.
    may_be_shared: bool = field(init=False)
    fresh_s: int = field(init=False)  #: for how many seconds it may be given to those who ask later; 0 not at all

    def __post_init__(self) -> None:
        """Read Cache-Control once, as it is asked with every request that this answers."""
        directives = _directives(self.headers)
        object.__setattr__(self, "may_be_shared", _may_be_shared(self.status, directives))
        object.__setattr__(self, "fresh_s", _fresh_s(self.status, directives))


def _may_be_shared(status: int, directives: Mapping[str, str]) -> bool:
    if status in (404, 406, 410) or status >= 500:
        return "private" not in directives
    return status == 200 and not {"no-store", "private"} & directives.keys()


def _fresh_s(status: int, directives: Mapping[str, str]) -> int:
    if status not in (200, 404, 410) or _UNKEPT & directives.keys():
        return 0
    age = directives.get("s-maxage", directives.get("max-age", ""))
    return int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0


def _directives(headers: Mapping[str, str]) -> dict[str, str]:
    """Cache-Control by directive, in lower case (RFC 9111 §5.2)."""
    pairs = (part.strip().partition("=") for part in headers.get("Cache-Control", "").lower().split(","))
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


class AnswerCache:
    """Answers by what was asked for."""

    def __init__(self, max_bytes: int, max_entries: int = MAX_ENTRIES) -> None:
        """Keep so much at most; 0 bytes keep nothing."""
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """How many answers are kept."""
        return len(self._answers)

    @property
    def size_bytes(self) -> int:
        """What they take."""
        return self._bytes

    def get(self, target: str, now: float) -> Answer | None:
        """What may still be given for `target`."""
        answer = self._answers.get(target)
        if answer is None:
            return None
        if now - answer.fetched_at >= answer.fresh_s:
            self._drop(target)
            return None
        self._answers.move_to_end(target)
        return answer

    def put(self, target: str, answer: Answer) -> None:
        """Keep an answer where it says that it may be kept."""
        self._drop(target)
        if not answer.fresh_s or _size(answer) > self._max_bytes:
            return
        self._answers[target] = answer
        self._bytes += _size(answer)
        while self._bytes > self._max_bytes or len(self._answers) > self._max_entries:
            self._drop(next(iter(self._answers)))

    def _drop(self, target: str) -> None:
        answer = self._answers.pop(target, None)
        if answer is not None:
            self._bytes -= _size(answer)


def _size(answer: Answer) -> int:
    return len(answer.body) + ENTRY_BYTES
