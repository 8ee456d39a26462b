from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.rtmp import ChunkReader, ChunkWriter, Message, chunk_message, message_header
from lalmesh.protocol.rtmp._chunk import MAX_MESSAGE_BYTES
from lalmesh.protocol.rtmp._chunk_reader import (
    LIGHT_BYTES_OF_A_BURST,
    LIGHT_BYTES_OF_A_READ,
    MAX_CHUNK_STREAMS,
    MAX_INTERLEAVED_BYTES,
    MAX_OPENING_MESSAGE_BYTES,
    MESSAGE_WEIGHT_BYTES,
)

SET_CHUNK_SIZE_1000 = bytes.fromhex("02 000000 000004 01 00000000 000003e8")


def read(*wires: bytes) -> list[Message]:
    reader = ChunkReader()
    return [message for wire in wires for message in reader.feed(wire)]


def whole(csid: int, message: Message, chunk_size: int) -> bytes:
    pieces = chunk_message(
        csid, message.type_id, message.timestamp_ms, b"", message.payload, chunk_size=chunk_size, stream_id=message.stream_id
    )
    return b"".join(pieces)


def messages() -> st.SearchStrategy[Message]:
    times = st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0xFFFFFD, 0x1000001), st.just(0xFFFFFFFF))
    return st.builds(Message, st.integers(3, 255), st.integers(0, 0xFFFFFFFF), times, st.binary(max_size=400))


def test_repeated_audio_messages_use_shorter_and_shorter_headers() -> None:
    # RTMP 1.0 §5.3.2.1: 32 bytes of audio each, at 1000, 1020, 1040 and 1060 ms, on message stream 12345
    body = bytes(range(32))
    chunks = [
        bytes.fromhex("03 0003e8 000020 08 39300000") + body,
        bytes.fromhex("83 000014") + body,
        bytes.fromhex("c3") + body,
        bytes.fromhex("c3") + body,
    ]
    assert [len(chunk) for chunk in chunks] == [44, 36, 33, 33]
    assert read(*chunks) == [Message(8, 12345, time, body) for time in (1000, 1020, 1040, 1060)]


def test_a_long_video_message_is_cut_at_128_bytes() -> None:
    # RTMP 1.0 §5.3.2.2: 307 bytes of video at 1000 ms on message stream 12346
    body = bytes(307 % (i + 1) & 0xFF for i in range(307))
    first = bytes.fromhex("04 0003e8 000133 09 3a300000") + body[:128]
    second, third = b"\xc4" + body[128:256], b"\xc4" + body[256:]
    assert [len(first), len(second), len(third)] == [140, 129, 52]
    assert read(first, second, third) == [Message(9, 12346, 1000, body)]
    assert whole(4, Message(9, 12346, 1000, body), 128) == first + second + third


@pytest.mark.parametrize(
    ("csid", "basic"), [(2, "02"), (63, "3f"), (64, "0000"), (319, "00ff"), (320, "010001"), (65599, "01ffff")]
)
def test_basic_headers_have_one_two_or_three_bytes(csid: int, basic: str) -> None:
    # RTMP 1.0 §5.3.1.1
    header = message_header(csid, 9, 7, 1, stream_id=1)
    assert header.hex() == basic + "000007" + "000001" + "09" + "01000000"
    assert read(header + b"x") == [Message(9, 1, 7, b"x")]


@given(st.lists(st.tuples(messages(), st.integers(2, 400)), max_size=5), st.integers(1, 300), st.randoms(use_true_random=False))
def test_any_split_of_the_bytes_gives_the_same_messages(sent: list[tuple[Message, int]], size: int, rng: random.Random) -> None:
    writer = ChunkWriter()
    wire = writer.set_chunk_size(size) + b"".join(writer.send(csid, message) for message, csid in sent)
    reader, at = ChunkReader(), 0
    got: list[Message] = []
    while at < len(wire):
        step = rng.choice((1, 2, 3, 7, 100, 1000))
        buffer = bytearray(wire[at : at + step])
        got += reader.feed(buffer)
        buffer[:] = bytes(len(buffer))  # the reader keeps nothing of it
        at += step
    assert got == [message for message, _ in sent]


@pytest.mark.parametrize("fmt", [1, 2])
def test_deltas_add_up_and_wrap_at_32_bits(fmt: int) -> None:
    first = message_header(5, 8, 0xFFFFFFF0, 1) + b"a"
    later = bytes((fmt << 6 | 5,)) + bytes.fromhex("000020" + "000001" + "08" if fmt == 1 else "000020") + b"b"
    assert [m.timestamp_ms for m in read(first + later + b"\xc5c")] == [0xFFFFFFF0, 0x10, 0x30]


def test_fmt_3_after_fmt_0_repeats_the_timestamp_as_delta() -> None:
    # RTMP 1.0 §5.3.1.2.4, last sentence
    assert [m.timestamp_ms for m in read(message_header(5, 8, 40, 1) + b"a" + b"\xc5b")] == [40, 80]


