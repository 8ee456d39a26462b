"""Receivers of webhooks in a thread: every signature is checked, what was taken is kept, and they fail when a test wants it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.http_thread import HttpThread, QuietHandler

FRESH_S = 300  #: that a time stamp may be old
REST = 4  #: times as long as a look at all that came took, before the next: the thread that takes them shares the interpreter


@dataclass(frozen=True)
class Hook:
    """One request that was answered 200."""

    at: float
    path: str
    id: str
    body: dict[str, Any]
    traceparent: str = ""

    @property
    def event_name(self) -> str:
        """Its kind: as the path says, or, where that does not, the body."""
        name = self.path.rpartition("/")[2]
        return name if name.startswith("on_") else str(self.body["event"])


def of(hooks: list[Hook], *events: str, **body: object) -> list[Hook]:
    """Those of some kinds, about some stream."""
    names = {name for event in events for name in (event, f"on_{event}")}
    return [hook for hook in hooks if hook.event_name in names and body.items() <= hook.body.items()]


def has(*events: str) -> Callable[[list[Hook]], bool]:
    """Whether each was there at least once."""
    return lambda hooks: all(of(hooks, event) for event in events)


class WebhookSink(HttpThread):
    """A context manager; `url` is where it listens."""

    def __init__(self, secret: str = "") -> None:
        """With a `secret` what is not signed with it is a failure of the test."""
        self.hooks: list[Hook] = []
        self.refused = 0
        self.wrong: list[str] = []  #: what it took exception to
        self.fails = ""  #: what begins so is answered 500: ``/`` is everything, and nothing is nothing
        self._secret = secret
        self._first: dict[tuple[str, str], Hook] = {}  # of what has the same id
        self._came = threading.Condition()
        super().__init__(self._handler())

    @property
    def url(self) -> str:
        """Without a path."""
        return self.root

    def taken(self, path: str = "") -> list[Hook]:
        """What came first under each id, in order; below a path."""
        with self._came:
            return [hook for hook in self._first.values() if hook.path.startswith(path)]

    def forget(self) -> None:
        """What was taken so far."""
        with self._came:
            self.hooks.clear()
            self._first.clear()

    def until(self, holds: Callable[[list[Hook]], bool], limit_s: float, path: str = "") -> list[Hook]:
        """What it took, once that is enough.

        Raises:
            AssertionError: it is not after `limit_s`.
        """
        end = time.monotonic() + limit_s
        while True:
            count, began = len(self.hooks), time.monotonic()
            if holds(taken := self.taken(path)):
                return taken
            time.sleep(REST * (time.monotonic() - began))
            with self._came:
                self._came.wait_for(partial(self._has_more, count), end - time.monotonic())
            assert time.monotonic() < end, f"after {limit_s} s: {[(hook.event_name, hook.body) for hook in taken][-20:]}"

    def _has_more(self, count: int) -> bool:
        return len(self.hooks) > count

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802 - the name that is called
                self.answer(sink._take(self.path, dict(self.headers.items()), self.asked()))

        return Handler

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._came:
            if self.fails and path.startswith(self.fails):
                self.refused += 1
                return 500
            if self._secret and (reason := self._wrong(headers, body)):
                self.wrong.append(reason)
            told = Hook(time.monotonic(), path, headers.get("webhook-id", ""), json.loads(body), headers.get("traceparent", ""))
            self.hooks.append(told)
            self._first.setdefault((told.path, told.id), told)
            self._came.notify_all()
            return 200

    def _wrong(self, headers: dict[str, str], body: bytes) -> str:
        at = headers.get("webhook-timestamp", "0")
        signed = b".".join((headers.get("webhook-id", "").encode(), at.encode(), body))
        expected = "v1," + base64.b64encode(hmac.new(self._secret.encode(), signed, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(expected, headers.get("webhook-signature", "")):
            return f"signature {headers.get('webhook-signature')!r}"
        return "" if abs(time.time() - int(at)) < FRESH_S else f"time stamp {at}"
