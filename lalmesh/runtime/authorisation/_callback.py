"""The callback: somebody else's HTTP server says who may. What it said lately is remembered, and while it is down it is let be.

```
closed ── failures_num failures in a row ──► open ── open_s later ──► half open: one question
   ▲                                              ▲                            │
   └────────────────── an answer ─────────────────┼────────────────────────────┤
                                                  └────────── a failure ────────┘
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lalmesh.runtime.authorisation._password import login_of
from lalmesh.runtime.authorisation._query import token_of
from lalmesh.runtime.authorisation._request import Action, Family, Request
from lalmesh.runtime.authorisation._verdict import Allowed, Answer, Answers, Ask, CallbackQuestion, Judgement, NotThis

MAX_REMEMBERED: Final = 10_000  #: answers: some 10 MB with long queries; the oldest goes


@dataclass(slots=True, frozen=True, kw_only=True)
class CallbackSettings:
    """How the callback is asked."""

    url: str = ""
    timeout_s: float = 2.0
    concurrent_num: int = 100  #: questions at a time; one more waits for a turn, so long as well
    yes_s: float = 5.0  #: that a yes is remembered
    no_s: float = 2.0  #: ... and a no
    failures_num: int = 5  #: in a row, after which it is let be
    open_s: float = 5.0  #: for so long
    ca_file: str = ""


def question_of(request: Request) -> CallbackQuestion:
    """What is asked about `request`."""
    login = login_of(request)
    user, password = (login.user, login.password) if login is not None else ("", "")
    action = "publish" if request.action is Action.PUBLISH else "playback" if request.family is Family.RECORD else "read"
    return CallbackQuestion(
        user=user,
        password=password,
        token=token_of(request.query, request.bearer, ""),
        ip=request.address,
        action=action,
        path=str(request.stream),
        protocol=request.protocol,
        query=request.query,
        user_agent=request.user_agent,
    )


def payload_of(question: CallbackQuestion, session_id: str) -> Mapping[str, str | None]:
    """The JSON object that is posted."""
    return {
        "user": question.user,
        "password": question.password,
        "token": question.token,
        "ip": question.ip,
        "action": question.action,
        "path": question.path,
        "protocol": question.protocol,
        "id": session_id or None,
        "query": question.query,
        "userAgent": question.user_agent,
    }


class Callback:
    """Lets in whom the callback lets in."""

    def __init__(self, *, fail_open: bool = False) -> None:
        """Where nobody answers, let everybody in (`fail_open`) or nobody."""
        self._fail_open = fail_open

    def judge(self, request: Request, now_s: float, answers: Answers) -> Judgement:
        """See `Method.judge`."""
        question = question_of(request)
        was_shown = bool(question.query or question.user or question.password or question.token)
        match answers.get(question):
            case None:
                return Ask(question)
            case Answer.YES:
                return Allowed("callback")
            case Answer.NO:
                return NotThis(detail="the callback says no", was_shown=was_shown)
            case Answer.BUSY:  # whoever asks often enough makes it so, and is not let in for that
                return NotThis(detail="too many wait for the callback", is_unanswered=True)
            case _ if self._fail_open:
                return Allowed("callback, which does not answer")
            case _:
                return NotThis(detail="the callback does not answer", is_unanswered=True)


class Remembered:
    """What the callback said lately."""

    def __init__(self, yes_s: float, no_s: float) -> None:
        """Remember each answer for its seconds; 0: not at all."""
        self._lasts_s = {Answer.YES: yes_s, Answer.NO: no_s}
        self._answers: dict[CallbackQuestion, tuple[Answer, float]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._answers)

    def get(self, question: CallbackQuestion, now_s: float) -> Answer | None:
        """What was said, as long as that holds."""
        answer, until_s = self._answers.get(question, (None, 0.0))
        return answer if now_s < until_s else None

    def keep(self, question: CallbackQuestion, answer: Answer, now_s: float) -> None:
        """Remember what was said; that there was no answer is not remembered."""
        lasts_s = self._lasts_s.get(answer, 0.0)
        self._answers.pop(question, None)
        if lasts_s > 0:
            self._answers[question] = (answer, now_s + lasts_s)
            if len(self._answers) > MAX_REMEMBERED:
                del self._answers[next(iter(self._answers))]


class Breaker:
    """Whether a server that failed is asked again."""

    def __init__(self, failures_num: int, open_s: float) -> None:
        """After so many failures in a row do not ask for so long."""
        self._limit = failures_num
        self._open_s = open_s
        self._failures = 0
        self._open_until_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it has been let be, and not answered since."""
        return self._failures >= self._limit

    def may_ask(self, now_s: float) -> bool:
        """Whether to ask now. While it is open that is one question each time its pause is over."""
        if not self.is_open:
            return True
        if now_s < self._open_until_s:
            return False
        self._open_until_s = now_s + self._open_s
        return True

    def answered(self) -> None:
        """It answered, whatever it said."""
        self._failures = 0

    def failed(self, now_s: float) -> None:
        """It did not answer."""
        self._failures += 1
        self._open_until_s = now_s + self._open_s
