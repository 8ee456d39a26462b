"""What becomes of one key of lal here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

LalValue: TypeAlias = bool | int | str | tuple[str, ...]


class Fate(Enum):
    """What becomes of a key of lal. The value is said in reports."""

    MAPPED = "mapped"  #: a key here says the same
    DIFFERENT = "different meaning"  #: something here serves the purpose in another way
    NOTHING = "no meaning here"


@dataclass(slots=True, frozen=True, kw_only=True)
class Row:
    """One key of lal's configuration file."""

    key: str  #: ``rtmp.addr``
    absent: LalValue  #: what lal takes where the file does not have the key; its type is that of the key
    fate: Fate
    ours: tuple[str, ...]  #: keys here that it ends in, or that serve its purpose
    says: str  #: one sentence for whoever moves


def mapped(key: str, absent: LalValue, ours: str, says: str) -> Row:
    """A row of a key that keeps its meaning; `ours` has blanks between keys."""
    return Row(key=key, absent=absent, fate=Fate.MAPPED, ours=tuple(ours.split()), says=says)


def different(key: str, absent: LalValue, ours: str, says: str) -> Row:
    """A row of a key whose purpose is served in another way."""
    return Row(key=key, absent=absent, fate=Fate.DIFFERENT, ours=tuple(ours.split()), says=says)


def nothing(key: str, absent: LalValue, says: str) -> Row:
    """A row of a key that has no meaning here."""
    return Row(key=key, absent=absent, fate=Fate.NOTHING, ours=(), says=says)
