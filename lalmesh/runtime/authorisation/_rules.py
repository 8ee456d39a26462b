"""Which methods guard what: rules on one line each, of which the first that matches counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from fnmatch import translate

from lalmesh.runtime.authorisation._request import Action, Family, Request

MAX_RULES = 1000  #: each is looked at for every request
MAX_RULE_CHARS = 2048
ANY = "any"


class MethodName(Enum):
    """How clients are let in."""

    OPEN = "open"  #: everybody
    DENY = "deny"  #: nobody
    LAL_SECRET = "lal_secret"
    SIGNED = "signed"
    JWT = "jwt"
    PASSWORD = "password"
    CALLBACK = "callback"


@dataclass(slots=True, frozen=True)
class Rule:
    """Who may do something with the streams of a pattern: whom one of the methods lets in."""

    actions: frozenset[Action]
    families: frozenset[Family]
    pattern: re.Pattern[str]  #: of ``app/name``
    methods: tuple[MethodName, ...]  #: in the order in which they are asked

    def matches(self, request: Request) -> bool:
        """Whether it is about `request`."""
        is_about = request.action in self.actions and request.family in self.families
        return is_about and self.pattern.match(str(request.stream)) is not None


def parse_rule(text: str) -> Rule:
    """A rule as it is written: ``ACTION[:PROTOCOL|PROTOCOL...] PATTERN METHOD [METHOD...]``.

    ``play:flv|hls live/* signed jwt``, ``any admin/* deny``. The pattern has ``*``, ``?`` and ``[]`` as in file names; ``*`` also
    goes over slashes.

    Raises:
        ValueError: it is none; the message says what is wrong.
    """
    words = text.split()
    if len(words) < 3 or len(text) > MAX_RULE_CHARS:
        raise ValueError("a rule is ACTION[:PROTOCOLS] PATTERN METHOD...")
    action, colon, protocols = words[0].partition(":")
    try:
        actions = frozenset(Action) if action == ANY else frozenset({Action(action)})
    except ValueError:
        raise ValueError(f"{action[:50]!r} is none of publish, play, any") from None
    try:
        families = frozenset(map(Family, protocols.split("|"))) if colon else frozenset(Family)
    except ValueError:
        raise ValueError(f"protocols are {', '.join(family.value for family in Family)}") from None
    try:
        methods = tuple(dict.fromkeys(map(MethodName, words[2:])))
    except ValueError:
        raise ValueError(f"methods are {', '.join(name.value for name in MethodName)}") from None
    if len(methods) > 1 and {MethodName.OPEN, MethodName.DENY} & set(methods):
        raise ValueError("open and deny stand alone")
    return Rule(actions, families, re.compile(translate(words[1])), methods)
