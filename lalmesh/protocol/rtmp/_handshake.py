"""The RTMP handshake: version bytes, two blocks of 1,536 bytes each way, and the digests that Flash added to them.

```
client                         server
C0 C1  ─────────────────────►          C0: version 3; C1: time, zero or version, 1,528 random bytes
       ◄─────────────────────  S0 S1 S2    S2 answers C1
C2     ─────────────────────►          answers S1
```

Simple (RTMP 1.0 §5.2): C2 and S2 echo S1 and C1. Complex (in no standard, spoken by Flash and ffmpeg): C1 and S1 hide a
HMAC-SHA256 of themselves, at a place computed from four of their bytes, and C2 and S2 end in a HMAC keyed by the digest they
answer. Four bytes at 8 or four at 772 point at the digest: two *schemes*; the server answers in the one that the client used.

Interop: echoes are not compared; old encoders send anything as C2. Encrypted RTMP (version 6 and up) is refused.
"""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import sha256

from lalmesh.errors import RemoteProtocolError, UnsupportedError

RandomBytes = Callable[[int], bytes]  #: gives that many random bytes: `os.urandom`, or `random.Random(seed).randbytes`

VERSION = 3
HANDSHAKE_BYTES = 1536  #: C1, S1, C2 and S2 each
_ENCRYPTED = (6, 8, 9)  # RTMPE and its successors
_DIGEST_BYTES = 32
_SCHEMES = (8, 772)  # where the four bytes are that point at the digest
_CLIENT_VERSION = bytes((0x80, 0, 7, 2))
_SERVER_VERSION = bytes((4, 5, 0, 1))

_SECRET = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_CLIENT_NAME = b"Genuine Adobe Flash Player 001"  # keys the digest in C1; with the secret, the one in C2
_SERVER_NAME = b"Genuine Adobe Flash Media Server 001"  # the same for S1 and S2


def digest_position(block: bytes, scheme: int) -> int:
    """Where in a C1 or S1 the 32 bytes of digest are, by `scheme`: 8 or 772, the place of the four bytes that tell."""
    return scheme + 4 + sum(block[scheme : scheme + 4]) % 728


def _digest(block: bytes, position: int, key: bytes) -> bytes:
    return hmac.digest(key, block[:position] + block[position + _DIGEST_BYTES :], sha256)


def find_digest(block: bytes, name: bytes) -> tuple[int, bytes] | None:
    """Give the scheme and the digest of a C1 or S1 whose maker has `name`, None if it carries none that is right."""
    for scheme in _SCHEMES:
        position = digest_position(block, scheme)
        digest = block[position : position + _DIGEST_BYTES]
        if hmac.compare_digest(digest, _digest(block, position, name)):
            return scheme, digest
    return None


def _with_digest(block: bytes, scheme: int, name: bytes) -> bytes:
    position = digest_position(block, scheme)
    return block[:position] + _digest(block, position, name) + block[position + _DIGEST_BYTES :]


def _answer(digest: bytes, name: bytes, random_bytes: RandomBytes) -> bytes:
    """A C2 or S2 that proves to have read `digest`."""
    body = random_bytes(HANDSHAKE_BYTES - _DIGEST_BYTES)
    return body + hmac.digest(hmac.digest(name + _SECRET, digest, sha256), body, sha256)


def _check_version(version: int) -> None:
    if version in _ENCRYPTED:
        raise UnsupportedError(f"encrypted RTMP (handshake version {version})")
    if version != VERSION:
        raise RemoteProtocolError(f"handshake version {version}, not RTMP", section="RTMP 1.0 §5.2.2", at=0)


class Handshake(ABC):
    """Take the peer's version byte and its two blocks, in any split, and nothing after them."""

    def __init__(self, random_bytes: RandomBytes) -> None:
        self._random_bytes = random_bytes
        self._buffer = bytearray()  # at most what the next block lacks
        self._expected = 1 + HANDSHAKE_BYTES
        self._out = bytearray()
        self.done = False

    def feed(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take handshake bytes; give what follows the handshake, empty until it is done.

        Raises:
            RemoteProtocolError: the version byte is not one of RTMP.
            UnsupportedError: the peer wants encrypted RTMP.
        """
        rest = bytes(data)
        while rest and not self.done:
            take = self._expected - len(self._buffer)
            self._buffer += rest[:take]
            rest = rest[take:]
            if self._expected > HANDSHAKE_BYTES:
                _check_version(self._buffer[0])
            if len(self._buffer) == self._expected:
                self._take_block()
        return rest

    def _take_block(self) -> None:
        if self._expected == HANDSHAKE_BYTES:
            self.done = True
        else:
            self._take_first(bytes(self._buffer[1:]))
            self._expected = HANDSHAKE_BYTES
        self._buffer.clear()

    @abstractmethod
    def _take_first(self, block: bytes) -> None:
        """Answer the peer's C1 or S1."""

    def data_to_send(self) -> bytes:
        """Give what has to be sent to the peer now, and forget it."""
        data = bytes(self._out)
        self._out.clear()
        return data


class ServerHandshake(Handshake):
    """The server's side: complex where C1 carries a digest that is right, else simple."""

    def _take_first(self, block: bytes) -> None:
        # Interop: a zero version means simple, whatever the random bytes happen to be.
        found = find_digest(block, _CLIENT_NAME) if any(block[4:8]) else None
        if found is None:
            self._out += bytes((VERSION,)) + bytes(8) + self._random_bytes(HANDSHAKE_BYTES - 8) + block
            return
        scheme, digest = found
        mine = _with_digest(bytes(4) + _SERVER_VERSION + self._random_bytes(HANDSHAKE_BYTES - 8), scheme, _SERVER_NAME)
        self._out += bytes((VERSION,)) + mine + _answer(digest, _SERVER_NAME, self._random_bytes)


class ClientHandshake(Handshake):
    """The client's side; C0 and C1 are there to be sent at once."""

    def __init__(self, random_bytes: RandomBytes, *, complex_handshake: bool = False) -> None:
        """Begin.

        Args:
            random_bytes: the source of the blocks' filling.
            complex_handshake: send a digest, for the servers that insist on one.
        """
        super().__init__(random_bytes)
        self._complex = complex_handshake
        version = _CLIENT_VERSION if complex_handshake else bytes(4)
        block = bytes(4) + version + random_bytes(HANDSHAKE_BYTES - 8)
        if complex_handshake:
            block = _with_digest(block, _SCHEMES[0], _CLIENT_NAME)
        self._out += bytes((VERSION,)) + block

    def _take_first(self, block: bytes) -> None:
        found = find_digest(block, _SERVER_NAME) if self._complex else None
        self._out += block if found is None else _answer(found[1], _CLIENT_NAME, self._random_bytes)
