"""What lal's API is made of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lalmesh.runtime.sessions import SessionDirectory
from services.scheduler.api import Operation
from services.scheduler.blacklisting import Blacklisting
from services.scheduler.event_updates import UpdateParts
from services.scheduler.kicks import Kicks
from services.scheduler.lal_api._control import LalControl
from services.scheduler.lal_api._groups import Groups
from services.scheduler.lal_api._models import LalInfo
from services.scheduler.lal_api._operations import operations
from services.scheduler.lal_names import API_VERSION, NOTIFY_VERSION, bin_info, lal_time, lal_version
from services.scheduler.peers import Peers
from services.scheduler.relays import Relays
from services.scheduler.service import SchedulerService


def lal_operations(
    server_id: Callable[[], str],
    service: SchedulerService,
    peers: Peers,
    relays: Relays,
    sessions: SessionDirectory,
    kicks: Kicks,
    blacklisting: Blacklisting,
    *,
    match_app: bool,
) -> list[Operation]:
    """The operations of lal's API, answered for the whole cluster, which calls itself by `server_id` whenever it is asked."""
    groups = Groups(service, peers, sessions, match_app=match_app)
    control = LalControl(
        groups=groups,
        relays=relays,
        recordings=service.recordings,
        kicks=kicks,
        blacklisting=blacklisting,
    )
    info = LalInfo(
        server_id=server_id(),
        bin_info=bin_info(),
        lal_version=lal_version(),
        api_version=API_VERSION,
        notify_version=NOTIFY_VERSION,
        WebUiVersion=lal_version(),
        start_time=lal_time(time.time_ns() // 1000),
    )
    return operations(groups, control, lambda: info.model_copy(update={"server_id": server_id()}))


def lal_groups(service: SchedulerService, peers: Peers, sessions: SessionDirectory) -> Callable[[], Awaitable[UpdateParts]]:
    """Gives all streams as the events of lal list them."""
    groups = Groups(service, peers, sessions)

    async def show() -> UpdateParts:
        shown: list[Mapping[str, Any]] = []
        for group in await groups.show_all():
            shown.append(group.model_dump(mode="json"))
            await asyncio.sleep(0)  # there may be thousands of them
        return shown

    return show