@pytest.mark.parametrize("time", [0xFFFFFE, 0xFFFFFF, 0x1000000, 0xFFFFFFFF])
@pytest.mark.parametrize("split", [1, 64, 1000])
def test_extended_timestamps_are_read_with_and_without_repetition(time: int, split: int) -> None:
    sent = [Message(9, 1, time, bytes(range(200)) + b"end"), Message(9, 1, time, b"next")]
    repeated = b"".join(whole(6, message, 128) for message in sent)
    omitted = repeated.replace(b"\xc6" + time.to_bytes(4, "big"), b"\xc6")
    assert len(repeated) - len(omitted) == (4 if time >= 0xFFFFFF else 0)
    for wire in (repeated, omitted):
        reader = ChunkReader()
        assert [m for at in range(0, len(wire), split) for m in reader.feed(wire[at : at + split])] == sent


def test_an_extended_delta_moves_the_time_and_is_repeated_by_fmt_3() -> None:
    first = message_header(5, 8, 10, 1) + b"a"
    delta = bytes.fromhex("85 ffffff 01000000") + b"b"
    assert [m.timestamp_ms for m in read(first + delta + bytes.fromhex("c5 01000000") + b"c")] == [10, 0x100000A, 0x200000A]


def test_a_later_chunk_may_repeat_the_absolute_time_instead_of_the_delta() -> None:
    first = message_header(5, 8, 10, 1) + b"a"
    body = bytes(range(130))
    wire = bytes.fromhex("45 ffffff 000082 08 01000000") + body[:128] + bytes.fromhex("c5 0100000a") + body[128:]
    assert read(first + wire)[1] == Message(8, 1, 0x100000A, body)


def test_chunks_of_two_streams_may_alternate() -> None:
    audio, video = Message(8, 1, 5, b"a" * 200), Message(9, 1, 6, b"v" * 300)
    a, v = whole(4, audio, 128), whole(6, video, 128)
    wire = v[:140] + a[:140] + v[140:269] + a[140:] + v[269:]
    assert read(wire) == [audio, video]


def test_a_new_chunk_size_holds_from_the_next_chunk() -> None:
    video = Message(9, 1, 6, b"v" * 300)
    wire = whole(6, video, 128)[:140] + SET_CHUNK_SIZE_1000 + b"\xc6" + b"v" * 172
    assert read(wire) == [video]


def test_abort_forgets_an_incomplete_message() -> None:
    # RTMP 1.0 §5.4.2
    begun = whole(6, Message(9, 1, 6, b"v" * 300), 128)[:140]
    abort = bytes.fromhex("02 000000 000004 02 00000000 00000006")
    assert read(begun + abort + whole(6, Message(9, 1, 7, b"w"), 128)) == [Message(9, 1, 7, b"w")]


def test_a_header_repeated_on_a_later_chunk_continues_the_message() -> None:
    video = Message(9, 1, 6, b"v" * 200)
    wire = whole(6, video, 128)
    assert read(wire[:140] + message_header(6, 9, 6, 200) + wire[141:]) == [video]


def test_librtmp_opens_the_control_stream_with_fmt_1() -> None:
    assert read(bytes.fromhex("42 000000 000006 04 0006 00000001")) == [Message(4, 0, 0, bytes.fromhex("000600000001"))]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("83 000014", "first chunk of chunk stream 3 has fmt 2"),
        ("c3", "first chunk of chunk stream 3 has fmt 3"),
        ("02 000000 000004 01 00000000 00000000", "Set Chunk Size of 00000000"),
        ("02 000000 000004 01 00000000 80000000", "Set Chunk Size of 80000000"),
        ("02 000000 000000 01 00000000", "Set Chunk Size of no bytes"),
        ("02 000000 000001 02 00000000 06", "Abort of 1 bytes"),
        ("06 000000 0000ff 09 01000000" + "00" * 128 + "06 000000 000001 09 01000000", "127 bytes before the end of another"),
    ],
)
def test_what_the_chunk_stream_does_not_allow_is_refused(wire: str, reason: str) -> None:
    good = message_header(7, 8, 1, 1) + b"x"
    reader = ChunkReader().feed(good + bytes.fromhex(wire))
    assert next(reader) == Message(8, 1, 1, b"x")
    with pytest.raises(RemoteProtocolError, match=reason):
        next(reader)


def test_chunk_streams_are_counted() -> None:
    wire = b"".join(message_header(csid, 8, 0, 1) + b"x" for csid in range(2, MAX_CHUNK_STREAMS + 3))
    with pytest.raises(LimitExceeded, match="chunk streams of 65, limit 64"):
        read(wire)


def test_incomplete_messages_are_bounded_in_all() -> None:
    # three messages of 9 MiB, each of which lacks its last chunk
    size, chunk = 9 << 20, 8 << 20
    wire = bytes.fromhex("02 000000 000004 01 00000000") + chunk.to_bytes(4, "big")
    reader = ChunkReader()
    assert not list(reader.feed(wire))
    assert not list(reader.feed(message_header(4, 9, 0, size) + bytes(chunk)))
    assert not list(reader.feed(message_header(5, 9, 0, size) + bytes(chunk)))
    with pytest.raises(LimitExceeded, match=f"limit {MAX_MESSAGE_BYTES + MAX_INTERLEAVED_BYTES}"):
        list(reader.feed(message_header(6, 9, 0, size) + bytes(chunk)))


