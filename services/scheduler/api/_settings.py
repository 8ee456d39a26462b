"""How the API is set up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lalmesh.runtime.api_tokens import ApiToken, Tokens
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.listener import ListenerLimits
from services.scheduler.api._operation import Operation
from services.scheduler.api._permission import Permission, TokenFailures
from services.scheduler.api._router import Api
from services.scheduler.api._turnstile import Turnstile

LIMITS = ListenerLimits(connections=5_000)  #: a thousand consoles and routers ask in a few connections each


@dataclass(slots=True, frozen=True, kw_only=True)
class ApiSettings:
    """Who may ask, and which web pages."""

    tokens: tuple[ApiToken, ...] = ()  #: none: changes are taken from programs on this machine only
    open_reads: bool = True  #: whether anybody may look; otherwise that needs a token too
    cors_origins: tuple[str, ...] = ()  #: of web pages that may ask; ``*``: any, for what a token allows
    limits: ListenerLimits = LIMITS  #: of connections, and whose word is taken for whom they speak for
    token_failures_per_minute: int = 0  #: of one address, after which its tokens are not looked at; 0: no limit
    proxy_protocol: bool = False  #: whether they begin with a PROXY header

    def build(self, operations: Sequence[Operation], turnstile: Turnstile | None = None) -> Api:
        """The API of `operations`; `turnstile` lets requests in, one of its own by default.

        Raises:
            ValueError: two operations would be one.
        """
        failures = TokenFailures(self.token_failures_per_minute)
        return Api(operations, self._permission(failures), CorsPolicy(self.cors_origins), turnstile)

    def apply(self, api: Api) -> None:
        """Have an API that was built go by these settings from now on."""
        failures = api.permission.failures  # which are not forgotten
        failures.set(self.token_failures_per_minute)
        api.take(self._permission(failures), self.cors_origins)

    def _permission(self, failures: TokenFailures) -> Permission:
        origins = frozenset(origin.lower().rstrip("/") for origin in self.cors_origins if origin != "*")
        return Permission(Tokens(self.tokens), open_reads=self.open_reads, trusted_origins=origins, failures=failures)
