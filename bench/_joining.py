"""Players that come one after the other (`joiners.c`), and how long they wait for their first frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from support.process import Child

from bench import _load

GRACE_S = 10.0  #: that `joiners.c` gives the last ones


@dataclass(slots=True, frozen=True)
class Joins:
    """What came of them."""

    players: int
    joined: int  #: that had a first frame
    closed: int  #: by the server
    p50_ms: float  #: from the call of connect until a key frame is there whole
    p99_ms: float
    worst_ms: float
    late_ms: float  #: the furthest that the program was behind with letting them come
    within_s: float  #: in which they came

    @property
    def problem(self) -> str:
        """What went wrong, if anything."""
        if self.joined < self.players:
            return f"{self.players - self.joined} of {self.players} players had no first frame"
        return f"{self.closed} players were closed" if self.closed else ""


def start(url: tuple[str, ...], players: int, within_s: float, stay_s: float, log: Path) -> Child:
    """Let `players` come within `within_s`, each for `stay_s` (0: until its first frame); `url` is as `players.c` takes it."""
    log.unlink(missing_ok=True)
    return Child([_load.build("joiners"), *url, str(players), str(within_s), str(stay_s)], log=log)


def result(child: Child, within_s: float, stay_s: float) -> Joins:
    """What came of them, once they have left."""
    child.wait(within_s + stay_s + GRACE_S + _load.MARGIN_S)
    try:
        return Joins(**json.loads(child.output().splitlines()[-1]))
    except (IndexError, json.JSONDecodeError):
        raise AssertionError(f"the joining players failed: {child.describe()}") from None
