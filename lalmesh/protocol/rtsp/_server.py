"""The server's end of an RTSP connection.

The core reads what a client asks, answers what the protocol alone decides, and reports the rest; the application answers that, at
once or later, with one of the accept methods or with `RtspServer.reject`. Nothing tells the client of success before. While a
request waits, those behind it wait too, and packets go on, but for those of a publisher that asked to record. After an answer that
was not given from inside the loop over `RtspServer.feed`, call ``feed(b"", now_s)`` to get what waited.

The core must not know what streams exist, who may have them, which ports are free, or what a description says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

from lalmesh.errors import LimitExceeded, LocalProtocolError, RemoteProtocolError
from lalmesh.protocol.rtsp._answers import Answers
from lalmesh.protocol.rtsp._events import (
    AnnounceRequested,
    DescribeRequested,
    PacketReceived,
    Paused,
    PlayRequested,
    RecordRequested,
    ServerEvent,
    SetupRequested,
    TornDown,
)
from lalmesh.protocol.rtsp._fields import DEFAULT_SESSION_TIMEOUT_S, RtpInfo, SessionId, serialize_rtp_info
from lalmesh.protocol.rtsp._inbox import Inbox
from lalmesh.protocol.rtsp._messages import Field, InterleavedFrame, Message, Request
from lalmesh.protocol.rtsp._requests import handle_request
from lalmesh.protocol.rtsp._server_session import MAX_TRACKS, ServerSession
from lalmesh.protocol.rtsp._states import SERVER_STEPS, ServerState
from lalmesh.protocol.rtsp._transport import Transport

MAX_HELD_PACKETS: Final = 4096  #: while a request waits: a second of a fast publisher that does not wait for its answer
MAX_HELD_BYTES: Final = 8 << 20  #: of them
MAX_HELD_REQUESTS: Final = 64  #: behind it; clients send all their SETUPs at once, and no more. Each may have 80 KiB
SESSION_ID_BYTES: Final = 16  #: random: nobody guesses the session of somebody else

RandomBytes: TypeAlias = Callable[[int], bytes]

_Asked = TypeVar("_Asked", DescribeRequested, AnnounceRequested, SetupRequested, PlayRequested, RecordRequested)


class RtspServer:
    """One client's connection. Feed it bytes, answer its events, send what `data_to_send` gives after each of both."""

    def __init__(
        self,
        random_bytes: RandomBytes,
        *,
        session_timeout_s: int = DEFAULT_SESSION_TIMEOUT_S,
        server_name: str = "",
    ) -> None:
        """Wait for a client.

        Args:
            random_bytes: makes session ids.
            session_timeout_s: silence that a client with UDP tracks may keep, 1 and up; it is told.
            server_name: for the ``Server`` header; empty for none.
        """
        self._random_bytes = random_bytes
        self._timeout_s = session_timeout_s
        self._answers = Answers(server_name)
        self._session = ServerSession()
        self._inbox = Inbox()
        self._pending: ServerEvent | None = None
        self._heard_s = 0.0
        #: requests wait as long as this is set, as they do behind one that waits for its answer; ``feed(b"", now_s)`` after that
        self.holds_requests = False

    @property
    def state(self) -> ServerState:
        """Where the session is."""
        return self._session.state

    @property
    def session_id(self) -> str:
        """The id of the session; empty where there is none."""
        return self._session.session_id

    @property
    def transports(self) -> dict[int, Transport]:
        """The way of each track that is set up."""
        return {number: track.transport for number, track in self._session.tracks.items()}

    @property
    def has_held(self) -> bool:
        """Something waits: behind a request without its answer, or as `holds_requests` is set."""
        return bool(self._inbox.messages)

    @property
    def expires_at_s(self) -> float | None:
        """When the session is over unless something comes from the client, on the clock of `feed`; close the connection then.

        None: never. Of a session that uses the connection only, its end tells: players that read alone say nothing for hours.
        """
        return self._heard_s + self._timeout_s if self._session.has_udp else None

    def heard(self, now_s: float) -> None:
        """A packet came from the client by UDP: it is there (RFC 2326 §12.37)."""
        self._heard_s = max(self._heard_s, now_s)

    def feed(self, data: bytes | bytearray | memoryview, now_s: float) -> Iterator[ServerEvent]:
        """Iterate over what `data` made happen. `data` has been read when this returns; an iterator left early loses nothing.

        Args:
            data: what came.
            now_s: any clock that only goes forward.

        Raises:
            RemoteProtocolError: while iterating, after the events before it; once raised, the same is raised for ever. The answer
                that the standard asks for is in `data_to_send`.
            LimitExceeded: the same, where a named bound was passed.
        """
        if data:
            self.heard(now_s)
        self._inbox.feed(data)
        return self._events()

    def data_to_send(self) -> bytes:
        """Give what has to be sent to the client now, and forget it."""
        return self._answers.data_to_send()

    def _events(self) -> Iterator[ServerEvent]:
        inbox = self._inbox.messages
        take = self._inbox.take if self._inbox.has_counted else inbox.popleft
        try:
            while inbox and not ((self._pending is not None or self.holds_requests) and self._waits(inbox[0])):
                message = take()
                if isinstance(message, InterleavedFrame):
                    found = self._session.channel(message.channel)
                    if found is not None:  # Interop: some send before they are asked to, or go on after they were not
                        yield PacketReceived(found[0], found[1], message.payload)
                elif isinstance(message, Request):
                    event = handle_request(message, self._session, self._answers)
                    self._answers.check_unsent()
                    if event is not None:
                        self._pending = None if isinstance(event, Paused | TornDown) else event
                        yield event
            if inbox:
                self._check_held()
        except RemoteProtocolError as error:
            self._inbox.break_off(error)
        if self._inbox.error is not None and not inbox:
            self._answers.refuse_connection(self._inbox.error)
            raise self._inbox.error

    def _waits(self, message: Message) -> bool:
        """Whether `message` has to wait: it depends on the answer to the request that does, or is to be answered itself."""
        return isinstance(message, Request) or isinstance(self._pending, RecordRequested)

    def _check_held(self) -> None:
        held = self._inbox
        held.count()
        if held.packets > MAX_HELD_PACKETS:
            raise LimitExceeded("packets before the answer to a request", held.packets, MAX_HELD_PACKETS)
        if held.packet_bytes > MAX_HELD_BYTES:
            raise LimitExceeded("bytes before the answer to a request", held.packet_bytes, MAX_HELD_BYTES)
        if held.requests > MAX_HELD_REQUESTS:
            raise LimitExceeded("requests before the answer to a request", held.requests, MAX_HELD_REQUESTS)

    # what the application answers

    def accept_describe(self, description: bytes, controls: Sequence[str], *, base_url: str = "") -> None:
        """Give a player the description of the stream that it asked for.

        Args:
            description: SDP.
            controls: control URLs of its tracks, in order, as they stand in it.
            base_url: what they are relative to; empty: the URL of the request.

        Raises:
            LocalProtocolError: no DESCRIBE waits, or more than `MAX_TRACKS` tracks.
        """
        event = self._answer(DescribeRequested)
        base = base_url or event.request.uri.rstrip("/") + "/"
        if not self._session.tracks:  # a player may look at another stream while it plays one
            self._begin(event, base, controls)
        self._answers.send(200, ("Content-Base", base), ("Content-Type", "application/sdp"), body=description)

    def accept_announce(self, controls: Sequence[str]) -> None:
        """Let a publisher go on, with tracks of these control URLs, in the order of its description.

        Raises:
            LocalProtocolError: no ANNOUNCE waits, or more than `MAX_TRACKS` tracks.
        """
        event = self._answer(AnnounceRequested)
        self._begin(event, event.request.uri, controls)
        self._session.state = ServerState.ANNOUNCED
        self._answers.send(200)

    def accept_setup(self, transport: Transport, *, track: int | None = None) -> Transport:
        """Take a way for a track.

        Args:
            transport: one of those that were offered, with ``server_port``, ``ssrc`` and what else the client has to know.
            track: which track it is, where the event does not say.

        Returns:
            The way as the client is told: with the channels that it has.
        Raises:
            LocalProtocolError: no SETUP waits, or nobody says which of `MAX_TRACKS` tracks it is.
        """
        event = self._answer(SetupRequested)
        session, number = self._session, event.track if track is None else track
        if number is None or not 0 <= number < MAX_TRACKS:
            raise LocalProtocolError(f"SETUP of track {number}", section="RFC 2326 §10.4")
        chosen = session.set_up(number, event.request.uri, transport)
        session.state = SERVER_STEPS[session.state, "SETUP"]
        session.session_id = session.session_id or self._random_bytes(SESSION_ID_BYTES).hex()
        told = SessionId(session.session_id, self._timeout_s).serialize()
        self._answers.send(200, ("Session", told), ("Transport", chosen.serialize()))
        return chosen

    def accept_play(self, first: Mapping[int, tuple[int, int]] | None = None, *, range_header: str = "npt=now-") -> None:
        """Let tracks play.

        Args:
            first: by track, sequence number and RTP timestamp of the first packet that this player gets, where they are known.
            range_header: what it gets.

        Raises:
            LocalProtocolError: no PLAY waits.
        """
        event = self._answer(PlayRequested)
        self._session.activate(event.tracks)
        self._session.state = ServerState.PLAYING
        infos = [RtpInfo(self._session.tracks[track].uri, *first[track]) for track in event.tracks if first and track in first]
        info = [("RTP-Info", serialize_rtp_info(infos))] if infos else []
        self._answers.send(200, *self._session.fields, ("Range", range_header), *info)

    def accept_record(self) -> None:
        """Let a publisher send.

        Raises:
            LocalProtocolError: no RECORD waits.
        """
        self._answer(RecordRequested)
        self._session.activate(tuple(self._session.tracks))
        self._session.state = ServerState.RECORDING
        self._answers.send(200, *self._session.fields)

    def reject(self, status: int, *fields: Field) -> None:
        """Refuse the request that waits; the client may ask again.

        Args:
            status: 301, 302 or 305 with a ``Location``, 401 with one ``WWW-Authenticate`` a challenge, 403, 404, 461, 503 ...
            fields: headers of the answer.

        Raises:
            LocalProtocolError: no request waits.
        """
        if self._pending is None:
            raise LocalProtocolError("no request waits for an answer", section="RFC 2326 §6")
        self._pending = None
        self._answers.refuse(status, self._session.state, *fields)

    def _answer(self, kind: type[_Asked]) -> _Asked:
        event = self._pending
        if not isinstance(event, kind):
            raise LocalProtocolError(f"no {kind.__name__} waits for an answer", section="RFC 2326 §6")
        self._pending = None
        return event

    def _begin(self, event: DescribeRequested | AnnounceRequested, base: str, controls: Sequence[str]) -> None:
        if len(controls) > MAX_TRACKS:
            raise LocalProtocolError(f"{len(controls)} tracks, limit {MAX_TRACKS}", section="RFC 2326 §C.1")
        self._session.begin(event.path, base, controls)
