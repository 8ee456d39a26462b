from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.rtsp._messages import (
    Headers,
    InterleavedFrame,
    Message,
    Request,
    Response,
    serialize_frame,
    serialize_frame_header,
)
from lalmesh.protocol.rtsp._reader import (
    FRAME_WEIGHT_BYTES,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADER_FIELDS,
    MESSAGE_WEIGHT_BYTES,
    WEIGHT_OF_A_BURST_BYTES,
    WEIGHT_OF_A_READ_BYTES,
    MessageReader,
)


def read(*parts: bytes) -> list[Message]:
    reader = MessageReader()
    return [message for part in parts for message in reader.feed(part)]


# RFC 2326 §10.2
DESCRIBE = (
    b"DESCRIBE rtsp://server.example.com/fizzle/foo RTSP/1.0\r\nCSeq: 312\r\n"
    b"Accept: application/sdp, application/rtsl, application/mheg\r\n\r\n"
)
# RFC 2326 §10.12
FRAME = b"$\x00\x00\x05hello"
PLAYING = (
    b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 12345678\r\nRTP-Info: url=rtsp://foo.com/bar.file;seq=232433;rtptime=972948234\r\n\r\n"
)


def test_the_request_of_rfc_2326_is_read() -> None:
    (request,) = read(DESCRIBE)
    assert isinstance(request, Request)
    assert (request.method, request.uri) == ("DESCRIBE", "rtsp://server.example.com/fizzle/foo")
    assert request.headers.get("cseq") == "312"
    assert request.headers.options("ACCEPT") == ["application/sdp", "application/rtsl", "application/mheg"]
    assert request.serialize() == DESCRIBE


def test_frames_lie_between_messages() -> None:
    first, frame, second = read(PLAYING + FRAME + DESCRIBE)
    assert isinstance(first, Response)
    assert (first.status, first.reason, first.headers.get("session")) == (200, "OK", "12345678")
    assert frame == InterleavedFrame(0, b"hello")
    assert isinstance(second, Request)


def test_a_body_is_as_long_as_it_says() -> None:
    body = b"v=0\r\n\r\n$\x00\x00\x01"
    sent = Request(method="ANNOUNCE", uri="rtsp://h/a", headers=Headers((("CSeq", "1"),)), body=body)
    (got, frame) = read(sent.serialize() + FRAME)
    assert isinstance(got, Request)
    assert got.body == body
    assert frame == InterleavedFrame(0, b"hello")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"OPTIONS * RTSP/1.0\nCSeq: 1\n\n",
        b"OPTIONS  *  RTSP/1.0 \r\ncseq:1\r\n\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq:\r\n 1\r\n\r\n",
    ],
)
def test_the_dialects_of_clients_are_read(data: bytes) -> None:
    (request,) = read(data)
    assert isinstance(request, Request)
    assert (request.method, request.uri, request.headers.get("CSeq")) == ("OPTIONS", "*", "1")


def test_a_url_may_have_spaces_and_bytes_of_any_kind() -> None:
    (request,) = read(b"DESCRIBE rtsp://h/my cam/\xff\xc3\xbc RTSP/1.0\r\nCSeq: 1\r\n\r\n")
    assert isinstance(request, Request)
    assert request.uri == "rtsp://h/my cam/\udcffü"
    assert read(request.serialize()) == [request]


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01",  # TLS
        b"OPTIONS *\r\n\r\n",
        b"OPTIONS * RTSP/x\r\n\r\n",
        b"RTSP/1.0 20 OK\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nno header\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\n: x\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"OPTIONS " + b"a" * MAX_HEAD_BYTES,
        b"OPTIONS " + b"a" * MAX_HEAD_BYTES + b" RTSP/1.0\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\n" + b"a: b\r\n" * (MAX_HEADER_FIELDS + 1) + b"\r\n",
        b"OPTIONS * RTSP/1.0\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
    ],
)
def test_messages_have_bounds(data: bytes) -> None:
    with pytest.raises(LimitExceeded):
        read(data)


def test_good_messages_come_before_an_error() -> None:
    messages = MessageReader().feed(DESCRIBE + b"\x00")
    assert isinstance(next(messages), Request)
    with pytest.raises(RemoteProtocolError):
        next(messages)


def test_a_line_end_inside_a_value_makes_no_header() -> None:
    sent = Response(status=200, headers=Headers((("CSeq", "1\r\nEvil: 1"),)))
    (got,) = read(sent.serialize())
    assert isinstance(got, Response)
    assert "Evil" not in got.headers


