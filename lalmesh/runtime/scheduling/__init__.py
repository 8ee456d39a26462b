"""The scheduler as its nodes see it: the interface, a client over gRPC, and membership.

The client is imported when it is asked for: the configuration, which every command reads, needs words of here, and no gRPC.
"""

from typing import TYPE_CHECKING, Any

from lalmesh.runtime.scheduling._interface import HlsSchedulerClient, SchedulerClient
from lalmesh.runtime.scheduling._membership import Membership
from lalmesh.runtime.scheduling.control import (
    AppUsage,
    Blacklist,
    BlacklistEntry,
    KickSessions,
    LiveSettings,
    RelayJob,
    RelayJobs,
    RelayState,
    RelayStatus,
)
from lalmesh.runtime.scheduling.hls import HlsAssigned, HlsEndpoint, HlsLimit, HlsReleased, HlsWanted, NamedStreams, RecordingRules
from lalmesh.runtime.scheduling.model import (
    MAX_ITEMS,
    MAX_LOCATE_S,
    NOT_ASKED,
    AskedUrl,
    Capacity,
    Claim,
    Drain,
    Endpoint,
    Evicted,
    GroupMoved,
    Held,
    HeldStream,
    Joined,
    Load,
    Move,
    NodeCommand,
    NodeReport,
    ReclaimWanted,
    Refusal,
    Refused,
    Released,
    Role,
    StreamFenced,
    StreamState,
    Wanted,
)

if TYPE_CHECKING:
    from lalmesh.runtime.scheduling._client import SERVICE, Dial, GrpcSchedulerClient

__all__ = [
    "MAX_ITEMS",
    "MAX_LOCATE_S",
    "NOT_ASKED",
    "SERVICE",
    "AppUsage",
    "AskedUrl",
    "Blacklist",
    "BlacklistEntry",
    "Capacity",
    "Claim",
    "Dial",
    "Drain",
    "Endpoint",
    "Evicted",
    "GroupMoved",
    "GrpcSchedulerClient",
    "Held",
    "HeldStream",
    "HlsAssigned",
    "HlsEndpoint",
    "HlsLimit",
    "HlsReleased",
    "HlsSchedulerClient",
    "HlsWanted",
    "Joined",
    "KickSessions",
    "LiveSettings",
    "Load",
    "Membership",
    "Move",
    "NamedStreams",
    "NodeCommand",
    "NodeReport",
    "ReclaimWanted",
    "RecordingRules",
    "Refusal",
    "Refused",
    "RelayJob",
    "RelayJobs",
    "RelayState",
    "RelayStatus",
    "Released",
    "Role",
    "SchedulerClient",
    "StreamFenced",
    "StreamState",
    "Wanted",
]

_OF_CLIENT = frozenset({"SERVICE", "Dial", "GrpcSchedulerClient"})


def __getattr__(name: str) -> Any:
    if name not in _OF_CLIENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lalmesh.runtime.scheduling import _client

    return getattr(_client, name)
