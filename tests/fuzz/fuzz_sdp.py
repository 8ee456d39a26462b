"""Fuzz: session descriptions; what is read is written again and read the same, and its formats are taken as tracks."""

from contextlib import suppress

import atheris
from fuzz._harness import fuzz

with atheris.instrument_imports(include=["lalmesh"]):
    from lalmesh.errors import RemoteProtocolError, UnsupportedError
    from lalmesh.protocol.rtp import PayloadFormat, build_depacketizer
    from lalmesh.protocol.sdp import MediaFormat, parse_media, parse_session


def take(told: MediaFormat) -> None:
    with suppress(RemoteProtocolError, UnsupportedError):
        build_depacketizer(1, PayloadFormat(told.encoding_name, told.clock_rate_hz, told.channels, told.parameters))


def target(data: bytes) -> None:
    description = parse_session(data)
    again = parse_session(description.serialize())
    assert again.media == description.media
    for media in description.media:
        assert parse_media(media.with_control("trackID=0").serialize()).formats == media.formats
        for told in media.formats:
            take(told)


fuzz(target)
