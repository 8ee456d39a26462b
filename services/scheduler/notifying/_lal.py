"""Events as lal sends them: its names, its fields, its spelling.

What lal leaves out of the events of pulls is there: the base type and the bytes. Kinds that lal lacks have the same fields where
they are about a session, under names of the same sort.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.events import Event
from lalmesh.runtime.hls_sessions import session_in
from services.scheduler.lal_names import (
    API_VERSION,
    NOTIFY_VERSION,
    bin_info,
    lal_app_name,
    lal_protocol,
    lal_session_id,
    lal_time,
    lal_version,
)

_BASE_TYPES = {"publisher": "PUB", "player": "SUB", "relay_pull": "PULL", "relay_push": "PUSH"}
_SESSIONS = {
    kind.value
    for kind in (
        EventKind.PUB_START, EventKind.PUB_STOP, EventKind.SUB_START, EventKind.SUB_STOP, EventKind.RELAY_PULL_START,
        EventKind.RELAY_PULL_STOP, EventKind.RELAY_PUSH_START, EventKind.RELAY_PUSH_STOP,
    )
}  # fmt: skip


def lal_name(event: Event) -> str:
    """The name of an event in lal's configuration."""
    return f"on_{event.kind}"


def lal_body(event: Event, server_id: str) -> dict[str, Any]:
    """The fields of an event."""
    match event.kind:
        case EventKind.SERVER_START.value:
            made = _server(event.facts)
        case EventKind.UPDATE.value:
            made = {"groups": event.facts.get("groups") or None}
        case EventKind.RTMP_CONNECT.value:
            made = _connect(event.facts)
        case EventKind.HLS_MAKE_TS.value:
            made = _segment(event)
        case kind if kind in _SESSIONS:
            made = _session(event)
        case _:
            made = {**_stream(event), **event.facts, **_about_session(event.facts)}
    return {"server_id": server_id, **made}


def _server(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bin_info": bin_info(),
        "lal_version": lal_version(),
        "api_version": API_VERSION,
        "notify_version": NOTIFY_VERSION,
        "WebUiVersion": lal_version(),
        "start_time": lal_time(int(facts.get("start_time_us", 0))),
    }


def _connect(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "session_id": lal_session_id(str(facts.get("session_id", "")), "rtmp", "publisher"),
        "remote_addr": facts.get("remote_addr", ""),
        "app": facts.get("app", ""),
        "flashVer": facts.get("flash_ver", ""),
        "tcUrl": facts.get("tc_url", ""),
    }


def _segment(event: Event) -> dict[str, Any]:
    facts = event.facts
    return {
        "event": facts.get("event", ""),
        **_stream(event),
        "cwd": facts.get("cwd", ""),
        "ts_file": facts.get("ts_file", ""),
        "live_m3u8_file": facts.get("live_m3u8_file", ""),
        "record_m3u8_file": facts.get("record_m3u8_file", ""),
        "id": facts.get("index", 0),
        "duration": facts.get("duration_s", 0),
    }


def _about_session(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What an event that is about something else says of a session, as the events of its beginning and its end say it."""
    if not facts.get("session_id") or not facts.get("role"):  # of none, or told by a node of before
        return {}
    protocol, role = str(facts.get("protocol", "")), str(facts["role"])
    return {
        "session_id": lal_session_id(str(facts["session_id"]), protocol, role),
        "protocol": lal_protocol(protocol),
        "base_type": _BASE_TYPES.get(role, ""),
    }


def _session(event: Event) -> dict[str, Any]:
    facts = event.facts
    protocol, role = str(facts.get("protocol", "")), str(facts.get("role", ""))
    query = str(facts.get("query", ""))
    if lal_protocol(protocol) == "HLS":
        query = session_in(query)[1]  # lal tells of a player when it has yet to be told its id
    return {
        "session_id": lal_session_id(str(facts.get("session_id", "")), protocol, role),
        "protocol": lal_protocol(protocol),
        "base_type": _BASE_TYPES.get(role, ""),
        "remote_addr": facts.get("remote_addr", ""),
        "url": f"{facts.get('url', '')}?{query}" if query else facts.get("url", ""),
        **_stream(event),
        "url_param": query,
        "has_in_session": bool(facts.get("has_in_session", False)),
        "has_out_session": bool(facts.get("has_out_session", False)),
        "read_bytes_sum": facts.get("read_bytes_sum", 0),
        "wrote_bytes_sum": facts.get("wrote_bytes_sum", 0),
    }


def _stream(event: Event) -> dict[str, Any]:
    stream = event.stream
    if stream is None:
        return {}
    return {"app_name": lal_app_name(stream, [str(event.facts.get("url", ""))]), "stream_name": stream.name}
