"""How the API is set up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lalmesh.runtime.api_tokens import ApiToken, Tokens
from lalmesh.runtime.cors import CorsPolicy
from lalmesh.runtime.forwarded import TrustedProxies
from services.scheduler.api._operation import Operation
from services.scheduler.api._permission import Permission
from services.scheduler.api._router import Api
from services.scheduler.api._turnstile import Turnstile


@dataclass(slots=True, frozen=True, kw_only=True)
class ApiSettings:
    """Who may ask, and which web pages."""

    tokens: tuple[ApiToken, ...] = ()  #: none: changes are taken from programs on this machine only
    open_reads: bool = True  #: whether anybody may look; otherwise that needs a token too
    cors_origins: tuple[str, ...] = ()  #: of web pages that may ask; ``*``: any, for what a token allows
    proxies: TrustedProxies = field(default_factory=TrustedProxies)  #: whose word is taken for whom they speak for
    proxy_protocol: bool = False  #: whether they begin with a PROXY header

    def build(self, operations: Sequence[Operation], turnstile: Turnstile | None = None) -> Api:
        """The API of `operations`; `turnstile` lets requests in, one of its own by default.

        Raises:
            ValueError: two operations would be one.
        """
        return Api(operations, self._permission(), CorsPolicy(self.cors_origins), turnstile)

    def apply(self, api: Api) -> None:
        """Have an API that was built go by these settings from now on."""
        api.take(self._permission(), self.cors_origins)

    def _permission(self) -> Permission:
        origins = frozenset(origin.lower().rstrip("/") for origin in self.cors_origins if origin != "*")
        return Permission(Tokens(self.tokens), open_reads=self.open_reads, trusted_origins=origins)
