"""Publishers and players by the hundred, and what they meet: what the commands bench and delay do.

What is reckoned (`_reckoning`, `_matching`), read (`_http_reading`, `_websocket`, `_talks`) and made (`_media`, `_tape`)
knows no socket and no clock. The shells around it (`_wire`, `_pacing`, `_sweep`) are made for the processor: bytes to send are made
once for all publishers, and what nobody looks at is thrown away inside the kernel.
"""

from __future__ import annotations

from lalmesh.client.load._bench import Bench
from lalmesh.client.load._delay import DelayReport, DelayRow, delay_as_text, measure_delay
from lalmesh.client.load._media import Media, made_media, media_of_tags
from lalmesh.client.load._plan import NotPossible, Plan, raise_file_limit
from lalmesh.client.load._reckoning import Spread
from lalmesh.client.load._report import Report, as_text

__all__ = [
    "Bench",
    "DelayReport",
    "DelayRow",
    "Media",
    "NotPossible",
    "Plan",
    "Report",
    "Spread",
    "as_text",
    "delay_as_text",
    "made_media",
    "measure_delay",
    "media_of_tags",
    "raise_file_limit",
]
