"""WebSockets of servers, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from lalmesh.client.load._websocket import WebSocketReader, binary_message, websocket_accept, websocket_key
from lalmesh.errors import RemoteProtocolError

SMALL, MIDDLE, LARGE = b"a" * 10, b"b" * 300, b"c" * 70_000
WIRE = (
    b"\x01\x02no\x80\x03way"
    + b"\x02\x0a"
    + SMALL
    + b"\x80\x7e\x01\x2c"
    + MIDDLE
    + b"\x89\x02hi"
    + b"\x82\x7f"
    + len(LARGE).to_bytes(8, "big")
    + LARGE
)  # two messages of two frames, the first of text; a ping; one of one
CLOSE = b"\x88\x0b\x03\xe9going on "


@given(st.lists(st.integers(0, len(WIRE)), max_size=30))
def test_any_split_gives_the_same_bytes(cuts: list[int]) -> None:
    reader, got, before = WebSocketReader(), b"", 0
    for cut in [*sorted(cuts), len(WIRE)]:
        got += reader.feed(WIRE[before:cut])
        before = cut
    assert got == SMALL + MIDDLE + LARGE
    assert reader.data_to_send() == b"\x8a\x82\0\0\0\0hi"
    assert reader.data_to_send() == b""


@given(st.integers(0, len(CLOSE)))
def test_a_close_is_told_with_its_code_and_words(cut: int) -> None:
    reader = WebSocketReader()
    assert reader.feed(CLOSE[:cut]) + reader.feed(CLOSE[cut:] + b"\x82\x01x") == b""
    assert reader.closed == "closed by the server: 1001 going on"


@pytest.mark.parametrize("frame", [b"\x82\x81", b"\xc2\x01", b"\x89\x7e\x01\x00", b"\x83\x00"])
def test_frames_that_there_must_not_be_are_refused(frame: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        WebSocketReader().feed(frame)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 0xFFFF, 0x10000])
def test_what_is_sent_is_one_message_to_a_server(size: int) -> None:
    server, data = Connection(ConnectionType.SERVER), bytes(range(256)) * 257
    server.receive_data(binary_message(data[:size]))
    [*begun, last] = [event for event in server.events() if isinstance(event, BytesMessage)]
    assert b"".join(bytes(event.data) for event in (*begun, last)) == data[:size]
    assert last.message_finished


def test_the_key_of_the_standard_has_its_answer() -> None:
    assert websocket_accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 §1.3
    assert websocket_key(b"the sample nonce") == "dGhlIHNhbXBsZSBub25jZQ=="
