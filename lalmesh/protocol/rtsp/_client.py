"""The client's end of an RTSP connection, for one stream that it publishes or plays.

It says what the protocol wants next by itself, but for the tracks, which the application finds in the description: which of them,
at which URLs, and through which ports. It must not know sockets, nor what a description says. Where the server cannot do UDP, all
tracks are set up again on the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

from lalmesh.errors import LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.rtsp._calls import Authenticator, Call, Calls
from lalmesh.protocol.rtsp._client_tracks import ClientTracks, TrackRequest
from lalmesh.protocol.rtsp._events import (
    Announced,
    ClientEvent,
    Described,
    Ended,
    Failed,
    FellBackToTcp,
    PacketReceived,
    Redirected,
    Started,
)
from lalmesh.protocol.rtsp._fields import DEFAULT_SESSION_TIMEOUT_S, parse_range, parse_rtp_info, parse_session_id
from lalmesh.protocol.rtsp._inbox import Inbox
from lalmesh.protocol.rtsp._messages import Field, InterleavedFrame, Request, Response
from lalmesh.protocol.rtsp._server_session import MAX_TRACKS
from lalmesh.protocol.rtsp._states import ClientState
from lalmesh.protocol.rtsp._url import RtspUrl, base_url

MIN_KEEPALIVE_S: Final = 1.0  #: between signs of life, however short a time-out the server says

_UNSUPPORTED_TRANSPORT: Final = 461
_SESSION_NOT_FOUND: Final = 454


class RtspClient:
    """One connection to a server. Its first bytes are there to be sent as soon as it is dialled."""

    def __init__(
        self,
        url: RtspUrl,
        mode: Literal["publish", "play"],
        *,
        description: bytes = b"",
        auth: Authenticator | None = None,
        user_agent: str = "lalmesh",
        fields: Sequence[Field] = (),
    ) -> None:
        """Ask what the server can do.

        Args:
            url: of the stream; user and password in it are for whoever makes `auth`.
            mode: what to do with it.
            description: of what is published, SDP.
            auth: knows the answers to challenges.
            user_agent: how to call ourselves; empty: not at all.
            fields: headers of every request besides those that it needs.
        """
        self._mode = mode
        self._description = description
        self._uri = str(url)
        self._root = self._uri[: -len(url.rest)] if url.rest else self._uri
        self._calls = Calls(auth, user_agent, fields)
        self._inbox = Inbox()
        self._state = ClientState.OPENING
        self._public: frozenset[str] = frozenset()  # what the server says it can do
        self._tracks = ClientTracks(is_record=mode == "publish")
        self._timeout_s = DEFAULT_SESSION_TIMEOUT_S
        self._now_s = 0.0
        self._keepalive_at_s: float | None = None
        self._calls.send(Call("OPTIONS", self._uri))

    @property
    def state(self) -> ClientState:
        """Where the client is."""
        return self._state

    @property
    def next_timer_s(self) -> float | None:
        """When `handle_timer` is due, on the clock of `feed`; None: it is not."""
        return self._keepalive_at_s if self._state is ClientState.ACTIVE else None

    def handle_timer(self, now_s: float) -> None:
        """Give a sign of life, where it is time: by GET_PARAMETER if the server can, else by OPTIONS (RFC 2326 §10.8)."""
        if self.next_timer_s is not None and now_s >= self.next_timer_s:
            self._keepalive_at_s = now_s + self._keepalive_s
            method = "GET_PARAMETER" if "GET_PARAMETER" in self._public else "OPTIONS"
            self._calls.send(Call(method, self._uri))

    def feed(self, data: bytes | bytearray | memoryview, now_s: float) -> Iterator[ClientEvent]:
        """Iterate over what `data` made happen. `data` has been read when this returns; an iterator left early loses nothing.

        Args:
            data: what came.
            now_s: any clock that only goes forward.

        Raises:
            RemoteProtocolError: while iterating, after the events before it; once raised, the same is raised for ever.
            LimitExceeded: the same, where a named bound was passed.
        """
        self._now_s = now_s
        self._inbox.feed(data)
        return self._events()

    def data_to_send(self) -> bytes:
        """Give what has to be sent to the server now, and forget it."""
        return self._calls.data_to_send()

    def setup(self, tracks: Sequence[TrackRequest], *, url: str = "") -> None:
        """Set up the tracks of a stream that was described or announced, and start it.

        Args:
            tracks: 1 to `MAX_TRACKS`; events name them by their index.
            url: of the whole stream, as its description has it; empty: what its control URLs are relative to.

        Raises:
            LocalProtocolError: nothing was described, or too many tracks or none.
        """
        if self._state is not ClientState.DESCRIBED or not 0 < len(tracks) <= MAX_TRACKS:
            raise LocalProtocolError(f"{len(tracks)} tracks to set up while {self._state.name.lower()}", section="RFC 2326 §10.4")
        self._tracks.want(tracks)
        self._uri = url or self._uri
        self._set_up_next()

    def close(self) -> None:
        """Say that it is over. Close the connection after sending."""
        if self._calls.session_id and self._state is not ClientState.ENDED:
            self._calls.send(Call("TEARDOWN", self._uri))
        self._state = ClientState.ENDED

    def _events(self) -> Iterator[ClientEvent]:
        try:
            while self._inbox.messages:
                message = self._inbox.messages.popleft()
                if isinstance(message, InterleavedFrame):
                    yield from self._packet(message)
                elif self._state is not ClientState.ENDED:
                    yield from self._response(message) if isinstance(message, Response) else self._request(message)
        except RemoteProtocolError as error:
            self._inbox.break_off(error)
        if self._inbox.error is not None:
            raise self._inbox.error

    def _packet(self, frame: InterleavedFrame) -> Iterator[ClientEvent]:
        """Interop: packets come before the answer to PLAY, which goes another way through most servers."""
        found = self._tracks.channel(frame.channel)
        if found is not None and self._state in (ClientState.STARTING, ClientState.ACTIVE):
            yield PacketReceived(found[0], found[1], frame.payload)

    # what the server asks

    def _request(self, request: Request) -> Iterator[ClientEvent]:
        """RFC 2326 §10.10 has REDIRECT; the others are signs of life, and the end of a recording in some cameras."""
        self._calls.reply(request, 200 if request.method in _SERVER_METHODS else 501)
        if request.method == "REDIRECT":
            yield self._redirected(request.headers.get("location"), is_proxy=False) or self._end("REDIRECT")
        elif request.method == "TEARDOWN":
            yield self._end("TEARDOWN")

    # what the server answers

    def _response(self, response: Response) -> Iterator[ClientEvent]:
        call = self._calls.answered(response)
        if call is not None:
            handlers = _ON_SUCCESS if response.status < 300 else _ON_FAILURE
            yield from handlers.get(call.method, RtspClient._on_refusal)(self, call, response)

    def _on_options(self, call: Call, response: Response) -> Iterator[ClientEvent]:
        """Interop: some cameras do not know it, and play all the same."""
        if self._state is not ClientState.OPENING:
            yield from self._on_sign_of_life(call, response)
        elif response.status in _DECISIVE:
            yield from self._on_refusal(call, response)
        else:
            self._public = frozenset(method.upper() for method in response.headers.options("public"))
            self._ask()

    def _ask(self) -> None:
        self._state = ClientState.ASKING
        if self._mode == "play":
            self._calls.send(Call("DESCRIBE", self._uri, (("Accept", "application/sdp"),)))
        else:
            self._calls.send(Call("ANNOUNCE", self._uri, (("Content-Type", "application/sdp"),), self._description))

    def _on_describe(self, call: Call, response: Response) -> Iterator[ClientEvent]:
        self._state, headers = ClientState.DESCRIBED, response.headers
        self._uri = base_url(call.uri, headers.get("content-base"), headers.get("content-location"))
        yield Described(description=response.body, base_url=self._uri)

    def _on_announce(self, _: Call, __: Response) -> Iterator[ClientEvent]:
        self._state = ClientState.DESCRIBED
        if self._tracks.is_wanted:  # announced again, for TCP
            self._set_up_next()
        else:
            yield Announced()

    def _set_up_next(self) -> None:
        call = self._tracks.next_call()
        self._state = ClientState.STARTING if call is None else ClientState.SETTING_UP
        start = Call("PLAY" if self._mode == "play" else "RECORD", self._uri, (("Range", "npt=0.000-"),))
        self._calls.send(call or start)

    def _on_setup(self, _: Call, response: Response) -> Iterator[ClientEvent]:
        said = response.headers.get("session")
        if said:
            session = parse_session_id(said)
            self._calls.session_id, self._timeout_s = session.value, session.timeout_s
        yield self._tracks.take(response.headers.get("transport"))
        if self._state is ClientState.SETTING_UP:  # it may have been closed meanwhile
            self._set_up_next()

    def _on_setup_refused(self, call: Call, response: Response) -> Iterator[ClientEvent]:
        if response.status != _UNSUPPORTED_TRANSPORT or not self._tracks.fall_back():
            yield from self._on_refusal(call, response)
            return
        yield FellBackToTcp()
        if self._state is not ClientState.SETTING_UP:
            return
        if self._tracks.is_begun:
            self._calls.send(Call("TEARDOWN", self._uri))
        else:
            self._set_up_next()

    def _on_teardown(self, _: Call, __: Response) -> Iterator[ClientEvent]:
        """All begins again, on the connection: what was set up over UDP is gone, and what was announced with it."""
        self._calls.session_id = ""
        self._tracks.forget()
        if self._mode == "publish":
            self._ask()
        else:
            self._set_up_next()
        yield from ()

    def _on_start(self, _: Call, response: Response) -> Iterator[ClientEvent]:
        self._state = ClientState.ACTIVE
        self._keepalive_at_s = self._now_s + self._keepalive_s
        yield Started(tuple(parse_rtp_info(response.headers.get("rtp-info"))), parse_range(response.headers.get("range")))

    def _on_sign_of_life(self, _: Call, response: Response) -> Iterator[ClientEvent]:
        """Interop: some servers name GET_PARAMETER and do not know it."""
        if response.status == _SESSION_NOT_FOUND:
            yield self._end("session not found")
        elif response.status >= 300:
            self._public = frozenset()

    def _on_refusal(self, call: Call, response: Response) -> Iterator[ClientEvent]:
        redirected = None
        if response.status in _REDIRECTIONS:
            redirected = self._redirected(response.headers.get("location"), is_proxy=response.status == 305)
        self._state = ClientState.ENDED
        yield redirected or Failed(call.method, response.status, response.reason)

    def _redirected(self, location: str, *, is_proxy: bool) -> Redirected | None:
        """Where to go; None where the server does not say."""
        if not location:
            return None
        self._state = ClientState.ENDED
        return Redirected(self._root + location if location.startswith("/") else location, is_proxy)

    def _end(self, reason: str) -> Ended:
        self._state = ClientState.ENDED
        return Ended(reason)

    @property
    def _keepalive_s(self) -> float:
        return max(self._timeout_s / 2, MIN_KEEPALIVE_S)


_SERVER_METHODS: Final = frozenset(("OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "REDIRECT", "TEARDOWN"))
_REDIRECTIONS: Final = frozenset((301, 302, 303, 305, 307))
_DECISIVE: Final = _REDIRECTIONS | {401, 403}  #: answers to OPTIONS that the other methods would get too

_Handler: TypeAlias = Callable[[RtspClient, Call, Response], Iterator[ClientEvent]]

_ON_SUCCESS: Final[dict[str, _Handler]] = {
    "OPTIONS": RtspClient._on_options,
    "DESCRIBE": RtspClient._on_describe,
    "ANNOUNCE": RtspClient._on_announce,
    "SETUP": RtspClient._on_setup,
    "PLAY": RtspClient._on_start,
    "RECORD": RtspClient._on_start,
    "GET_PARAMETER": RtspClient._on_sign_of_life,
    "TEARDOWN": RtspClient._on_teardown,
}
_ON_FAILURE: Final[dict[str, _Handler]] = {
    "OPTIONS": RtspClient._on_options,
    "SETUP": RtspClient._on_setup_refused,
    "GET_PARAMETER": RtspClient._on_sign_of_life,
    "TEARDOWN": RtspClient._on_teardown,
}
