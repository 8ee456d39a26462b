"""Which streams are recorded, how, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from lalmesh.names import StreamKey

MAX_FILE_S = 86_400  #: of a file for which the rule names no length: MPEG-TS times wrap after 26.5 hours


class RecordFormat(Enum):
    """What a stream is recorded as. The value is the extension of its files."""

    FLV = "flv"
    TS = "ts"
    MP4 = "mp4"
    HLS = "hls"  #: no file of its own: the segmenter keeps its segments


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordRule:
    """How the streams are recorded whose ``app/name`` matches `pattern`."""

    pattern: str  #: with ``*``, ``?`` and ``[]`` as in file names; ``*`` also goes over slashes
    formats: tuple[RecordFormat, ...]
    segment_s: int = 0  #: a new file after so many seconds, at the next random access point; 0: `MAX_FILE_S`
    segment_bytes: int = 0  #: or after so many bytes; 0: no bound
    keep_s: int = 0  #: files are removed from shared storage so long after their end; 0: never
    keep_bytes: int = 0  #: and, oldest first, where those of this rule pass so many bytes together; 0: never

    def matches(self, stream: StreamKey) -> bool:
        """Whether `stream` is recorded by this rule."""
        return fnmatchcase(str(stream), self.pattern)


class RecordRules:
    """The rules in their order: of several that match a stream the first holds, for its files too."""

    def __init__(self, rules: Sequence[RecordRule]) -> None:
        """Take `rules` in this order."""
        self.rules = tuple(rules)

    def of(self, stream: StreamKey) -> RecordRule | None:
        """The rule of `stream`, None where it is not recorded."""
        return next((rule for rule in self.rules if rule.matches(stream)), None)
