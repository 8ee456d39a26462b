"""A program that was written for lal's API: always 200, what happened is in the body."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

TIMEOUT_S = 30.0
EVERY_S = 0.1

Answer = dict[str, Any]


class LalClient:
    """One, at the API of one scheduler."""

    def __init__(self, base_url: str, token: str = "") -> None:
        """Ask `base_url`, with `token` where there is one."""
        self._base_url = base_url
        self._token = token

    def stat(self, what: str, **query: str) -> Answer:
        """GET below /api/stat."""
        return self.ask(f"/api/stat/{what}?{urlencode(query)}")

    def ctrl(self, what: str, body: object = None, **query: str) -> Answer:
        """POST below /api/ctrl, as curl -d does: the content type is that of a form."""
        return self.ask(f"/api/ctrl/{what}?{urlencode(query)}", b"" if body is None else json.dumps(body).encode())

    def ask(self, path: str, data: bytes | None = None) -> Answer:
        """One request; its status has to be 200 and its type JSON."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        with urllib.request.urlopen(urllib.request.Request(f"{self._base_url}{path}", data, headers), timeout=TIMEOUT_S) as answer:
            assert (answer.status, answer.headers.get_content_type()) == (200, "application/json")
            body: Answer = json.load(answer)
        assert isinstance(body["error_code"], int)
        assert isinstance(body["desp"], str)
        return body

    def group(self, name: str) -> Answer:
        """A stream that has to be there."""
        answer = self.stat("group", stream_name=name)
        assert (answer["error_code"], answer["desp"]) == (0, "succ"), answer
        data: Answer = answer["data"]
        return data

    def group_until(self, name: str, holds: Callable[[Answer], object], limit_s: float) -> Answer:
        """The stream once that holds of it."""
        end = time.monotonic() + limit_s
        while True:
            answer = self.stat("group", stream_name=name)
            if answer["error_code"] == 0 and holds(answer["data"]):
                data: Answer = answer["data"]
                return data
            assert time.monotonic() < end, answer
            time.sleep(EVERY_S)
