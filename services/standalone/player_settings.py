"""From the configuration to how players of HLS are counted, by edges and hls nodes alike."""

from __future__ import annotations

from lalmesh.runtime.authorisation import derived_keys
from lalmesh.runtime.config import Config
from lalmesh.runtime.hls_sessions import SessionIds

_SESSION = b"lalmesh hls session key, version 1"


def session_ids(config: Config, keys: tuple[bytes, ...]) -> SessionIds | None:
    """How players are told apart; None where they are not counted. `keys` are those of the cluster."""
    session = config.hls.session
    if not session.enable:
        return None
    own = session.hash_key.get_secret_value().encode()
    return SessionIds((own,), on_files=True) if own else SessionIds(derived_keys(keys, _SESSION))


def session_ids_at_edges(config: Config, keys: tuple[bytes, ...]) -> SessionIds | None:
    """The same where edges count players themselves; None where hls nodes do: each line of a playlist has to carry the id."""
    ids = session_ids(config, keys)
    return None if ids is None or ids.on_files else ids
