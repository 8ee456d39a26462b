"""What comes of a request: it is allowed, refused, or somebody else has to be asked first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from lalmesh.errors import NotAuthorized
from lalmesh.runtime.authorisation._request import Request


class Reason(Enum):
    """Why a request is refused, as far as its client is told. Which part of its credentials was wrong is not."""

    UNAUTHORISED = "unauthorised"  #: no credentials, or none that will do
    FORBIDDEN = "forbidden"  #: whatever it shows
    TOO_OFTEN = "too often"  #: wrong credentials of its address
    FULL = "full"  #: the application has all that it may have
    UNAVAILABLE = "unavailable"  #: whoever has to be asked does not answer


@dataclass(slots=True, frozen=True)
class Allowed:
    """It may."""

    by: str  #: method


@dataclass(slots=True, frozen=True, kw_only=True)
class Refused:
    """It may not."""

    reason: Reason
    detail: str = ""  #: for the log of the server alone
    asks_login: bool = False  #: a name and a password would do
    asks_basic: bool = False  #: ... and a token in place of the password
    is_stale: bool = False  #: the login was right, but for its age
    was_shown: bool = False  #: credentials were shown, and wrong: counted against the address
    retry_after_s: float = 0.0  #: 0: asking again will not help


@dataclass(slots=True, frozen=True, kw_only=True)
class CallbackQuestion:
    """What the callback of the operator is asked. The fields are those of MediaMTX."""

    user: str
    password: str
    token: str
    ip: str
    action: str  #: ``publish``, ``read``, ``playback``
    path: str
    protocol: str
    query: str
    user_agent: str


@dataclass(slots=True, frozen=True)
class KeysQuestion:
    """Newer keys are wanted: the ones that are known have none of this name."""

    key_id: str


Question: TypeAlias = CallbackQuestion | KeysQuestion


class Answer(Enum):
    """What came of a question."""

    YES = "yes"  #: of keys: they were looked for
    NO = "no"
    NONE = "none"  #: nobody answered
    BUSY = "busy"  #: too many are being asked for it to be asked now


Answers: TypeAlias = Mapping[Question, Answer]


@dataclass(slots=True, frozen=True)
class Ask:
    """It cannot be told before this has been answered."""

    question: Question


Verdict: TypeAlias = Allowed | Refused | Ask


@dataclass(slots=True, frozen=True, kw_only=True)
class NotThis:
    """A method does not let it in."""

    detail: str
    was_shown: bool = False  #: it was shown what it looks for
    is_stale: bool = False
    is_unanswered: bool = False  #: whoever it has to ask does not answer


Judgement: TypeAlias = Allowed | NotThis | Ask


class Method(Protocol):
    """One way to let clients in."""

    def judge(self, request: Request, now_s: float, answers: Answers) -> Judgement:
        """What it says to `request` at `now_s` (Unix seconds), knowing `answers` to what it asked."""
        ...


class AccessRefused(NotAuthorized):
    """A client may not publish or play. Its text is what any client may read."""

    def __init__(self, refused: Refused) -> None:
        """Keep what is `refused`."""
        self.refused = refused
        super().__init__(_WORDS[refused.reason])

    @classmethod
    def full(cls, detail: str, retry_after_s: float) -> AccessRefused:
        """What it may have is used up, as `detail` says."""
        return cls(Refused(reason=Reason.FULL, detail=detail, retry_after_s=retry_after_s))


_WORDS = {
    Reason.UNAUTHORISED: "Unauthorized",
    Reason.FORBIDDEN: "Forbidden",
    Reason.TOO_OFTEN: "Too many failed attempts",
    Reason.FULL: "Limit reached",
    Reason.UNAVAILABLE: "Authorization unavailable",
}
