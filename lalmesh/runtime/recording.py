"""Rules of recording, as schedulers keep them and hls nodes follow them: which streams, in which formats, for how long."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import translate
from functools import lru_cache

from lalmesh.names import StreamKey

MAX_FILE_S = 86_400  #: of a file for which the rule names no length: MPEG-TS times wrap after 26.5 hours
MAX_RULES = 1000  #: of a cluster: each is looked at for every stream that begins
MAX_PATTERN_BYTES = 1024  #: a stream name of 9 parts would be longer, and is nobody's
MAX_SECONDS = 10 * 366 * 86_400
MAX_BYTES = 1 << 50

COMPILED_PATTERNS = 2 * MAX_RULES  #: that stay compiled: those of all rules, and of as many before them

_LIMITS = {"segment_s": MAX_FILE_S, "segment_bytes": MAX_BYTES, "keep_s": MAX_SECONDS, "keep_bytes": MAX_BYTES}


class RuleError(ValueError):
    """Somebody's rule is none."""

    def __init__(self, field: str, reason: str) -> None:
        """Say which `field` of it is wrong, and why."""
        self.field = field
        super().__init__(reason)


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
    keep_s: int = 0  #: files are removed from shared storage so long after they were stored, HLS segments after their end; 0: never
    keep_bytes: int = 0  #: and, oldest first, where those of this rule pass so many bytes together; 0: never

    def matches(self, stream: StreamKey) -> bool:
        """Whether `stream` is recorded by this rule."""
        return _compiled(self.pattern).match(str(stream)) is not None


@lru_cache(maxsize=COMPILED_PATTERNS)
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as `fnmatch.fnmatchcase` has it; that keeps 256 compiled, and with more rules each look would compile anew."""
    return re.compile(translate(pattern))


class RecordRules:
    """The rules in their order: of several that match a stream, each format is recorded and kept by the first that asks for it."""

    def __init__(self, rules: Sequence[RecordRule]) -> None:
        """Take `rules` in this order."""
        self.rules = tuple(rules)

    def of(self, stream: StreamKey, record_format: RecordFormat | None = None) -> RecordRule | None:
        """The rule of `stream` for one format, by default for any; None where it is not recorded."""
        return next(
            (rule for rule in self.rules if (record_format is None or record_format in rule.formats) and rule.matches(stream)),
            None,
        )

    def by_format(self, stream: StreamKey) -> dict[RecordFormat, RecordRule]:
        """What `stream` is recorded as, and by which rule each."""
        found: dict[RecordFormat, RecordRule] = {}
        for rule in self.rules:
            if rule.matches(stream):
                for made in rule.formats:
                    found.setdefault(made, rule)
        return found


def make_rule(pattern: str, formats: Sequence[str], limits: Mapping[str, int]) -> RecordRule:
    """A rule of what somebody wrote.

    Args:
        pattern: of stream names.
        formats: names of formats.
        limits: by name, as the fields of `RecordRule` are called.

    Raises:
        RuleError: something in it is not allowed.
    """
    if not 1 <= _utf8_bytes(pattern) <= MAX_PATTERN_BYTES or any(ord(char) < 0x20 or ord(char) == 0x7F for char in pattern):
        raise RuleError("pattern", f"a pattern needs 1 to {MAX_PATTERN_BYTES} bytes of text on one line")
    known = [made.value for made in RecordFormat]
    if not formats or any(name not in known for name in formats):
        raise RuleError("formats", f"formats have to be some of {', '.join(known)}")
    for name, value in limits.items():
        if name not in _LIMITS:
            raise RuleError(name, f"{name[:50]!r} is none of {', '.join(_LIMITS)}")
        if type(value) is not int or not 0 <= value <= _LIMITS[name]:  # what came as JSON may be anything
            raise RuleError(name, f"{name} has to be a whole number from 0 to {_LIMITS[name]}, not {value!r:.50}")
    made = tuple(dict.fromkeys(RecordFormat(name) for name in formats))
    return RecordRule(pattern=pattern, formats=made, **limits)


def _utf8_bytes(text: str) -> int:
    """How many bytes `text` has as UTF-8, 0 where it cannot be written so."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0


def parse_rule(text: str) -> RecordRule:
    """A rule as it is written on one line: ``live/* flv+mp4 segment_s=3600 keep_s=604800``.

    Raises:
        RuleError: it is none.
    """
    pattern, *rest = text.split() or [""]
    formats = rest[0].split("+") if rest else []
    limits: dict[str, int] = {}
    for word in rest[1:]:
        name, equals, number = word.partition("=")
        if not equals or not (number.isascii() and number.isdigit()) or len(number) > 18:
            raise RuleError(name, f"expected NAME=NUMBER, not {word[:50]!r}")
        limits[name] = int(number)
    return make_rule(pattern, formats, limits)
