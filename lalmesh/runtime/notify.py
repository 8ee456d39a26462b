"""Receivers of events, as the configuration has them: who is told, of what, in which form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from lalmesh.runtime.event_kinds import KINDS, EventKind

MAX_RECEIVERS = 32  #: each reads every event of the log
MAX_URL_CHARS = 2048
DEFAULT_TIMEOUT_S = 5.0
DEFAULT_GIVE_UP_S = 86_400.0  #: a receiver may be away for a day
ASKED_FOR = frozenset({EventKind.UPDATE})  #: what nobody gets who does not name it: of 10,000 streams it is 17 MB each time
EVENT = "{event}"  #: in a URL: the name of the event in the receiver's format

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class NotifyFormat(Enum):
    """What a receiver gets."""

    LALMESH = "lalmesh"
    LAL = "lal"


@dataclass(slots=True, frozen=True, kw_only=True)
class Receiver:
    """Somebody who is told of events."""

    name: str  #: by which it is known from one start to the next
    url: str = ""  #: of all kinds that `urls` has not; empty: those are not sent
    urls: Mapping[EventKind, str] = field(default_factory=dict)
    kinds: frozenset[EventKind] = frozenset()  #: that are sent; empty: all, but updates only in the form of lal
    format: NotifyFormat = NotifyFormat.LALMESH
    secret_file: str = ""  #: empty: signed with the common secret, where there is one
    secret: str = field(default="", repr=False)
    timeout_s: float = DEFAULT_TIMEOUT_S  #: for one answer
    give_up_s: float = DEFAULT_GIVE_UP_S  #: after so long an event that is refused or not answered is a dead letter

    def url_of(self, kind: EventKind) -> str:
        """Where an event of that kind goes, ``{event}`` still in it; empty: nowhere."""
        if self.kinds and kind not in self.kinds:
            return ""
        is_sent = kind in self.kinds or kind not in ASKED_FOR or self.format is NotifyFormat.LAL
        return self.urls.get(kind, self.url if is_sent else "")


_BOUNDS = {"timeout_s": (0.1, 60.0), "give_up_s": (1.0, 30 * 86_400.0)}


def parse_receiver(text: str) -> Receiver:
    """A receiver of a line: ``NAME URL [format=lal] [events=KIND+KIND] [secret_file=PATH] [timeout_s=N] [give_up_s=N]``.

    Raises:
        ValueError: it is none.
    """
    name, url, *options = text.split() if len(text.split()) > 1 else ("", "")
    if not _NAME.fullmatch(name):
        raise ValueError("a receiver is NAME URL [OPTION=VALUE ...]; names have letters, digits and . _ -")
    check_url(url)
    values = dict(_option(option) for option in options)
    if len(values) != len(options):
        raise ValueError("an option is given twice")
    made = NotifyFormat(values.get("format", NotifyFormat.LALMESH.value))
    kinds = frozenset(_kind(word) for word in values["events"].split("+")) if "events" in values else frozenset[EventKind]()
    return Receiver(
        name=name,
        url=url,
        kinds=kinds,
        format=made,
        secret_file=values.get("secret_file", ""),
        timeout_s=_seconds(values, "timeout_s", DEFAULT_TIMEOUT_S),
        give_up_s=_seconds(values, "give_up_s", DEFAULT_GIVE_UP_S),
    )


def check_url(url: str) -> None:
    """Refuse what cannot be sent to.

    Raises:
        ValueError: it is no http or https URL.
    """
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_url = False
    if not is_url or len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise ValueError(f"{url[:80]!r} is no http or https URL")


def _option(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    allowed = ("format", "events", "secret_file", *_BOUNDS)
    if not separator or not value or name not in allowed:
        raise ValueError(f"{text[:50]!r} is none of {', '.join(allowed)}, each with = and a value")
    if name == "format" and value not in [each.value for each in NotifyFormat]:
        raise ValueError(f"format {value[:50]!r} is none of {', '.join(each.value for each in NotifyFormat)}")
    return name, value


def _kind(word: str) -> EventKind:
    try:
        return EventKind(word.removeprefix("on_"))
    except ValueError:
        raise ValueError(f"event {word[:50]!r} is none of {', '.join(kind.value for kind in KINDS)}") from None


def _seconds(values: Mapping[str, str], name: str, otherwise: float) -> float:
    low, high = _BOUNDS[name]
    try:
        value = float(values.get(name, otherwise))
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise ValueError(f"{name} has to be a number from {low:g} to {high:g}")
    return value
