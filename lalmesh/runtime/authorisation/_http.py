"""Refusals in the words of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lalmesh.runtime.authorisation._verdict import Reason, Refused

HTTP_STATUS: Final[Mapping[Reason, int]] = {
    Reason.UNAUTHORISED: 401,
    Reason.FORBIDDEN: 403,
    Reason.TOO_OFTEN: 429,
    Reason.FULL: 503,
    Reason.UNAVAILABLE: 503,
}


def http_challenge(refused: Refused) -> dict[str, str]:
    """What goes with a 401 (RFC 9110 §11.6.1). Browsers ask their user where it is Basic: only where a password would do."""
    if refused.reason is not Reason.UNAUTHORISED:
        return {}
    return {"WWW-Authenticate": 'Basic realm="lalmesh", charset="UTF-8"' if refused.asks_login else 'Bearer realm="lalmesh"'}
