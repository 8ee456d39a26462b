"""A profile of the running process: what its threads did, sampled for some seconds, for speedscope.app or a flame graph.

A thread of its own looks at the stacks of all others every `INTERVAL_S`. It is there only while a profile is made.
What is shown is time on the wall: a thread that waits in a selector or for the interpreter is seen waiting.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FrameType

INTERVAL_S = 0.005  #: of samples: 2.4% of a core, measured with four threads
MAX_SECONDS = 60.0
MAX_DEPTH = 200  #: frames of a stack; deeper ones are cut at the root
MAX_STACKS = 50_000  #: different ones; more are counted as one

Stack = tuple[str, ...]  #: from the root on, ``function (file:line)`` each

_OTHERS: Stack = ("(too many different stacks)",)


@dataclass(slots=True)
class Profile:
    """What was seen."""

    seconds: float
    interval_s: float = INTERVAL_S
    samples: dict[str, Counter[Stack]] = field(default_factory=dict)  #: by the name of the thread

    def add(self, thread: str, stack: Stack) -> None:
        """One look at a thread."""
        seen = self.samples.setdefault(thread, Counter())
        seen[stack if stack in seen or len(seen) < MAX_STACKS else _OTHERS] += 1

    def collapsed(self) -> str:
        """A line a stack, frames with ``;`` between and how often it was seen at the end: what flame graph tools take."""
        return "".join(
            f"{';'.join((thread, *stack))} {count}\n"
            for thread, seen in sorted(self.samples.items())
            for stack, count in sorted(seen.items())
        )

    def speedscope(self, name: str) -> str:
        """JSON of speedscope, a profile a thread, with `name` as its title."""
        frames: dict[str, int] = {}
        profiles = [self._sampled(thread, seen, frames) for thread, seen in sorted(self.samples.items())]
        return json.dumps(
            {
                "$schema": "https://www.speedscope.app/file-format-schema.json",
                "name": name,
                "exporter": "lalmesh",
                "shared": {"frames": [{"name": frame} for frame in frames]},
                "profiles": profiles,
            }
        )

    def _sampled(self, thread: str, seen: Mapping[Stack, int], frames: dict[str, int]) -> dict[str, object]:
        samples = [[frames.setdefault(frame, len(frames)) for frame in stack] for stack in seen]
        weights = [count * self.interval_s for count in seen.values()]
        return {
            "type": "sampled",
            "name": thread,
            "unit": "seconds",
            "startValue": 0,
            "endValue": sum(weights),
            "samples": samples,
            "weights": weights,
        }


def sample(seconds: float, stopped: threading.Event, *, clock: Callable[[], float] = time.monotonic) -> Profile:
    """Look for `seconds`, at most `MAX_SECONDS`, or until `stopped` is set. Blocks: call it in a thread that does nothing else."""
    begun_at = clock()
    profile, end = Profile(seconds), begun_at + min(seconds, MAX_SECONDS)
    me = threading.get_ident()
    while clock() < end and not stopped.wait(INTERVAL_S):
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident != me:
                profile.add(names.get(ident, str(ident)), stack_of(frame))
    profile.seconds = clock() - begun_at
    profile.interval_s = _interval_s(profile)
    return profile


def stack_of(frame: FrameType | None) -> Stack:
    """The frames from the root on."""
    names: list[str] = []
    while frame is not None and len(names) < MAX_DEPTH:
        code = frame.f_code
        names.append(f"{code.co_qualname} ({_short(code.co_filename)}:{code.co_firstlineno})".replace(";", ","))
        frame = frame.f_back
    return tuple(reversed(names))


def _short(file_name: str) -> str:
    """The last parts of a path, enough to find the file."""
    return "/".join(file_name.rsplit("/", 3)[-3:])


def _interval_s(profile: Profile) -> float:
    """What a sample stands for: looks are late where others hold the interpreter."""
    looks = max((sum(seen.values()) for seen in profile.samples.values()), default=0)
    return profile.seconds / looks if looks else INTERVAL_S
