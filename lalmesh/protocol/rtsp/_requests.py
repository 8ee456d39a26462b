"""What a client asks: refused where the protocol alone says so, answered where it is enough, else an event for the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtsp._answers import Answers
from lalmesh.protocol.rtsp._events import (
    AnnounceRequested,
    DescribeRequested,
    Paused,
    PlayRequested,
    RecordRequested,
    ServerEvent,
    SetupRequested,
    TornDown,
)
from lalmesh.protocol.rtsp._fields import parse_range, parse_session_id
from lalmesh.protocol.rtsp._messages import VERSION, Request
from lalmesh.protocol.rtsp._server_session import ServerSession
from lalmesh.protocol.rtsp._states import METHODS, SERVER_STEPS, STATEFUL_METHODS
from lalmesh.protocol.rtsp._transport import Transport, parse_transports
from lalmesh.protocol.rtsp._url import split_path

#: of a request; with a token of 2 KiB in its query it stays below. It is compared with those of all tracks, and kept for each
MAX_URI_CHARS: Final = 4 << 10


def handle_request(request: Request, session: ServerSession, answers: Answers) -> ServerEvent | None:
    """Answer `request`, or give the event that somebody has to answer; None where nobody needs to know of it."""
    answers.begin(request)
    status = _refusal(request, session)
    if status == 551:
        answers.send(551, ("Unsupported", ", ".join(_required(request))))
    elif status:
        answers.refuse(status, session.state)
    else:
        return _HANDLERS[request.method](request, session, answers)
    return None


def _refusal(request: Request, session: ServerSession) -> int:
    """The status of what is wrong with a request in itself, or now; 0 where nothing is."""
    said = request.headers.get("session")
    if request.version != VERSION:
        return 505
    if not request.headers.get("cseq"):
        return 400
    if len(request.uri) > MAX_URI_CHARS:
        return 414
    if _required(request):
        return 551
    if request.method not in METHODS:
        return 501
    if said and parse_session_id(said).value != session.session_id:
        return 454
    if request.method in STATEFUL_METHODS and (session.state, request.method) not in SERVER_STEPS:
        return 455
    return 0


def _required(request: Request) -> list[str]:
    """Options that the client insists on: there is none that is known here, such as the way back of ONVIF (RFC 2326 §12.32)."""
    return [option for name in ("require", "proxy-require") for option in request.headers.options(name)]


def _on_options(_: Request, session: ServerSession, answers: Answers) -> None:
    answers.send(200, ("Public", ", ".join(METHODS)), *session.fields)


def _on_parameters(request: Request, session: ServerSession, answers: Answers) -> None:
    """One without parameters is a sign of life (RFC 2326 §10.8), and there are none that anybody could name."""
    answers.send(451 if request.body.strip() else 200, *session.fields)


def _on_describe(request: Request, _: ServerSession, answers: Answers) -> ServerEvent | None:
    accepts = {kind.partition(";")[0].strip().lower() for kind in request.headers.options("accept")}
    if accepts and not accepts & {"application/sdp", "application/*", "*/*"}:
        answers.send(406)
        return None
    return DescribeRequested(request=request, path=split_path(request.uri))


def _on_announce(request: Request, _: ServerSession, answers: Answers) -> ServerEvent | None:
    """Interop: lal announces without saying what kind of description it is."""
    kind = request.headers.get("content-type").partition(";")[0].strip().lower()
    if kind not in ("", "application/sdp") or not request.body:
        answers.send(415 if request.body else 400)
        return None
    return AnnounceRequested(request=request, path=split_path(request.uri), description=request.body)


def _on_setup(request: Request, session: ServerSession, answers: Answers) -> ServerEvent | None:
    track = session.track_of(request.uri)
    status, transports = _offered(request)
    if track is None and session.controls:
        status = 459 if split_path(request.uri) == session.path else 404
    elif not session.is_record and any(way.is_record for way in transports):
        status = 455  # nothing was announced
    if status:
        answers.refuse(status, session.state)
        return None
    path = session.path if session.path is not None else split_path(request.uri)
    return SetupRequested(request=request, path=path, track=track, transports=tuple(transports), is_publisher=session.is_record)


def _offered(request: Request) -> tuple[int, list[Transport]]:
    """The status of a refusal, 0 for none, and the ways that can be built here."""
    try:
        said = [way for header in request.headers.all("transport") for way in parse_transports(header)]
    except RemoteProtocolError:
        return 400, []
    usable = [
        replace(way, source="", destination="")  # the address is that of the connection, wherever a client would have us send
        for way in said
        if way.is_tcp or (way.is_udp and way.client_port is not None and 0 not in way.client_port)  # nothing can be sent to port 0
    ]
    return (0 if usable else 461 if said else 400), usable


def _on_play(request: Request, session: ServerSession, _: Answers) -> ServerEvent:
    tracks = session.meant(request.uri)
    is_resumed = all(session.tracks[track].is_active for track in tracks)
    span = parse_range(request.headers.get("range"))
    return PlayRequested(request=request, tracks=tracks, range=span, is_resumed=is_resumed)


def _on_record(request: Request, _: ServerSession, __: Answers) -> ServerEvent:
    return RecordRequested(request=request)


def _on_pause(request: Request, session: ServerSession, answers: Answers) -> ServerEvent:
    tracks = session.meant(request.uri)
    session.deactivate(tracks)
    answers.send(200, *session.fields)
    return Paused(tracks)


def _on_teardown(request: Request, session: ServerSession, answers: Answers) -> ServerEvent:
    tracks = session.meant(request.uri)
    answers.send(200, *session.fields)
    is_whole = len(tracks) == len(session.tracks)
    if is_whole:
        session.reset()
    else:
        session.remove(tracks)
    return TornDown(tracks, is_whole)


_Handler: TypeAlias = Callable[[Request, ServerSession, Answers], ServerEvent | None]

_HANDLERS: Final[dict[str, _Handler]] = {
    "OPTIONS": _on_options,
    "GET_PARAMETER": _on_parameters,
    "SET_PARAMETER": _on_parameters,
    "DESCRIBE": _on_describe,
    "ANNOUNCE": _on_announce,
    "SETUP": _on_setup,
    "PLAY": _on_play,
    "RECORD": _on_record,
    "PAUSE": _on_pause,
    "TEARDOWN": _on_teardown,
}
