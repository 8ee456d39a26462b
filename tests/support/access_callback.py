"""The server that a callback of authorisation asks, in a thread: it says yes to one token and keeps what it was asked."""

from __future__ import annotations

import json
from typing import Any

from support.http_thread import HttpThread, QuietHandler

GOOD = "let-me-in"


class CallbackServer(HttpThread):
    """Listens on a free port of the loopback."""

    def __init__(self, keys: object = None) -> None:
        """Give `keys` at `keys_url`."""
        self.asked: list[dict[str, Any]] = []
        questions = self.asked

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802 - the name that is called
                question = json.loads(self.asked())
                questions.append(question)
                self.answer(200 if GOOD in (question["token"], question["password"]) else 401)

            def do_GET(self) -> None:  # noqa: N802 - the name that is called
                self.answer(200, json.dumps(keys).encode())

        super().__init__(Handler)
        self.url, self.keys_url = f"{self.root}/auth", f"{self.root}/keys"
