"""What hls nodes ask the scheduler, and what it tells them (docs/design.md §5, Fencing).

```
                  named: HlsAssigned            raise_hls_limit (the epoch stays)
  nobody ------------------------> owner ---------------------------> owner
                                   owner -- release_hls, exact -----> nobody, number kept (`hls_remember_s`)
                                   owner dead, stream live ---------> another owner, higher epoch
                                   owner dead, stream gone ---------> nobody, number kept
```
"""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, HlsOwner
from lalmesh.runtime.recording import RecordRule


@dataclass(slots=True, frozen=True)
class NamedStreams:
    """What a name means that comes without an application."""

    streams: tuple[StreamKey, ...] = ()  #: that are there; some of them where they are many
    fetched: StreamKey | None = None  #: where none is: the one that a relay fetches, or would if somebody wanted it


@dataclass(slots=True, frozen=True)
class HlsWanted:
    """An hls node asks who segments a stream."""

    stream: StreamKey
    after: Epoch | None = None  #: of the owner that it found not working: the answer is looked up afresh; None: none was


@dataclass(slots=True, frozen=True)
class HlsLimit:
    """An owner is about to use media sequence numbers below `limit`."""

    stream: StreamKey
    epoch: Epoch
    limit: int


@dataclass(slots=True, frozen=True)
class HlsReleased:
    """An owner hands over."""

    stream: StreamKey
    epoch: Epoch
    next_number: int  #: the first media sequence number that it has not used


@dataclass(slots=True, frozen=True)
class HlsEndpoint:
    """Where an hls node answers HTTP."""

    node: str
    host: str
    port: int


@dataclass(slots=True, frozen=True)
class HlsAssigned:
    """To the new owner: begin. To the owner before: stop. A lower epoch than one that is known says nothing any more."""

    owner: HlsOwner


@dataclass(slots=True, frozen=True)
class RecordingRules:
    """To every hls node, when it joins and whenever something changes: all rules, in their order.

    The whole list and not each stream's part of it: rules are few, a node matches its own streams, retention needs all of them
    anyway, and there is nothing that could get out of step.
    """

    rules: tuple[RecordRule, ...]
