"""What is left unread of a connection, where nothing can be read. `tests/integration` has the rest, on real sockets."""

from __future__ import annotations

import asyncio
import errno
import os
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
    ids=["no socket", "no error", "tls"],
)
def test_nothing_is_read_of_what_only_the_loop_can_read(known: dict[str, object], error: Exception | None) -> None:
    assert list(unread(transport(**known), error)) == []
