"""From media messages as they travel to `MediaMessage` events: one or, out of an aggregate, several."""

from __future__ import annotations

from collections.abc import Iterator

from lalmesh.protocol.rtmp._chunk import Message
from lalmesh.protocol.rtmp._events import MediaMessage
from lalmesh.protocol.rtmp._messages import AUDIO_VIDEO_TYPES, DATA_TYPES, MessageType, normalise_data, split_aggregate


def media_messages(message: Message) -> Iterator[MediaMessage]:
    """Give what a media message holds. Empty ones are left out: some encoders send them to keep a connection open.

    Raises:
        RemoteProtocolError: while iterating: an aggregate is cut off, data is not AMF.
    """
    if message.type_id == MessageType.AGGREGATE:
        for part in split_aggregate(message):
            if part.type_id != MessageType.AGGREGATE:
                yield from media_messages(part)
    elif message.type_id in AUDIO_VIDEO_TYPES:
        if message.payload:
            yield MediaMessage(message.stream_id, message.type_id, message.timestamp_ms, message.payload)
    elif message.type_id in DATA_TYPES:
        payload = normalise_data(message)
        if payload:
            yield MediaMessage(message.stream_id, MessageType.DATA_AMF0.value, message.timestamp_ms, payload)
