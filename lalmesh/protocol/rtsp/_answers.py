"""What a server says: answers to the request at hand."""

from __future__ import annotations

from typing import Final

from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.protocol.rtsp._messages import Field, Headers, Request, Response
from lalmesh.protocol.rtsp._states import ServerState, allowed_methods

MAX_UNSENT_BYTES: Final = 1 << 20  #: of answers that `data_to_send` was not called for


class Answers:
    """Builds answers and keeps them until they are sent."""

    def __init__(self, server_name: str) -> None:
        """Say `server_name` with each; empty for nothing."""
        self._server_name = server_name
        self._out = bytearray()
        self._echoed: tuple[Field, ...] = ()
        self._is_over = False

    def begin(self, request: Request) -> None:
        """Let the next answer be to `request`: with its sequence number, and its timestamp (RFC 2326 §12.17, §12.38)."""
        self._echoed = tuple((name, request.headers.get(name)) for name in ("CSeq", "Timestamp") if name in request.headers)

    def send(self, status: int, *fields: Field, body: bytes = b"") -> None:
        """Answer."""
        server = (("Server", self._server_name),) if self._server_name else ()
        headers = Headers((*self._echoed, *server, *fields))
        self._out += Response(status=status, headers=headers, body=body).serialize()

    def refuse(self, status: int, state: ServerState, *fields: Field) -> None:
        """Answer no; 405 and 455 with what may be asked for instead (RFC 2326 §11.3.6)."""
        allow = (("Allow", allowed_methods(state)),) if status in (405, 455) else ()
        self.send(status, *allow, *fields)

    def refuse_connection(self, error: RemoteProtocolError) -> None:
        """Say once that what came is no request."""
        if not self._is_over:
            self._is_over, self._echoed = True, ()
            self.send(413 if isinstance(error, LimitExceeded) else 400, ("Connection", "close"))

    def check_unsent(self) -> None:
        """Refuse to pile up answers.

        Raises:
            LimitExceeded: more than `MAX_UNSENT_BYTES` wait to be sent.
        """
        if len(self._out) > MAX_UNSENT_BYTES:
            raise LimitExceeded("bytes of unsent answers", len(self._out), MAX_UNSENT_BYTES)

    def data_to_send(self) -> bytes:
        """Give what waits, and forget it."""
        data = bytes(self._out)
        self._out.clear()
        return data