def test_a_smaller_message_limit_can_be_set() -> None:
    reader = ChunkReader(max_message_bytes=100)
    with pytest.raises(LimitExceeded, match="message bytes of 101, limit 100"):
        list(reader.feed(message_header(4, 9, 0, 101)))


def test_messages_are_short_until_one_opens_media() -> None:
    long = message_header(4, 9, 0, MAX_OPENING_MESSAGE_BYTES + 1)
    opening = message_header(3, 20, 0, 4) + b"open"
    with pytest.raises(LimitExceeded, match=f"message bytes of 65537, limit {MAX_OPENING_MESSAGE_BYTES}"):
        list(ChunkReader(opens_media=lambda message: message.payload == b"open").feed(message_header(3, 20, 0, 1) + b"x" + long))
    reader = ChunkReader(opens_media=lambda message: message.payload == b"open")
    assert list(reader.feed(opening + long)) == [Message(20, 1, 0, b"open")]


def test_incomplete_messages_are_bounded_before_media_too() -> None:
    reader = ChunkReader(opens_media=lambda message: False)
    starts = b"".join(message_header(csid, 9, 0, MAX_OPENING_MESSAGE_BYTES) + bytes(60_000) for csid in (4, 5, 6))
    with pytest.raises(LimitExceeded, match=f"limit {2 * MAX_OPENING_MESSAGE_BYTES}"):
        list(reader.feed(bytes.fromhex("02 000000 000004 01 00000000 0000ea60") + starts))


@given(st.binary(max_size=300))
def test_any_bytes_give_messages_or_a_protocol_error(data: bytes) -> None:
    try:
        for message in ChunkReader().feed(data):
            assert len(message.payload) <= len(data)
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize("chunk_size", [1, 4, 5, 6, 128, 204, 205, 206])
def test_shared_bytes_are_the_message_for_every_chunk_size(chunk_size: int) -> None:
    prefix, payload = b"\x17\x01\0\0\0", bytes(range(200))
    pieces = chunk_message(6, 9, 0x1000000, prefix, payload, chunk_size=chunk_size, stream_id=3)
    reader = ChunkReader()
    reader.chunk_size = chunk_size
    assert list(reader.feed(b"".join(pieces))) == [Message(9, 3, 0x1000000, prefix + payload)]


EMPTY = bytes.fromhex("03 000000 000000 64 00000000")  # and each c3 is one more


@pytest.mark.parametrize("read_bytes", [LIGHT_BYTES_OF_A_READ, 1 << 18])
def test_messages_of_nothing_have_an_end(read_bytes: int) -> None:
    reader = ChunkReader()
    taken = list(reader.feed(EMPTY))

    def flood() -> None:
        for _ in range(100):
            taken.extend(reader.feed(b"\xc3" * read_bytes))

    with pytest.raises(LimitExceeded, match=f"limit {LIGHT_BYTES_OF_A_BURST}"):
        flood()
    assert len(taken) <= 1 + 2 * LIGHT_BYTES_OF_A_BURST // MESSAGE_WEIGHT_BYTES


def test_small_messages_that_come_over_time_are_taken_for_ever() -> None:
    reader = ChunkReader()
    list(reader.feed(EMPTY))
    assert sum(1 for _ in range(100_000) for _ in reader.feed(b"\xc3")) == 100_000
    acknowledgement = bytes.fromhex("42 000000 000004 03 00000000")
    list(reader.feed(bytes.fromhex("02 000000 000004 03 00000000 00000000")))
    assert sum(1 for _ in range(100_000) for _ in reader.feed(acknowledgement)) == 100_000


def test_a_burst_of_small_frames_is_taken() -> None:
    frame = Message(8, 1, 0, bytes(5))
    wire = whole(4, frame, 128) * 10_000
    assert sum(1 for _ in ChunkReader().feed(wire)) == 10_000
    assert len(read(*(wire[at : at + 7] for at in range(0, len(wire), 7)))) == 10_000


def test_a_message_of_one_chunk_is_a_header_and_the_payload_itself() -> None:
    payload = bytes(1000)
    pieces = chunk_message(6, 9, 40, b"\x27\x01\0\0\0", payload, chunk_size=60_000)
    assert pieces == [message_header(6, 9, 40, 1005) + b"\x27\x01\0\0\0", payload]
    assert pieces[1] is payload


def test_times_are_written_modulo_32_bits() -> None:
    assert message_header(6, 9, (1 << 32) + 5, 0) == message_header(6, 9, 5, 0)
    assert message_header(6, 9, -1, 0)[-4:] == b"\xff\xff\xff\xff"


def test_a_message_over_24_bits_of_length_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="16777216 bytes"):
        message_header(6, 9, 0, MAX_MESSAGE_BYTES + 1)
