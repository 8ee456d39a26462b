"""Fuzz: a chunk stream, whole and split in two: both give the same messages."""

import atheris
from fuzz._harness import fuzz, halves

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.errors import RemoteProtocolError
    from lalmesh.protocol.rtmp import ChunkReader, Message


def read(*parts: bytes) -> tuple[list[Message], str]:
    """The messages in `parts`, and the error that ended them."""
    reader = ChunkReader()
    messages: list[Message] = []
    try:
        for part in parts:
            messages.extend(reader.feed(part))
    except RemoteProtocolError as error:
        return messages, error.reason
    return messages, ""


def target(data: bytes) -> None:
    parts = halves(data)
    whole, split = read(b"".join(parts)), read(*parts)
    if whole[1] == split[1] == "":
        assert whole == split


fuzz(target)
