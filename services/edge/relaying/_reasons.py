"""Why an attempt is over, as everybody may read it who may see relays: in no word that a server chose which speaks something else.

A URL may lead to a service inside that was never meant to be read. What it answers is in the log of the edge at the level DEBUG.
"""

from __future__ import annotations

from lalmesh.client import Refused
from lalmesh.errors import RemoteProtocolError
from lalmesh.runtime.foreign_text import well_formed
from lalmesh.runtime.push_targets import without_key
from lalmesh.runtime.relay_rules import without_secrets
from lalmesh.runtime.scheduling import RelayJob
from lalmesh.runtime.secrets_in_urls import without_echo


def shown_reason(error: Exception) -> str:
    """The error in words of ours; those of servers that speak RTMP or RTSP are theirs, which is what they have them for."""
    match error:
        case Refused(code=code) if code.startswith("HTTP "):
            return f"refused: {code}"
        case RemoteProtocolError(section=section):
            return f"the other side breaks the protocol ({section})" if section else "the other side breaks the protocol"
        case _:
            return str(error) or type(error).__name__


def shown(text: str, job: RelayJob, url: str) -> str:
    """`text` about an attempt at `url`, without what lets somebody in there: whoever was dialled may repeat it."""
    text = without_key(text, url, job.stream.name) if job.is_push else without_secrets(text)
    return well_formed(without_echo(text, url))
