"""A player from the request that was let in to its first media: it waits for its stream with a session of its own.

So it is told of, listed, counted and ended like those that play.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from lalmesh.errors import Unavailable
from lalmesh.names import StreamKey
from lalmesh.runtime.sessions import SessionRole
from services.edge.client import Client
from services.edge.endings import NOT_BEGUN
from services.edge.entrance import RETRY_AFTER_S, Closed
from services.edge.relay import Relay
from services.edge.session import Sessions


class Joining:
    """One player that does not play yet. Use it as `given_back_unless_taken` says once it has waited."""

    def __init__(self, sessions: Sessions, client: Client, stream: StreamKey, relay: Relay | None = None) -> None:
        """Open the session of `client`; `relay` is held for it, where it is known already."""
        self.over = ""  #: why it was ended from here, if it was
        self._sessions = sessions
        self._relay = relay
        self._limit: asyncio.Timeout | None = None  # of the wait
        self._is_taken = False
        self.session = sessions.open(client, SessionRole.PLAYER, stream, self._close)
        self.session.ask_to_reconnect = self._go_elsewhere

    @property
    def client(self) -> Client:
        """Whose it is."""
        return self.session.client

    @property
    def relay(self) -> Relay:
        """That of its stream, which it holds."""
        assert self._relay is not None
        return self._relay

    async def wait(self, acquiring: Awaitable[Relay]) -> None:
        """Wait for the relay; the session is over where there is none.

        Raises:
            ServiceError: there is none, or the player was ended from here.
        """
        try:
            try:
                async with asyncio.timeout(None) as self._limit:
                    self._relay = await acquiring
            except TimeoutError:
                raise self._ended() from None
            finally:
                self._limit = None
            self.check()  # it may have come in the turn of the loop in which the player was ended
        except BaseException as error:
            if self._relay is not None:
                self._relay.let_go()
            self._sessions.closed(self.session, str(error) or "closed by the peer")
            raise

    def check(self) -> None:
        """Return if it may go on; to be asked after other waits.

        Raises:
            Unavailable: it was ended from here.
        """
        if self.over:
            raise self._ended()

    @contextmanager
    def given_back_unless_taken(self) -> Iterator[None]:
        """At the end of the context end the session and let the relay go, unless `take` was called."""
        reason = NOT_BEGUN
        try:
            yield
        except BaseException as error:
            reason = str(error) or reason
            raise
        finally:
            if not self._is_taken:
                self.relay.let_go()
                self._sessions.closed(self.session, self.over or reason)

    def take(self) -> Relay:
        """The player begins: whoever calls this lets the relay go, and closes the session, which has another `close` at once."""
        self._is_taken = True
        self.session.ask_to_reconnect = lambda: False
        return self.relay

    def _close(self, reason: str) -> None:
        if self.over:
            return  # it is on its way out, and its wait can be ended only once
        self.over = reason
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    def _go_elsewhere(self) -> bool:
        self._close(Closed.DRAINING.value)
        return True

    def _ended(self) -> Unavailable:
        return Unavailable(self.over, retry_after_s=RETRY_AFTER_S)
