"""What an RTSP connection answers, whoever is at its other end: who may, which way a track takes, and every refusal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lalmesh.errors import LalmeshError
from lalmesh.protocol.rtsp import AnnounceRequested, DescribeRequested, Request, RtspServer, SetupRequested, StreamPath, Transport
from lalmesh.runtime.authorisation import AccessRefused
from lalmesh.runtime.sessions import SessionRole
from services.edge.rtsp_refusal import refusal_of

if TYPE_CHECKING:
    from services.edge.rtsp_auth import ConnectionAuth
    from services.edge.rtsp_link import RtspLink

log = logging.getLogger(__name__)

MAX_NAME_CHARS: Final = 600  #: of a stream's name in a log line; those that are allowed are shorter


class RtspAnswers:
    """Answers the request that waits, and counts and logs those that are refused."""

    def __init__(self, link: RtspLink, core: RtspServer, auth: ConnectionAuth) -> None:
        """Answer on the connection `link` in the words of `core`, as far as `auth` lets its client."""
        self.core = core
        self._link = link
        self._auth = auth
        self._has_begun = False

    def send(self) -> None:
        """Send what has been answered."""
        data = self.core.data_to_send()
        if data:
            self._link.write(data)

    def allows(self, request: Request, role: SessionRole, path: StreamPath) -> bool:
        """Whether the client may. Without credentials, or with wrong ones, it is refused as often as it asks, within a bound."""
        if self._auth.asks(role, path) and self._link.context.access.is_too_often(self._link.address):
            self.refuse(role, path, 403, "too often", "wrong credentials too often")
            return False
        wrong_before = self._auth.wrong
        challenges = self._auth.challenges(request, role, path)
        if not challenges:
            return True
        self.core.reject(401, *(("WWW-Authenticate", challenge) for challenge in challenges))
        if self._auth.wrong != wrong_before:
            self._link.context.access.failed(self._link.address)
            self.count_refusal(role, path, "credentials", "wrong credentials")
        self._end_if_over()
        return False

    def allowed(self, request: Request, path: StreamPath) -> None:
        """The client has what it asked for: it may ask for that again."""
        self._auth.allowed(request, path)

    def may_begin(self, role: SessionRole, path: StreamPath) -> bool:
        """Whether the client may begin a session; refused where it begins one after the other on its connection too fast."""
        if not self._has_begun or self._link.may_begin_another():
            return True
        self.count_refusal(role, path, "rate", "too many sessions on one connection of late")
        self.core.reject(503, ("Retry-After", "1"))
        return False

    def begun(self) -> None:
        """A session has begun: others on this connection are counted from now on."""
        self._has_begun = True

    def _end_if_over(self) -> None:
        if self._auth.is_over:
            self.send()
            self._link.close("wrong credentials too often")

    def sends_elsewhere(self, event: DescribeRequested | AnnounceRequested, role: SessionRole) -> bool:
        """Send a client to another edge where this one lets nobody in and another is known (RFC 2326 §10.10, §11.3)."""
        entrance = self._link.context.entrance
        closed = entrance.closed
        if closed is None:
            return False
        try:
            asked = urlsplit(event.request.uri)
        except ValueError as error:
            self.refuse(role, event.path, 400, "url", f"its URL is none: {error}")
            return True
        url = entrance.url(self._link.protocol, asked.path + (f"?{asked.query}" if asked.query else ""))
        if not url:
            return False
        self.count_refusal(role, event.path, closed.label, f"{closed.value}, sent to {url.partition('?')[0]}")
        self.core.reject(302, ("Location", url))
        return True

    def choose_way(self, event: SetupRequested, track: int, setup: Callable[[int, Transport], Transport]) -> None:
        """Take the first of the ways that will do."""
        for offered in event.transports:
            if offered.is_udp and not self._link.can_use_udp:
                continue
            try:
                chosen = setup(track, offered)
            except OSError as error:
                log.warning("no UDP for a client: %s", error, extra={"peer": self._link.peer})
                continue
            self.core.accept_setup(chosen, track=track)
            return
        self.core.reject(461)

    def refuse_for(self, role: SessionRole, path: StreamPath, error: LalmeshError) -> None:
        """Refuse in the words for what went wrong."""
        if isinstance(error, AccessRefused) and (challenges := self._auth.refused(error.refused)):
            self.count_refusal(role, path, error.refused.reason.value, str(error))
            self.core.reject(401, *(("WWW-Authenticate", challenge) for challenge in challenges))
            self._end_if_over()
            return
        refusal = refusal_of(error)
        self.count_refusal(role, path, refusal.reason, str(error))
        self.core.reject(refusal.status, *refusal.fields)

    def refuse(self, role: SessionRole, path: StreamPath, status: int, reason: str, detail: str) -> None:
        """Refuse with `status`; `reason` is what a metric counts it by."""
        self.count_refusal(role, path, reason, detail)
        self.core.reject(status)

    def count_refusal(self, role: SessionRole, path: StreamPath, reason: str, detail: str) -> None:
        """Take note of a refusal."""
        self._link.metrics.refused.labels(self._link.protocol, reason).inc()
        what = f"{path.app}/{path.name}"[:MAX_NAME_CHARS]
        log.warning("%s of %r refused: %s", role.value, what, detail, extra={"peer": self._link.peer})
