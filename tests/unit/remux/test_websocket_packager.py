"""FLV over WebSocket: whole binary messages that a WebSocket client reads back as the same FLV."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.edge_fakes import AUDIO
from support.packaging import packaged, received

from lalmesh.container.flv import BodyMuxer
from lalmesh.media import AccessUnit, TrackSet
from lalmesh.remux import FlvPackager, Parts, WebSocketFlvPackager

TRACKS = TrackSet((AUDIO,), 1)


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=5))
def test_each_tag_is_one_message(payloads: list[bytes]) -> None:
    units = [AccessUnit(2, number * 1920, 0, True, payload) for number, payload in enumerate(payloads)]
    plain, framed = FlvPackager(BodyMuxer()), WebSocketFlvPackager(BodyMuxer())
    assert received(b"".join(packaged(framed, units, TRACKS))) == packaged(plain, units, TRACKS)


@pytest.mark.parametrize("size", [108, 109, 65_518, 65_519, 100_000])
def test_lengths_of_every_form_are_right(size: int) -> None:
    units = [AccessUnit(2, 0, 0, True, bytes(size))]  # a message is 17 bytes longer; forms change at 126 and 65536
    [framed] = packaged(WebSocketFlvPackager(BodyMuxer()), units, TRACKS)
    assert received(framed) == packaged(FlvPackager(BodyMuxer()), units, TRACKS)


def test_the_opening_is_whole_messages_with_the_file_header_in_the_first() -> None:
    messages = received(WebSocketFlvPackager(BodyMuxer()).start(TRACKS, 0))
    assert b"".join(messages) == FlvPackager(BodyMuxer()).start(TRACKS, 0)
    assert (len(messages), messages[0][:3], len(messages[0])) == (3, b"FLV", 13)


def test_changes_are_whole_messages() -> None:
    plain, framed = Parts(), Parts()
    FlvPackager(BodyMuxer()).change(TrackSet(), TRACKS, 0, plain)
    WebSocketFlvPackager(BodyMuxer()).change(TrackSet(), TRACKS, 0, framed)
    assert b"".join(received(b"".join(framed))) == b"".join(plain)
