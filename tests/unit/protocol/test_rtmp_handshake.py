from __future__ import annotations

import hmac
import random
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.protocol.rtmp._handshake import (
    _CLIENT_NAME,
    _SECRET,
    _SERVER_NAME,
    HANDSHAKE_BYTES,
    ClientHandshake,
    ServerHandshake,
    digest_position,
    find_digest,
)

CAPTURES = Path(__file__).parents[2] / "captures" / "rtmp"


def random_bytes(count: int) -> bytes:
    return random.Random(count).randbytes(count)


def with_digest(block: bytes, scheme: int, key: bytes) -> bytes:
    at = digest_position(block, scheme)
    return block[:at] + hmac.new(key, block[:at] + block[at + 32 :], sha256).digest() + block[at + 32 :]


def test_a_simple_client_is_echoed() -> None:
    # RTMP 1.0 §5.2.3, §5.2.4
    c1 = bytes.fromhex("01020304 00000000") + random_bytes(1528)
    server = ServerHandshake(random_bytes)
    assert server.feed(b"\x03" + c1) == b""
    answer = server.data_to_send()
    assert len(answer) == 1 + 2 * HANDSHAKE_BYTES
    assert answer[:9] == b"\x03" + bytes(8)
    assert answer[1537:] == c1
    assert (server.feed(bytes(HANDSHAKE_BYTES) + b"rest"), server.done) == (b"rest", True)


@pytest.mark.parametrize("scheme", [8, 772])
def test_a_complex_client_is_answered_in_its_own_scheme(scheme: int) -> None:
    c1 = with_digest(bytes.fromhex("00000000 80000702") + random_bytes(1528), scheme, _CLIENT_NAME)
    server = ServerHandshake(random_bytes)
    server.feed(b"\x03" + c1)
    answer = server.data_to_send()
    s1, s2 = answer[1:1537], answer[1537:]
    at = digest_position(c1, scheme)
    key = hmac.new(_SERVER_NAME + _SECRET, c1[at : at + 32], sha256).digest()
    assert find_digest(s1, _SERVER_NAME) is not None
    assert with_digest(s1, scheme, _SERVER_NAME) == s1
    assert s2[-32:] == hmac.new(key, s2[:-32], sha256).digest()


def test_the_digest_is_where_four_bytes_say() -> None:
    block = bytes(8) + bytes((255, 255, 255, 255)) + bytes(760) + bytes((1, 2, 3, 4)) + bytes(760)
    assert digest_position(block, 8) == 12 + 1020 % 728
    assert digest_position(block, 772) == 776 + 10


def test_a_digest_that_is_wrong_means_a_simple_handshake() -> None:
    c1 = bytes.fromhex("00000000 80000702") + random_bytes(1528)
    server = ServerHandshake(random_bytes)
    server.feed(b"\x03" + c1)
    assert server.data_to_send()[1537:] == c1


@pytest.mark.parametrize(
    ("capture", "has_digest"),
    [
        ("ffmpeg9-publish", True),
        ("ffmpeg5-publish", True),
        ("rtmpdump-play", False),
        ("librtmp-publish", False),
        ("gstreamer-rtmp2sink-publish", False),
    ],
)
def test_real_clients_are_recognised(capture: str, has_digest: bool) -> None:
    data = (CAPTURES / f"{capture}.bin").read_bytes()
    assert (find_digest(data[1:1537], _CLIENT_NAME) is not None) is has_digest
    server = ServerHandshake(random_bytes)
    assert server.feed(data) == data[1 + 2 * HANDSHAKE_BYTES :]


@pytest.mark.parametrize("is_complex", [False, True])
@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=8))
def test_both_ends_agree_under_any_split(is_complex: bool, sizes: list[int]) -> None:
    client, server = ClientHandshake(random_bytes, complex_handshake=is_complex), ServerHandshake(random_bytes)
    for _ in range(3):
        for source, sink in ((client, server), (server, client)):
            data = source.data_to_send()
            for at in range(0, len(data), sizes[0]):
                assert sink.feed(data[at : at + sizes[0]]) == b""
        sizes = sizes[1:] or sizes
    assert client.done
    assert server.done


def test_a_complex_client_proves_that_it_read_the_digest() -> None:
    client, server = ClientHandshake(random_bytes, complex_handshake=True), ServerHandshake(random_bytes)
    server.feed(client.data_to_send())
    answer = server.data_to_send()
    client.feed(answer)
    c2 = client.data_to_send()
    found = find_digest(answer[1:1537], _SERVER_NAME)
    assert found is not None
    key = hmac.new(_CLIENT_NAME + _SECRET, found[1], sha256).digest()
    assert c2[-32:] == hmac.new(key, c2[:-32], sha256).digest()


def test_a_complex_client_echoes_a_server_without_digest() -> None:
    client = ClientHandshake(random_bytes, complex_handshake=True)
    client.data_to_send()
    s1 = random_bytes(1536)
    client.feed(b"\x03" + s1)
    assert client.data_to_send() == s1


@pytest.mark.parametrize("version", [6, 8, 9])
def test_encrypted_rtmp_is_refused_at_its_first_byte(version: int) -> None:
    with pytest.raises(UnsupportedError, match=f"encrypted RTMP .handshake version {version}"):
        ServerHandshake(random_bytes).feed(bytes((version,)))


@pytest.mark.parametrize("first", [b"\x00", b"\x02", b"GET / HTTP/1.1", b"\x16\x03\x01"])
def test_what_is_not_rtmp_is_refused_at_its_first_byte(first: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="not RTMP"):
        ServerHandshake(random_bytes).feed(first)
