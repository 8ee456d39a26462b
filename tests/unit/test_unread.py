"""What is left unread of a connection, where nothing can be read. `tests/integration` has the rest, on real sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from typing import Any, cast

import pytest

from lalmesh.unread import unread


class FakeSocket:
    def fileno(self) -> int:
        return 3


def transport(**known: object) -> asyncio.BaseTransport:
    class Fake:
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return known.get(name, default)

    return cast(asyncio.BaseTransport, Fake())


def test_nothing_is_read_where_the_process_has_no_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", refuse)
    assert list(unread(transport(socket=FakeSocket()), ConnectionResetError())) == []


@pytest.mark.parametrize(
    ("known", "error"),
    [({}, OSError()), ({"socket": FakeSocket()}, None), ({"socket": FakeSocket(), "sslcontext": object()}, OSError())],
    ids=["no socket", "no error", "tls in its handshake"],
)
def test_nothing_is_read_of_what_only_the_loop_can_read(known: dict[str, object], error: Exception | None) -> None:
    assert list(unread(transport(**known), error)) == []


class FakeTls:
    """What a loop has read under TLS and nobody has taken."""

    def __init__(self, *kept: bytes) -> None:
        self._kept = list(kept)

    def read(self, size: int, buffer: memoryview) -> int:
        if not self._kept:
            raise ssl.SSLWantReadError
        data = self._kept.pop(0)
        buffer[: len(data)] = data
        return len(data)


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_under_tls_what_the_loop_has_kept_is_taken_however_the_connection_ends(error: Exception | None) -> None:
    known = transport(ssl_object=FakeTls(b"the", b"last"), sslcontext=object(), socket=FakeSocket())
    assert [bytes(piece) for piece in unread(known, error)] == [b"the", b"last"]
