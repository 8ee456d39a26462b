"""What may follow what: the transition tables of the RTMP roles. Any pair that is not in them is a protocol error.

Server, the connection, and each of its message streams (a stream that is not in use is idle):

```
HANDSHAKING ── handshake done ──► OPEN ── connect ──► ASKED ── accept ──► CONNECTED
                                                        └───── reject ──► REFUSED

  ┌─── publish ───► PUBLISH_ASKED ── accept ──► PUBLISHING ─┐ media       close leads back to IDLE
  │                       └─ reject ─┐              │ ▲─────┘             from everywhere
IDLE                              DISMISSED ◄─ end ─┘
  │                       ┌─ reject ──► IDLE                              DISMISSED is IDLE but for media
  └──── play ──────► PLAY_ASKED ── accept ──► PLAYING ── end ──► IDLE     that comes late, and is passed over
```

A publisher whom we refuse or end has media under way, hence DISMISSED. Media of a stream that never asked to publish, or that the
client closed itself, is an error.

Client: HANDSHAKING ──► CONNECTING ──► CREATING ──► REQUESTING ──► ACTIVE ──► ENDED, and ENDED from everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import TypeVar

from lalmesh.errors import LocalProtocolError, ProtocolError, RemoteProtocolError


class ConnectionState(Enum):
    """Where the server's side of a connection is."""

    HANDSHAKING = auto()
    OPEN = auto()
    ASKED = auto()
    CONNECTED = auto()
    REFUSED = auto()


class StreamState(Enum):
    """Where a message stream is, on the server's side."""

    IDLE = auto()
    PUBLISH_ASKED = auto()
    PUBLISHING = auto()
    DISMISSED = auto()
    PLAY_ASKED = auto()
    PLAYING = auto()


class ClientState(Enum):
    """Where a client is."""

    HANDSHAKING = auto()
    CONNECTING = auto()
    CREATING = auto()
    REQUESTING = auto()
    ACTIVE = auto()
    ENDED = auto()


class Step(Enum):
    """What happens to a connection or to a message stream: the peer's doing, or ours."""

    HANDSHAKE_DONE = "end of the handshake"
    CONNECT = "connect"
    ACCEPT_CONNECT = "accept_connect"
    REJECT_CONNECT = "reject_connect"
    COMMAND = "command"
    PUBLISH = "publish"
    ACCEPT_PUBLISH = "accept_publish"
    REJECT_PUBLISH = "reject_publish"
    END_PUBLISH = "end_publish"
    PLAY = "play"
    ACCEPT_PLAY = "accept_play"
    REJECT_PLAY = "reject_play"
    END_PLAY = "end_play"
    PAUSE = "pause"
    MEDIA = "media message"
    CONNECT_RESULT = "connect result"
    CREATE_RESULT = "createStream result"
    STARTED = "start status"


#: what the application does by calling `RtmpServer`: a misstep is our own bug
_OURS = frozenset(
    (
        Step.ACCEPT_CONNECT,
        Step.REJECT_CONNECT,
        Step.ACCEPT_PUBLISH,
        Step.REJECT_PUBLISH,
        Step.END_PUBLISH,
        Step.ACCEPT_PLAY,
        Step.REJECT_PLAY,
        Step.END_PLAY,
    )
)

CONNECTION_STEPS: Mapping[tuple[ConnectionState, Step], ConnectionState] = {
    (ConnectionState.HANDSHAKING, Step.HANDSHAKE_DONE): ConnectionState.OPEN,
    (ConnectionState.OPEN, Step.CONNECT): ConnectionState.ASKED,
    (ConnectionState.ASKED, Step.ACCEPT_CONNECT): ConnectionState.CONNECTED,
    (ConnectionState.ASKED, Step.REJECT_CONNECT): ConnectionState.REFUSED,
    (ConnectionState.CONNECTED, Step.COMMAND): ConnectionState.CONNECTED,
}

STREAM_STEPS: Mapping[tuple[StreamState, Step], StreamState] = {
    (StreamState.IDLE, Step.PUBLISH): StreamState.PUBLISH_ASKED,
    (StreamState.PUBLISH_ASKED, Step.ACCEPT_PUBLISH): StreamState.PUBLISHING,
    (StreamState.PUBLISH_ASKED, Step.REJECT_PUBLISH): StreamState.DISMISSED,
    (StreamState.PUBLISHING, Step.MEDIA): StreamState.PUBLISHING,
    (StreamState.PUBLISHING, Step.END_PUBLISH): StreamState.DISMISSED,
    (StreamState.DISMISSED, Step.MEDIA): StreamState.DISMISSED,
    (StreamState.DISMISSED, Step.PUBLISH): StreamState.PUBLISH_ASKED,
    (StreamState.DISMISSED, Step.PLAY): StreamState.PLAY_ASKED,
    (StreamState.DISMISSED, Step.PAUSE): StreamState.DISMISSED,
    (StreamState.IDLE, Step.PAUSE): StreamState.IDLE,
    (StreamState.IDLE, Step.PLAY): StreamState.PLAY_ASKED,
    (StreamState.PLAY_ASKED, Step.ACCEPT_PLAY): StreamState.PLAYING,
    (StreamState.PLAY_ASKED, Step.REJECT_PLAY): StreamState.IDLE,
    (StreamState.PLAY_ASKED, Step.PAUSE): StreamState.PLAY_ASKED,
    (StreamState.PLAYING, Step.PAUSE): StreamState.PLAYING,
    (StreamState.PLAYING, Step.END_PLAY): StreamState.IDLE,
}

CLIENT_STEPS: Mapping[tuple[ClientState, Step], ClientState] = {
    (ClientState.HANDSHAKING, Step.HANDSHAKE_DONE): ClientState.CONNECTING,
    (ClientState.CONNECTING, Step.CONNECT_RESULT): ClientState.CREATING,
    (ClientState.CREATING, Step.CREATE_RESULT): ClientState.REQUESTING,
    (ClientState.REQUESTING, Step.STARTED): ClientState.ACTIVE,
    (ClientState.ACTIVE, Step.MEDIA): ClientState.ACTIVE,
}

_State = TypeVar("_State", ConnectionState, StreamState, ClientState)


def next_state(table: Mapping[tuple[_State, Step], _State], state: _State, step: Step) -> _State:
    """The state that `step` leads to.

    Raises:
        RemoteProtocolError: the peer may not do this now.
        LocalProtocolError: we may not.
    """
    after = table.get((state, step))
    if after is None:
        error: type[ProtocolError] = LocalProtocolError if step in _OURS else RemoteProtocolError
        raise error(f"{step.value} while {state.name.lower().replace('_', ' ')}", section="RTMP 1.0 §7.2")
    return after
