"""What applications use, as a message."""

from __future__ import annotations

from lalmesh.errors import InvalidName, LimitExceeded, RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.rpc.lalmesh.v1 import control_pb2
from lalmesh.runtime.scheduling.control import MAX_APPS, AppFigures, AppUsage

_ANY_NAME = "x"


def parse_app_usage(message: control_pb2.AppUsage) -> AppUsage:
    """What applications with limits use.

    Raises:
        RemoteProtocolError: a peer must not send it.
    """
    if len(message.apps) > MAX_APPS:
        raise LimitExceeded("applications", len(message.apps), MAX_APPS)
    return AppUsage(tuple(map(_parse_figures, message.apps)))


def serialize_app_usage(usage: AppUsage) -> control_pb2.AppUsage:
    """What applications with limits use, as a message."""
    figures = [
        control_pb2.AppFigures(app=app.app, publishers=app.publishers, players=app.players, egress_bps=app.egress_bps)
        for app in usage.apps[:MAX_APPS]
    ]
    return control_pb2.AppUsage(apps=figures)


def _parse_figures(message: control_pb2.AppFigures) -> AppFigures:
    try:
        app = StreamKey.of(message.app, _ANY_NAME).app
    except InvalidName as error:
        raise RemoteProtocolError(str(error)) from None
    return AppFigures(app=app, publishers=message.publishers, players=message.players, egress_bps=message.egress_bps)
