"""How a publisher named its stream, as part of a record: left out where it says nothing."""

from __future__ import annotations

from typing import Any

from lalmesh.runtime.scheduling.model import NOT_ASKED, AskedUrl


def dump_asked(asked: AskedUrl) -> dict[str, Any]:
    """The members of a record."""
    return {} if asked == NOT_ASKED else {"asked": asked._asdict()}


def parse_asked(value: dict[str, Any]) -> AskedUrl:
    """What a record says; raises whatever does not fit."""
    asked = value.get("asked")
    return NOT_ASKED if asked is None else AskedUrl(str(asked["app"]), str(asked["query"]))
