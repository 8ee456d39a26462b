"""Links: one two-way stream a pair of nodes that carries all the streams between them (docs/design.md §4)."""

from lalmesh.runtime.link._dialler import ChannelFactory, GrpcLink, LinkPool
from lalmesh.runtime.link._direct import DirectLink
from lalmesh.runtime.link._interface import (
    CloseReason,
    IncomingPublication,
    IncomingSubscription,
    OriginEndpoint,
    OriginLink,
    Outlet,
    PublicationEvents,
    PublicationPort,
    PublicationRequest,
    Subscription,
    SubscriptionEvents,
    SubscriptionPort,
    SubscriptionRequest,
)
from lalmesh.runtime.link._limits import LinkCounters, LinkLimits
from lalmesh.runtime.link._listener import LinkServicer
from lalmesh.runtime.link._session import LinkSession

__all__ = [
    "ChannelFactory",
    "CloseReason",
    "DirectLink",
    "GrpcLink",
    "IncomingPublication",
    "IncomingSubscription",
    "LinkCounters",
    "LinkLimits",
    "LinkPool",
    "LinkServicer",
    "LinkSession",
    "OriginEndpoint",
    "OriginLink",
    "Outlet",
    "PublicationEvents",
    "PublicationPort",
    "PublicationRequest",
    "Subscription",
    "SubscriptionEvents",
    "SubscriptionPort",
    "SubscriptionRequest",
]
