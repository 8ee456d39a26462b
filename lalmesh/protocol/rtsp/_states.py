"""What may follow what. At the server, the table of a session (RFC 2326 §A.2); any other pair is answered with 455:

```
               SETUP                      PLAY
INIT ─────────────────► READY_TO_PLAY ◄────────► PLAYING
 │                                        PAUSE
 │ ANNOUNCE              SETUP                      RECORD
 └─────────► ANNOUNCED ───────► READY_TO_RECORD ◄──────────► RECORDING
                                                    PAUSE
```

TEARDOWN leads back to INIT from everywhere. OPTIONS, GET_PARAMETER and SET_PARAMETER are answered in every state. A session belongs
to the connection that it was set up on: no client in use spreads one over several.

A client goes on with each answer to a request of its own, and to SETTING_UP by `RtspClient.setup`; ENDED comes from everywhere:

```
OPENING ─ OPTIONS ─► ASKING ─ DESCRIBE, ANNOUNCE ─► DESCRIBED ─► SETTING_UP ─ SETUP each ─► STARTING ─ PLAY, RECORD ─► ACTIVE
```
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class ServerState(Enum):
    """Where the session of a connection is."""

    INIT = auto()
    ANNOUNCED = auto()
    READY_TO_PLAY = auto()
    PLAYING = auto()
    READY_TO_RECORD = auto()
    RECORDING = auto()


class ClientState(Enum):
    """Where a client is."""

    OPENING = auto()
    ASKING = auto()
    DESCRIBED = auto()
    SETTING_UP = auto()
    STARTING = auto()
    ACTIVE = auto()
    ENDED = auto()


ANYTIME_METHODS: Final = ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")

SERVER_STEPS: Final[Mapping[tuple[ServerState, str], ServerState]] = {
    (ServerState.INIT, "DESCRIBE"): ServerState.INIT,
    (ServerState.INIT, "ANNOUNCE"): ServerState.ANNOUNCED,
    (ServerState.INIT, "SETUP"): ServerState.READY_TO_PLAY,
    (ServerState.READY_TO_PLAY, "DESCRIBE"): ServerState.READY_TO_PLAY,
    (ServerState.READY_TO_PLAY, "SETUP"): ServerState.READY_TO_PLAY,
    (ServerState.READY_TO_PLAY, "PLAY"): ServerState.PLAYING,
    (ServerState.READY_TO_PLAY, "PAUSE"): ServerState.READY_TO_PLAY,
    (ServerState.READY_TO_PLAY, "TEARDOWN"): ServerState.INIT,
    (ServerState.PLAYING, "DESCRIBE"): ServerState.PLAYING,
    (ServerState.PLAYING, "PLAY"): ServerState.PLAYING,
    (ServerState.PLAYING, "PAUSE"): ServerState.READY_TO_PLAY,
    (ServerState.PLAYING, "TEARDOWN"): ServerState.INIT,
    (ServerState.ANNOUNCED, "ANNOUNCE"): ServerState.ANNOUNCED,
    (ServerState.ANNOUNCED, "SETUP"): ServerState.READY_TO_RECORD,
    (ServerState.ANNOUNCED, "TEARDOWN"): ServerState.INIT,
    (ServerState.READY_TO_RECORD, "SETUP"): ServerState.READY_TO_RECORD,
    (ServerState.READY_TO_RECORD, "RECORD"): ServerState.RECORDING,
    (ServerState.READY_TO_RECORD, "PAUSE"): ServerState.READY_TO_RECORD,
    (ServerState.READY_TO_RECORD, "TEARDOWN"): ServerState.INIT,
    (ServerState.RECORDING, "RECORD"): ServerState.RECORDING,
    (ServerState.RECORDING, "PAUSE"): ServerState.READY_TO_RECORD,
    (ServerState.RECORDING, "TEARDOWN"): ServerState.INIT,
}

STATEFUL_METHODS: Final = tuple(dict.fromkeys(method for _, method in SERVER_STEPS))
METHODS: Final = (*ANYTIME_METHODS, *STATEFUL_METHODS)  #: all that a server of ours answers


def allowed_methods(state: ServerState) -> str:
    """The ``Allow`` header of a 455."""
    return ", ".join((*ANYTIME_METHODS, *(method for method in STATEFUL_METHODS if (state, method) in SERVER_STEPS)))
