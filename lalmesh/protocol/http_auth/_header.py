"""The headers of authentication: a scheme with parameters, several in one header or a header each (RFC 9110 §11.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lalmesh.errors import LimitExceeded

MAX_HEADER_CHARS: Final = 4096  #: of one header; a long URL twice and two hashes stay below
MAX_CHALLENGES: Final = 16  #: of one answer that are looked at; servers send one or two

_WORD = re.compile(r'[\s,]*([^\s,="]+)\s*')
_VALUE = re.compile(r'=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(slots=True, frozen=True)
class Challenge:
    """One scheme that a server offers, or one that a client answers with."""

    scheme: str  #: in lower case, such as ``digest``
    parameters: Mapping[str, str] = field(default_factory=dict)  #: names in lower case, values without quotes


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """All challenges of the ``WWW-Authenticate`` headers of an answer, in order.

    What follows a fault in a header is left out: the others may do.

    Args:
        headers: their values; commas part both parameters and challenges.

    Raises:
        LimitExceeded: a header is over `MAX_HEADER_CHARS`.
    """
    found: list[Challenge] = []
    for header in headers:
        check_length(header)
        found += _split(header)
    return found[:MAX_CHALLENGES]


def parse_parameters(text: str) -> dict[str, str]:
    """The parameters of credentials, behind the scheme: names in lower case, values without quotes; of two, the first counts."""
    challenges = _split(f"x {text}")
    return dict(challenges[0].parameters) if challenges else {}


def check_length(header: str) -> None:
    """Raise LimitExceeded where a header is longer than anybody needs."""
    if len(header) > MAX_HEADER_CHARS:
        raise LimitExceeded("characters of an authentication header", len(header), MAX_HEADER_CHARS)


def quoted(value: str) -> str:
    """A value as a quoted string (RFC 9110 §5.6.4); line ends would end the header and become spaces."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\r", " ").replace("\n", " ") + '"'


def _split(header: str) -> list[Challenge]:
    """A word with ``=`` behind it is a parameter of the last word without one, which is a scheme."""
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    at = 0
    while (word := _WORD.match(header, at)) is not None:
        name, at = word[1].lower(), word.end()
        value = _VALUE.match(header, at)
        if value is None:
            parameters = {}
            found.append(Challenge(name, parameters))
        else:
            at = value.end()
            parameters.setdefault(name, value[2] if value[1] is None else _ESCAPED.sub(r"\1", value[1]))
    return found
