"""Users and passwords: Basic and Digest where the protocol has them, fields of the query where it has not."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from lalmesh.runtime.authorisation._query import fields_of
from lalmesh.runtime.authorisation._request import Action, Login, LoginCheck, Request
from lalmesh.runtime.authorisation._verdict import Allowed, Answers, Judgement, NotThis


@dataclass(slots=True, frozen=True)
class PlainLogin:
    """A name and a password as they are."""

    user: str
    password: str

    def check(self, password: str | None) -> LoginCheck:
        """See `Login.check`."""
        shown, expected = self.password.encode("utf-8", "surrogatepass"), (password or "").encode("utf-8", "surrogatepass")
        is_right = hmac.compare_digest(shown, expected)
        return LoginCheck.RIGHT if is_right and password is not None else LoginCheck.WRONG


def login_of(request: Request) -> Login | None:
    """What `request` logs in with: as its protocol has it, else ``user`` and ``pass`` of its query."""
    if request.login is not None:
        return request.login
    fields = fields_of(request.query)
    user = fields.get("user") or fields.get("username")
    return PlainLogin(user, fields.get("pass") or fields.get("password") or "") if user else None


class Passwords:
    """Lets in the users of each action."""

    def __init__(self, publish_users: Mapping[str, str], play_users: Mapping[str, str]) -> None:
        """Passwords by name."""
        self.users: Mapping[Action, Mapping[str, str]] = {Action.PUBLISH: dict(publish_users), Action.PLAY: dict(play_users)}

    def judge(self, request: Request, now_s: float, answers: Answers) -> Judgement:
        """See `Method.judge`."""
        login = login_of(request)
        if login is None:
            return NotThis(detail="no login")
        match login.check(self.users[request.action].get(login.user)):
            case LoginCheck.RIGHT:
                return Allowed("password")
            case LoginCheck.STALE:
                return NotThis(detail="the nonce is too old", is_stale=True)
            case _:
                return NotThis(detail="wrong user or password", was_shown=True)
