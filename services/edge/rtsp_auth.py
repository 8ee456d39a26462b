"""Who may publish and play over RTSP: the users of the configuration, by Basic or Digest (docs/design.md §10).

Those have to log in before anything else is looked at; what the rules of `lalmesh.runtime.authorisation` ask of a client comes
after that, with the same credentials. It is decided before anything is announced or described. What was allowed holds for the
same stream on the same connection, so that a nonce that expires in the middle of a session ends nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum
from typing import Final

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.protocol.http_auth import BasicCredentials, Credentials, ServerAuth, Verdict, parse_credentials
from lalmesh.protocol.rtsp import Request, StreamPath
from lalmesh.runtime.authorisation import LoginCheck, Reason, Refused
from lalmesh.runtime.sessions import SessionRole
from services.edge.rtsp_link import AuthSettings

REALM: Final = "lalmesh"
MAX_WRONG: Final = 16  #: wrong credentials on one connection: whoever guesses has to come again, and be counted and logged


class Answer(Enum):
    """What a request may do."""

    ALLOWED = "allowed"
    UNKNOWN = "no credentials"  #: the client has to say who it is, or to say it again with a fresh nonce
    WRONG = "wrong credentials"


class RtspAuth:
    """What the listeners of an edge ask."""

    def __init__(self, settings: AuthSettings, secret: bytes) -> None:
        """Let in whom `settings` name; `secret`: 16 random bytes and up, for nonces."""
        self._server = ServerAuth(REALM, secret, schemes=settings.schemes)
        self._users: Mapping[SessionRole, Mapping[str, str]] = {
            SessionRole.PUBLISHER: settings.publish_users,
            SessionRole.PLAYER: settings.play_users,
        }

    def connection(self, address: str) -> ConnectionAuth:
        """For one connection from `address`."""
        return ConnectionAuth(self, address)

    def login(self, request: Request, address: str) -> RtspLogin | None:
        """What `request` logs in with; None where it does not."""
        shown = _credentials(request)
        return RtspLogin(self._server, shown, request.method, request.uri, address) if shown is not None else None

    def challenges(self, refused: Refused, address: str) -> list[str]:
        """What goes with the 401 of a client that the rules refuse."""
        if refused.asks_login:
            return self._server.challenges(time.time(), address, stale=refused.is_stale)
        return [f'Basic realm="{REALM}"' if refused.asks_basic else f'Bearer realm="{REALM}"']

    def has_users(self, role: SessionRole) -> bool:
        """Whether only some may."""
        return bool(self._users[role])

    def check(self, request: Request, role: SessionRole, address: str) -> tuple[Answer, list[str]]:
        """What `request` may do, and the challenges that go with a refusal."""
        users, now_s = self._users[role], time.time()
        if not users:
            return Answer.ALLOWED, []
        shown = _credentials(request)
        verdict = Verdict.REFUSED
        if shown is not None:
            verdict = self._server.check(
                shown, users.get(shown.user), method=request.method, uri=request.uri, now_s=now_s, client=address
            )
        if verdict is Verdict.ACCEPTED:
            return Answer.ALLOWED, []
        is_stale = verdict is Verdict.STALE
        answer = Answer.UNKNOWN if is_stale or not request.headers.get("authorization") else Answer.WRONG
        return answer, self._server.challenges(now_s, address, stale=is_stale)


class RtspLogin:
    """The credentials of one request: a `Login`."""

    def __init__(self, server: ServerAuth, shown: Credentials, method: str, uri: str, address: str) -> None:
        """As they were `shown` by a client at `address`."""
        self.user = shown.user
        self.password = shown.password if isinstance(shown, BasicCredentials) else ""
        self._server = server
        self._shown = shown
        self._method = method
        self._uri = uri
        self._address = address

    def check(self, password: str | None) -> LoginCheck:
        """See `Login.check`."""
        verdict = self._server.check(
            self._shown, password, method=self._method, uri=self._uri, now_s=time.time(), client=self._address
        )
        match verdict:
            case Verdict.ACCEPTED:
                return LoginCheck.RIGHT
            case Verdict.STALE:
                return LoginCheck.STALE
            case Verdict.REFUSED:
                return LoginCheck.WRONG


class ConnectionAuth:
    """What one connection was allowed, and how often it was wrong."""

    def __init__(self, auth: RtspAuth, address: str) -> None:
        """Begin as a stranger."""
        self._auth = auth
        self._address = address
        self._allowed: set[tuple[SessionRole, str, str]] = set()
        self._granted: tuple[str, str, str] | None = None  # method, app and name that the rules let in
        self.wrong = 0  #: times

    @property
    def is_over(self) -> bool:
        """It has been wrong so often that it has to go."""
        return self.wrong >= MAX_WRONG

    def asks(self, role: SessionRole, path: StreamPath) -> bool:
        """Whether somebody in this role has still to log in to get at the stream at `path`."""
        return self._auth.has_users(role) and (role, path.app, path.name) not in self._allowed

    def challenges(self, request: Request, role: SessionRole, path: StreamPath) -> list[str]:
        """The ``WWW-Authenticate`` headers of the refusal of `request` about the stream at `path`; none where it is allowed."""
        wanted = (role, path.app, path.name)
        if wanted in self._allowed:
            return []
        answer, challenges = self._auth.check(request, role, self._address)
        if answer is Answer.ALLOWED:
            self._allowed = {wanted}  # the one stream of this connection
        elif answer is Answer.WRONG:
            self.wrong += 1
        return challenges

    def login(self, request: Request) -> RtspLogin | None:
        """What `request` logs in with."""
        return self._auth.login(request, self._address)

    def was_allowed(self, request: Request, path: StreamPath) -> bool:
        """Whether the rules have let the same in on this connection."""
        return self._granted == (request.method, path.app, path.name)

    def allowed(self, request: Request, path: StreamPath) -> None:
        """The rules have let it in."""
        self._granted = (request.method, path.app, path.name)

    def refused(self, refused: Refused) -> list[str]:
        """The challenges of a client that the rules refuse; none where credentials would not help."""
        if refused.reason is not Reason.UNAUTHORISED:
            return []
        self.wrong += refused.was_shown and not refused.is_stale
        return self._auth.challenges(refused, self._address)


def _credentials(request: Request) -> Credentials | None:
    """What the client shows; None where that is nothing, or nothing that is known here."""
    shown = request.headers.get("authorization")
    try:
        return parse_credentials(shown) if shown else None
    except (RemoteProtocolError, UnsupportedError):
        return None
