"""The shell around the decision: asks whom the policy wants asked, counts, and says no."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from lalmesh.runtime.authorisation._asking import CallbackAsker
from lalmesh.runtime.authorisation._callback import CallbackSettings
from lalmesh.runtime.authorisation._jwt import Tokens
from lalmesh.runtime.authorisation._key_fetching import KeyFetcher, KeySource
from lalmesh.runtime.authorisation._limits import AppLimit
from lalmesh.runtime.authorisation._metrics import ALLOWED, AccessMetrics
from lalmesh.runtime.authorisation._passes import EdgeHeaders, Passes
from lalmesh.runtime.authorisation._policy import Policy
from lalmesh.runtime.authorisation._request import Request
from lalmesh.runtime.authorisation._verdict import (
    AccessRefused,
    Allowed,
    Answer,
    Ask,
    CallbackQuestion,
    KeysQuestion,
    Question,
    Reason,
    Refused,
)
from lalmesh.runtime.rate_limit import RateLimit

log = logging.getLogger(__name__)

TOO_OFTEN_RETRY_S = 60.0
MINUTE_S = 60.0


@dataclass(slots=True, frozen=True, kw_only=True)
class AccessSettings:
    """What an `Access` is built of."""

    policy: Policy = field(default_factory=Policy)
    callback: CallbackSettings | None = None  #: None: nobody is asked
    tokens: Tokens | None = None  #: whose keys are fetched from `keys`
    keys: KeySource | None = None
    failures_per_minute: int = 0  #: wrong credentials of one address; 0: no limit
    limits: tuple[AppLimit, ...] = ()
    cluster_keys: tuple[bytes, ...] = field(default_factory=lambda: (secrets.token_bytes(32),), repr=False)
    hls_pass_s: int = 43_200  #: that a player of HLS may go on for
    hls_pass_address: bool = True  #: ... at its address alone


class Access:
    """Who may publish and play at one node. Made where a loop runs; `start` and `close` frame it."""

    def __init__(self, settings: AccessSettings, metrics: AccessMetrics, unix_clock: Callable[[], float] = time.time) -> None:
        """Decide as `settings` say; `unix_clock` gives Unix seconds."""
        self.policy = settings.policy
        self.limits = settings.limits  #: of applications, for those who count clients
        self.passes = Passes(settings.cluster_keys, settings.hls_pass_s, binds_address=settings.hls_pass_address)
        self.edge_headers = EdgeHeaders(settings.cluster_keys)
        self._unix_clock = unix_clock
        self._metrics = metrics
        loop_clock = asyncio.get_running_loop().time
        self._failures = RateLimit(*_rate(settings.failures_per_minute), loop_clock)
        self._callback = CallbackAsker(settings.callback, metrics, loop_clock) if settings.callback is not None else None
        self._keys: KeyFetcher | None = None
        if settings.tokens is not None and settings.keys is not None:
            self._keys = KeyFetcher(settings.tokens, settings.keys, metrics, loop_clock)
        self._fetching: asyncio.Task[None] | None = None

    @classmethod
    def open_to_all(cls, role: str = "edge") -> Access:
        """Anybody may do anything."""
        return cls(AccessSettings(), AccessMetrics(role, CollectorRegistry()))

    def start(self) -> None:
        """Begin to fetch what has to be fresh."""
        if self._keys is not None:
            self._fetching = asyncio.get_running_loop().create_task(self._keys.run(), name="access-key-refresh")

    async def close(self) -> None:
        """End all questions."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        for part in (self._keys, self._callback):
            if part is not None:
                await part.close()

    def apply(self, settings: AccessSettings) -> None:
        """Go by other rules, keys and limits from the next request on; the callback and the source of key sets stay."""
        if self._keys is not None and settings.tokens is not None:
            self._keys.give_to(settings.tokens)
        self.policy, self.limits = settings.policy, settings.limits
        self._failures.set(*_rate(settings.failures_per_minute))

    def is_too_often(self, address: str) -> bool:
        """Whether `address` has shown wrong credentials too often lately."""
        return self._failures.is_spent(address)

    def failed(self, address: str) -> None:
        """Wrong credentials came from `address`, where somebody else looked at them."""
        self._failures.take(address)

    async def check(self, request: Request) -> None:
        """Return if `request` is allowed.

        Raises:
            AccessRefused: it is not.
        """
        verdict = await self._decided(request)
        result = verdict.reason.value if isinstance(verdict, Refused) else ALLOWED
        self._metrics.decisions.labels(request.action.value, request.family.value, result).inc()
        if isinstance(verdict, Refused):
            facts = {"action": request.action.value, "stream_key": str(request.stream), "address": request.address}
            log.info("not allowed: %s", verdict.detail, extra=facts | {"protocol": request.protocol})
            raise AccessRefused(verdict)

    async def _decided(self, request: Request) -> Allowed | Refused:
        if self._failures.is_spent(request.address) and not self.policy.is_open_for(request):
            return Refused(reason=Reason.TOO_OFTEN, detail="failed too often", retry_after_s=TOO_OFTEN_RETRY_S)
        answers: dict[Question, Answer] = {}
        while True:
            verdict = self.policy.decide(request, self._unix_clock(), answers)
            if not isinstance(verdict, Ask):
                break
            answers[verdict.question] = await self._answer(verdict.question, request)
        if isinstance(verdict, Refused) and verdict.was_shown and not verdict.is_stale:
            self._failures.take(request.address)
        return verdict

    async def _answer(self, question: Question, request: Request) -> Answer:
        match question:
            case CallbackQuestion() if self._callback is not None:
                return await self._callback.answer(question, request.session_id)
            case KeysQuestion() if self._keys is not None:
                return await self._keys.answer()
            case _:
                return Answer.NONE


def _rate(failures_per_minute: int) -> tuple[float, float]:
    """How many a second, and how many at once."""
    return failures_per_minute / MINUTE_S, float(failures_per_minute)
