"""Why an attempt is over, as everybody may read it."""

from __future__ import annotations

import pytest

from lalmesh.client import ConnectionFailed, InvalidUrl
from lalmesh.client._errors import http_refusal, rtmp_refusal
from lalmesh.container.flv import TagReader
from lalmesh.errors import RemoteProtocolError
from services.edge.relaying._reasons import shown_reason


def test_what_is_in_the_answer_of_a_web_server_is_not_told() -> None:
    assert shown_reason(http_refusal(500, "internal-secret-value=42; more")) == "refused: HTTP 500"
    assert shown_reason(http_refusal(404, "no such user: alice")) == "refused: HTTP 404"


def test_nor_how_something_begins_that_is_no_stream() -> None:
    with pytest.raises(RemoteProtocolError) as broken:
        list(TagReader().feed(b'{"password": "secret"}'))
    assert '{"p' in str(broken.value)
    shown = shown_reason(broken.value)
    assert shown.startswith("the other side breaks the protocol (")
    assert "{" not in shown


def test_what_servers_of_streams_say_is_told_for_that_is_what_it_is_for() -> None:
    loop = rtmp_refusal("NetStream.Play.Failed", "relay loop: one > two")
    assert shown_reason(loop) == "refused: NetStream.Play.Failed (relay loop: one > two)"
    assert shown_reason(ConnectionFailed("a:1935: refused")) == "a:1935: refused"
    assert shown_reason(InvalidUrl("")) == "InvalidUrl"
