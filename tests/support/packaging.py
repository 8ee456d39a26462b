"""What packagers make of units, and what a WebSocket client reads of it; one picture and its track to begin with."""

from __future__ import annotations

from collections.abc import Iterable

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

from lalmesh.codec import build_track
from lalmesh.media import AccessUnit, Codec, TrackSet
from lalmesh.remux import Packager, Parts
from support.edge_fakes import AUDIO

# of ffmpeg's libx264, 176 x 144
H264 = build_track(
    1, Codec.H264, bytes.fromhex("01640009ffe1001867640009acd94626c044000003000400000300783c48965801000468efbcb0fdf8f800")
)
BOTH = TrackSet((H264, AUDIO), 1)


def packaged(packager: Packager, units: Iterable[AccessUnit], tracks: TrackSet = BOTH) -> list[bytes]:
    """What each unit added."""
    messages = []
    for unit in units:
        parts = Parts()
        size = packager.package(unit, tracks, parts)
        messages.append(b"".join(parts))
        assert size == len(messages[-1])
    return messages


def received(wire: bytes) -> list[bytes]:
    """The messages that a WebSocket client gets, none of them text."""
    messages = [message for message in messages_of(wire) if isinstance(message, bytes)]
    assert messages == messages_of(wire)
    return messages


def messages_of(wire: bytes) -> list[str | bytes]:
    """The messages that a WebSocket client gets, text and binary."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(wire)
    messages: list[str | bytes] = []
    text, data = "", b""
    for event in client.events():
        if isinstance(event, TextMessage):
            text += event.data
        elif isinstance(event, BytesMessage):
            data += bytes(event.data)
        else:
            raise AssertionError(event)
        if event.message_finished:
            messages.append(text or data)
            text, data = "", b""
    return messages
