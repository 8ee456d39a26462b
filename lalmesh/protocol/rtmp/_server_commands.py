"""What a client asks its server for, command by command.

Each handler takes one command in, changes what is known of the client, and gives events or answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lalmesh.amf import AmfValue
from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtmp._commands import Command, integer, members, text
from lalmesh.protocol.rtmp._events import Connected, PausedOrResumed, PlayRequested, PublishRequested, ServerEvent
from lalmesh.protocol.rtmp._served import Served
from lalmesh.protocol.rtmp._states import STREAM_STEPS, Step, StreamState, next_state
from lalmesh.protocol.rtmp._url import split_app, split_name
from lalmesh.relay_path import RELAY_MEMBER


def command_events(served: Served, command: Command, stream_id: int) -> Iterator[ServerEvent]:
    """What a command made happen, as it is iterated over; answers are written to the session.

    Raises:
        RemoteProtocolError: the client may not say that, or not now.
    """
    if command.name == "connect":
        yield _on_connect(served, command)
        return
    served.step(Step.COMMAND)
    handler = _HANDLERS.get(command.name)
    if handler is not None:  # Interop: clients call much that only Flash servers know, and do without an answer
        yield from handler(served, command, stream_id)


def _on_connect(served: Served, command: Command) -> Connected:
    served.step(Step.CONNECT)
    served.connect = command
    said = members(command.argument(0))
    served.app, query = split_app(text(said.get("app")))
    return Connected(
        app=served.app,
        query=query,
        tc_url=text(said.get("tcUrl")),
        flash_ver=text(said.get("flashVer")),
        relay=text(said.get(RELAY_MEMBER)),
    )


def _on_create_stream(served: Served, command: Command, _: int) -> Iterator[ServerEvent]:
    stream_id = served.free_id()
    served.create(stream_id)
    served.session.send_command(0, "_result", command.transaction_id, None, float(stream_id))
    yield from ()


def _on_call(served: Served, command: Command, _: int) -> Iterator[ServerEvent]:
    """Answer a call that asks for nothing: some encoders wait for the answers to releaseStream and FCPublish."""
    if command.transaction_id:
        served.session.send_command(0, "_result", command.transaction_id, None, None)
    yield from ()


def _on_stream_length(served: Served, command: Command, _: int) -> Iterator[ServerEvent]:
    served.session.send_command(0, "_result", command.transaction_id, None, 0.0)
    yield from ()


def _on_publish(served: Served, command: Command, stream_id: int) -> Iterator[ServerEvent]:
    name = command.argument(1)
    if name is False:  # Flash's way to stop
        yield from served.close(stream_id)
        return
    stream = served.open(stream_id)
    stream.state = next_state(STREAM_STEPS, stream.state, Step.PUBLISH)
    stream.name = _name(command)
    app, last, query = split_name(served.app, stream.name)
    kind = text(command.argument(2)) or "live"
    yield PublishRequested(stream_id=stream_id, app=app, name=last, query=query, kind=kind)


def _on_play(served: Served, command: Command, stream_id: int) -> Iterator[ServerEvent]:
    if command.argument(1) is False:
        yield from served.close(stream_id)
        return
    stream = served.open(stream_id)
    if stream.state in (StreamState.PLAY_ASKED, StreamState.PLAYING):  # Flash plays the next name on the same stream
        yield from served.close(stream_id)
    stream.state = next_state(STREAM_STEPS, stream.state, Step.PLAY)
    stream.name = _name(command)
    app, last, query = split_name(served.app, stream.name)
    yield PlayRequested(stream_id=stream_id, app=app, name=last, query=query)


def _on_pause(served: Served, command: Command, stream_id: int) -> Iterator[ServerEvent]:
    stream = served.streams.get(stream_id)
    if stream is None:
        return
    stream.state = next_state(STREAM_STEPS, stream.state, Step.PAUSE)
    if stream.state not in (StreamState.PLAY_ASKED, StreamState.PLAYING):
        return  # it came after the end, or too early
    paused = command.argument(1) is True
    verb = "Pause" if paused else "Unpause"
    served.session.send_status(stream_id, "status", f"NetStream.{verb}.Notify", f"{verb}d {stream.name}.")
    yield PausedOrResumed(stream_id, paused)


def _on_seek(served: Served, _: Command, stream_id: int) -> Iterator[ServerEvent]:
    served.session.send_status(stream_id, "error", "NetStream.Seek.Failed", "A live stream has no other place.")
    yield from ()


def _on_close_stream(served: Served, _: Command, stream_id: int) -> Iterator[ServerEvent]:
    return served.close(stream_id)


def _on_delete_stream(served: Served, command: Command, _: int) -> Iterator[ServerEvent]:
    stream_id = integer(command.argument(1), -1)
    yield from served.close(stream_id)
    served.streams.pop(stream_id, None)


def _on_fc_unpublish(served: Served, command: Command, _: int) -> Iterator[ServerEvent]:
    yield from _on_call(served, command, 0)
    name = text(command.argument(1))
    publishing = [key for key, stream in served.streams.items() if stream.state is StreamState.PUBLISHING]
    named = [key for key in publishing if served.streams[key].name == name]
    for stream_id in named or (publishing if len(publishing) == 1 else []):
        info: AmfValue = {"code": "NetStream.Unpublish.Success", "description": "Unpublished."}
        served.session.send_command(0, "onFCUnpublish", 0.0, None, info)
        served.session.send_status(stream_id, "status", "NetStream.Unpublish.Success", "Unpublished.")
        yield from served.close(stream_id)


def _name(command: Command) -> str:
    name = command.argument(1)
    if not isinstance(name, str):
        raise RemoteProtocolError(f"{command.name} without a stream name", section="RTMP 1.0 §7.2.2")
    return name


_Handler = Callable[[Served, Command, int], Iterator[ServerEvent]]

_HANDLERS: dict[str, _Handler] = {
    "createStream": _on_create_stream,
    "releaseStream": _on_call,
    "FCPublish": _on_call,
    "FCSubscribe": _on_call,
    "FCUnpublish": _on_fc_unpublish,
    "getStreamLength": _on_stream_length,
    "_checkbw": _on_call,
    "publish": _on_publish,
    "play": _on_play,
    "pause": _on_pause,
    "pauseRaw": _on_pause,
    "seek": _on_seek,
    "closeStream": _on_close_stream,
    "deleteStream": _on_delete_stream,
}