def test_a_frame_that_no_header_can_tell_is_our_own_error() -> None:
    for channel, size_bytes in ((256, 1), (-1, 1), (0, 65_536)):
        with pytest.raises(LocalProtocolError):
            serialize_frame_header(channel, size_bytes)


EMPTY_FRAME = b"$\0\0\0"
OPTIONS = b"OPTIONS * RTSP/1.0\r\nCSeq:1\r\n\r\n"
ANSWER = b"RTSP/1.0 200\n\n"


@pytest.mark.parametrize("read_bytes", [2 * WEIGHT_OF_A_READ_BYTES, 1 << 18])
@pytest.mark.parametrize(
    ("message", "weight"), [(EMPTY_FRAME, FRAME_WEIGHT_BYTES), (OPTIONS, MESSAGE_WEIGHT_BYTES), (ANSWER, MESSAGE_WEIGHT_BYTES)]
)
def test_messages_of_nothing_have_an_end(message: bytes, weight: int, read_bytes: int) -> None:
    reader, read, taken = MessageReader(), message * (read_bytes // len(message)), list[Message]()

    def flood() -> None:
        for _ in range(1000):
            taken.extend(reader.feed(read))

    with pytest.raises(LimitExceeded, match=f"limit {WEIGHT_OF_A_BURST_BYTES}"):
        flood()
    assert len(taken) <= 2 * WEIGHT_OF_A_BURST_BYTES // weight


def test_signs_of_life_that_come_over_time_are_taken_for_ever() -> None:
    reader = MessageReader()
    assert sum(1 for _ in range(10_000) for _ in reader.feed(OPTIONS * 3)) == 30_000  # a client that asks for three things at once
    assert sum(1 for _ in range(10_000) for _ in reader.feed(OPTIONS + EMPTY_FRAME * 8)) == 90_000


@pytest.mark.parametrize("payload_bytes", [1, 40, 160])  # Opus of silence, Opus, 20 ms of G.711
def test_small_packets_are_taken_for_ever(payload_bytes: int) -> None:
    packets = serialize_frame(0, bytes(12 + payload_bytes)) * 5000 + serialize_frame(1, bytes(32))
    reader = MessageReader()
    assert sum(1 for _ in range(20) for _ in reader.feed(packets)) == 20 * 5001


def test_a_client_may_say_all_that_it_wants_at_once() -> None:
    setup = b"SETUP rtsp://h/a/t RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP\r\n\r\n"
    reader = MessageReader()
    assert len(list(reader.feed((DESCRIBE + setup * 16 + OPTIONS) * 20 + EMPTY_FRAME * 8000))) == 18 * 20 + 8000


tokens = st.text("abcXYZ019-", min_size=1, max_size=8)
values = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)
names = tokens.filter(lambda name: name.lower() != "content-length")
headers = st.builds(Headers, st.lists(st.tuples(names, values), max_size=4).map(tuple))
bodies = st.binary(max_size=40)
messages = st.one_of(
    st.builds(Request, method=tokens, uri=values.filter(bool), headers=headers, body=bodies),
    st.builds(Response, status=st.integers(100, 999), reason=values.filter(bool), headers=headers, body=bodies),
    st.builds(InterleavedFrame, channel=st.integers(0, 255), payload=st.binary(max_size=40)),
)


def wire(message: Message) -> bytes:
    if isinstance(message, InterleavedFrame):
        return serialize_frame(message.channel, message.payload)
    return message.serialize()


def told(message: Message) -> Message:
    """What comes out: with the length that was added."""
    if isinstance(message, InterleavedFrame) or not message.body:
        return message
    length = ("Content-Length", str(len(message.body)))
    added = Headers((*message.headers.fields, length))
    if isinstance(message, Request):
        return Request(method=message.method, uri=message.uri, headers=added, body=message.body)
    return Response(status=message.status, reason=message.reason, headers=added, body=message.body)


@given(st.lists(messages, max_size=4), st.lists(st.integers(0, 400), max_size=8))
def test_any_split_of_the_bytes_gives_the_same_messages(sent: list[Message], cuts: list[int]) -> None:
    data = b"".join(wire(message) for message in sent)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in pairwise(edges)]
    assert read(*parts) == [told(message) for message in sent]


@given(st.binary(max_size=80), st.sampled_from([b"", DESCRIBE, FRAME, PLAYING[:-2]]))
def test_any_bytes_give_messages_or_an_error(data: bytes, before: bytes) -> None:
    try:
        read(before + data)
    except RemoteProtocolError:
        return
