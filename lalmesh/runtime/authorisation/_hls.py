"""Players of HLS and of recordings: each request stands alone, so what let a player in goes along as a pass.

```
playlist with credentials ──allowed──► 302 to the same playlist, without them, with a pass ──► its lines carry the pass
playlist, segment with a good pass ──► served                     segment without ──► refused, whatever else it shows
```
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lalmesh.runtime.authorisation._access import Access
from lalmesh.runtime.authorisation._passes import PASS_PARAMETER
from lalmesh.runtime.authorisation._query import fields_of
from lalmesh.runtime.authorisation._request import Family, Request
from lalmesh.runtime.authorisation._verdict import AccessRefused, Reason, Refused
from lalmesh.runtime.secrets_in_urls import without_credentials

_FAMILIES = frozenset({Family.HLS, Family.RECORD})


@dataclass(slots=True, frozen=True)
class Admitted:
    """It may have what it asks for."""

    query: str  #: of the request, without credentials; with the pass where a playlist is to hand it on


@dataclass(slots=True, frozen=True)
class Redirected:
    """It may, by another URL."""

    query: str  #: of that; the path stays


class HlsAccess:
    """What edges and hls nodes ask before they serve HLS or recordings."""

    def __init__(self, access: Access, unix_clock: Callable[[], float] = time.time) -> None:
        """Decide by `access`."""
        self._access = access
        self._passes = access.passes
        self._clock = unix_clock

    @property
    def is_guarded(self) -> bool:
        """Whether anybody could be refused."""
        return self._access.policy.guards(_FAMILIES)

    async def hls(self, request: Request, *, is_playlist: bool) -> Admitted | Redirected:
        """Let a request for a playlist or a file of a stream in.

        Raises:
            AccessRefused: it may not.
        """
        rest = without_credentials(request.query)
        if self._access.policy.is_settled(request):  # a pass stands for credentials, not for the rule
            await self._access.check(request)
            return Admitted(request.query)
        shown = fields_of(request.query).get(PASS_PARAMETER, "")
        now_s = self._clock()
        if shown and self._passes.is_good(shown, request.stream, request.address, now_s):
            return Admitted(_joined(rest, shown) if is_playlist else rest)
        if not is_playlist:
            raise AccessRefused(Refused(reason=Reason.UNAUTHORISED, detail="no pass that is good"))
        await self._access.check(request)
        return Redirected(_joined(rest, self._passes.make(request.stream, request.address, now_s)))

    async def recording(self, request: Request | None) -> Admitted:
        """Let a request for a recording of a stream in, or for a list of its recordings; None: for a list of those of all.

        Raises:
            AccessRefused: it may not.
        """
        if request is None:
            raise AccessRefused(Refused(reason=Reason.FORBIDDEN, detail="a list of all recordings"))
        await self._access.check(request)
        return Admitted(without_credentials(request.query))


def _joined(rest: str, made: str) -> str:
    return f"{rest}&{PASS_PARAMETER}={made}" if rest else f"{PASS_PARAMETER}={made}"
