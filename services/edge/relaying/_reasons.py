"""Why an attempt is over, as everybody may read it who may see relays: in no word that a server chose which speaks something else.

A URL may lead to a service inside that was never meant to be read. What it answers is in the log of the edge at the level DEBUG.
"""

from __future__ import annotations

from lalmesh.client import Refused
from lalmesh.errors import RemoteProtocolError


def shown_reason(error: Exception) -> str:
    """The error in words of ours; those of servers that speak RTMP or RTSP are theirs, which is what they have them for."""
    match error:
        case Refused(code=code) if code.startswith("HTTP "):
            return f"refused: {code}"
        case RemoteProtocolError(section=section):
            return f"the other side breaks the protocol ({section})" if section else "the other side breaks the protocol"
        case _:
            return str(error) or type(error).__name__
