"""What a client asks: requests on their way, and which answer belongs to which."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from lalmesh.protocol.rtsp._messages import Field, Headers, Request, Response

MAX_PENDING_CALLS: Final = 16  #: without an answer; more than signs of life there are not, and who leaves so many alone is dead
MAX_ATTEMPTS: Final = 3  #: at one request: without credentials, with them, and with a fresh nonce

_NUMBER = re.compile(r"[0-9]{1,9}")


class Authenticator(Protocol):
    """Answers the challenges of a server, such as `lalmesh.protocol.http_auth.ClientAuth`."""

    def challenged(self, headers: Sequence[str]) -> bool:
        """Take the ``WWW-Authenticate`` headers of a 401; whether to ask again."""
        ...

    def authorization(self, method: str, uri: str) -> str | None:
        """The ``Authorization`` header of the next request; None for none."""
        ...

    def accepted(self) -> None:
        """The server took it."""
        ...


@dataclass(slots=True, frozen=True)
class Call:
    """One request, before it has a number."""

    method: str
    uri: str
    fields: tuple[Field, ...] = ()
    body: bytes = b""
    attempt: int = 1


class Calls:
    """Sends requests and knows them again by the number in their answers (RFC 2326 §12.17)."""

    def __init__(self, auth: Authenticator | None, user_agent: str, fields: Sequence[Field] = ()) -> None:
        """Ask as `auth` knows, under the name of `user_agent`; empty: say no name. `fields` go with each request."""
        self.session_id = ""  #: goes with each request; empty: there is none yet
        self._auth = auth
        self._user_agent = user_agent
        self._fields = tuple(fields)
        self._out = bytearray()
        self._pending: dict[int, Call] = {}
        self._last_number = 0

    def send(self, call: Call) -> None:
        """Ask."""
        self._last_number += 1
        self._pending[self._last_number] = call
        if len(self._pending) > MAX_PENDING_CALLS:
            del self._pending[next(iter(self._pending))]
        fields = [("CSeq", str(self._last_number))]
        shown = self._auth.authorization(call.method, call.uri) if self._auth is not None else None
        fields += [("Authorization", shown)] if shown is not None else []
        fields += [("User-Agent", self._user_agent)] if self._user_agent else []
        fields += [("Session", self.session_id)] if self.session_id else []
        headers = Headers((*fields, *self._fields, *call.fields))
        self._out += Request(method=call.method, uri=call.uri, headers=headers, body=call.body).serialize()

    def answered(self, response: Response) -> Call | None:
        """The call that `response` answers for good; None where it is of nothing that was asked, or says to wait.

        A 401 is answered here, where there are credentials for it. Interop: an answer without a number is taken for the oldest.
        """
        if response.status < 200 or not self._pending:
            return None
        said = response.headers.get("cseq") or str(next(iter(self._pending)))
        call = self._pending.pop(int(said), None) if _NUMBER.fullmatch(said) else None
        if call is None or self._auth is None:
            return call
        if response.status != 401:
            self._auth.accepted()
        elif call.attempt < MAX_ATTEMPTS and self._auth.challenged(response.headers.all("www-authenticate")):
            self.send(replace(call, attempt=call.attempt + 1))
            return None
        return call

    def reply(self, request: Request, status: int) -> None:
        """Answer what a server asks of us."""
        echoed = tuple((name, request.headers.get(name)) for name in ("CSeq", "Session") if name in request.headers)
        self._out += Response(status=status, headers=Headers(echoed)).serialize()

    def data_to_send(self) -> bytes:
        """Give what has to be sent, and forget it."""
        data = bytes(self._out)
        self._out.clear()
        return data
