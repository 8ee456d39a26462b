from __future__ import annotations

import pytest

from lalmesh.runtime.event_outbox import EventOutbox
from lalmesh.runtime.ownership import NodeId
from services.edge.client_events import ClientEvents


async def _keep(events: object) -> None:
    pass


@pytest.mark.parametrize(
    ("raw_query", "asked", "shown"),
    [
        (False, "rtmp://u:secret@h/live?token=t&a=1", "rtmp://h/live?token=***&a=1"),
        (True, "rtmp://u:secret@h/live?token=t&a=1", "rtmp://h/live?token=t&a=1"),
        (False, "rtmp://u:secret@h/live", "rtmp://h/live"),
    ],
)
def test_what_an_encoder_connects_to_is_told_without_its_login(raw_query: bool, asked: str, shown: str) -> None:
    outbox = EventOutbox(NodeId("e", b"\1" * 8), _keep)
    ClientEvents(outbox, raw_query=raw_query).rtmp_connected("00ab", "192.0.2.1:5", "live", "FMLE/3.0", asked, "")
    [event] = outbox._waiting
    assert event.facts == {
        "session_id": "00ab", "remote_addr": "192.0.2.1:5", "app": "live", "flash_ver": "FMLE/3.0", "tc_url": shown
    }  # fmt: skip
