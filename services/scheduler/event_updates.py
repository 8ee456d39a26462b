"""Updates: all streams of the cluster, in as many events as it takes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lalmesh.runtime.events import MAX_FACTS_BYTES

MAX_PART_BYTES = MAX_FACTS_BYTES - 4096  #: of the streams of one event, as JSON

UpdateParts = Sequence[Mapping[str, Any]]  #: streams, each as /api/stat/group has it


async def parts_of(groups: UpdateParts) -> list[list[Mapping[str, Any]]]:
    """The streams, so many to a part that each fits an event; one part at least. One that fits none goes without its players.

    What else there is to do is done between two streams.
    """
    parts: list[list[Mapping[str, Any]]] = [[]]
    size = 0
    for group in groups:
        shown = group
        needed = len(json.dumps(shown, ensure_ascii=False).encode()) + 1
        if needed > MAX_PART_BYTES:
            shown = {**group, "subs": None}
            needed = len(json.dumps(shown, ensure_ascii=False).encode()) + 1
        if size + needed > MAX_PART_BYTES and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(shown)
        size += needed
        await asyncio.sleep(0)
    return parts
