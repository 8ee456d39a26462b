"""Sessions, events, kicks, the blacklist, relays and settings as messages.

Pairs of ``parse_x`` and ``serialize_x``; parsers raise `RemoteProtocolError` for what a peer must not send.
"""

from __future__ import annotations

import json
from collections.abc import Sized
from typing import Any

from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.rpc.convert import parse_stream
from lalmesh.rpc.lalmesh.v1 import control_pb2, scheduler_pb2
from lalmesh.runtime.events import MAX_EVENT_ID_BYTES, MAX_EVENT_KIND_BYTES, MAX_FACTS_BYTES, Event
from lalmesh.runtime.foreign_text import within
from lalmesh.runtime.scheduling.control import (
    MAX_BLACKLIST,
    MAX_KICKED,
    MAX_LIVE_SETTINGS,
    MAX_RELAY_JOBS,
    MAX_RELAY_URLS,
    MAX_SETTING_BYTES,
    MAX_URL_BYTES,
    MAX_VIA,
    Blacklist,
    BlacklistEntry,
    KickSessions,
    LiveSettings,
    RelayJob,
    RelayJobs,
    RelayState,
    RelayStatus,
)
from lalmesh.runtime.sessions import MAX_ID_BYTES, SessionRole, SessionTouch
from lalmesh.runtime.telemetry import TraceContext

MAX_TEXT_BYTES = 253  #: protocol, address, name of a node or codec: a DNS name at the longest
MAX_LONG_TEXT_BYTES = 1024  #: user agent, reason, error
MAX_NUMBER = (1 << 53) - 1  #: bytes and times: what JSON keeps exactly
MAX_CODECS = 64

_SESSION_ROLES = {
    SessionRole.PUBLISHER: scheduler_pb2.SESSION_ROLE_PUBLISHER,
    SessionRole.PLAYER: scheduler_pb2.SESSION_ROLE_PLAYER,
    SessionRole.RELAY_PULL: scheduler_pb2.SESSION_ROLE_RELAY_PULL,
    SessionRole.RELAY_PUSH: scheduler_pb2.SESSION_ROLE_RELAY_PUSH,
}
_SESSION_ROLES_BACK = {number: role for role, number in _SESSION_ROLES.items()}
_RELAY_STATES = {
    RelayState.CONNECTING: control_pb2.RELAY_STATE_CONNECTING,
    RelayState.RUNNING: control_pb2.RELAY_STATE_RUNNING,
    RelayState.PAUSED: control_pb2.RELAY_STATE_PAUSED,
    RelayState.FAILED: control_pb2.RELAY_STATE_FAILED,
}
_RELAY_STATES_BACK = {number: state for state, number in _RELAY_STATES.items()}


# Sessions -------------------------------------------------------------------------------------------------------------


def parse_session_touch(message: scheduler_pb2.SessionTouch) -> SessionTouch:
    """A session that was seen."""
    if len(message.codecs) > MAX_CODECS:
        raise LimitExceeded("codecs of a session", len(message.codecs), MAX_CODECS)
    return SessionTouch(
        id=_id(message.id, "session"),
        stream=parse_stream(message.app, message.name),
        protocol=_text(message.protocol, "protocol"),
        role=_SESSION_ROLES_BACK.get(message.role, SessionRole.PLAYER),
        peer=_text(message.peer, "address of a client"),
        sent_bytes=_number(message.sent_bytes),
        received_bytes=_number(message.received_bytes),
        is_total=message.is_total,
        is_brief=message.is_brief,
        opened_us=_number(message.opened_us),
        url=_text(message.url, "url", MAX_URL_BYTES),
        query=_text(message.query, "query", MAX_URL_BYTES),
        user_agent=_text(message.user_agent, "user agent", MAX_LONG_TEXT_BYTES),
        codecs=tuple(_text(codec, "codec") for codec in message.codecs),
        queued_bytes=_number(message.queued_bytes),
        skips=_number(message.skips),
        first_media_ms=_number(message.first_media_ms),
        over=message.over,
    )


def serialize_session_touch(touch: SessionTouch) -> scheduler_pb2.SessionTouch:
    """A session that was seen, as a message."""
    return scheduler_pb2.SessionTouch(
        id=touch.id,
        app=touch.stream.app,
        name=touch.stream.name,
        protocol=touch.protocol,
        role=_SESSION_ROLES[touch.role],
        peer=touch.peer,
        sent_bytes=touch.sent_bytes,
        received_bytes=touch.received_bytes,
        is_total=touch.is_total,
        is_brief=touch.is_brief,
        opened_us=touch.opened_us,
        url=touch.url,
        query=touch.query,
        user_agent=touch.user_agent,
        codecs=touch.codecs[:MAX_CODECS],
        queued_bytes=touch.queued_bytes,
        skips=touch.skips,
        first_media_ms=touch.first_media_ms,
        over=touch.over,
    )


def parse_kick(message: control_pb2.KickSessions) -> KickSessions:
    """Sessions that are to end."""
    _bounded(message.session_ids, "sessions that are kicked", MAX_KICKED)
    ids = tuple(_id(session_id, "session") for session_id in message.session_ids)
    return KickSessions(ids, _text(message.reason, "reason", MAX_LONG_TEXT_BYTES))


def serialize_kick(kick: KickSessions) -> control_pb2.KickSessions:
    """Sessions that are to end, as a message."""
    reason = within(kick.reason, MAX_LONG_TEXT_BYTES)
    return control_pb2.KickSessions(session_ids=kick.session_ids[:MAX_KICKED], reason=reason)


def parse_blacklist(message: control_pb2.Blacklist) -> Blacklist:
    """All addresses that are let in nowhere. Whoever keeps them parses them: one that is no network takes no other with it."""
    _bounded(message.entries, "networks on the blacklist", MAX_BLACKLIST)
    return Blacklist(tuple(map(_parse_blacklist_entry, message.entries)))


def _parse_blacklist_entry(message: control_pb2.BlacklistEntry) -> BlacklistEntry:
    return BlacklistEntry(_text(message.network, "network"), _number(message.expires_us))


def serialize_blacklist(blacklist: Blacklist) -> control_pb2.Blacklist:
    """All addresses that are let in nowhere, as a message."""
    entries = blacklist.entries[:MAX_BLACKLIST]
    made = [control_pb2.BlacklistEntry(network=each.network, expires_us=each.expires_us) for each in entries]
    return control_pb2.Blacklist(entries=made)


# Events ---------------------------------------------------------------------------------------------------------------


def parse_event(message: control_pb2.Event) -> Event:
    """Something that happened."""
    if not message.kind or not message.id:
        raise RemoteProtocolError("event without id or kind")
    return Event(
        id=_text(message.id, "event id", MAX_EVENT_ID_BYTES),
        kind=_text(message.kind, "event kind", MAX_EVENT_KIND_BYTES),
        at_us=_number(message.at_us),
        node=_text(message.node, "node name"),
        stream=parse_stream(message.app, message.name) if message.app or message.name else None,
        facts=_facts(message.facts),
        trace=TraceContext.parse(message.traceparent),
    )


def serialize_event(event: Event) -> control_pb2.Event:
    """Something that happened, as a message."""
    app, name = event.stream or ("", "")
    facts = json.dumps(event.facts, separators=(",", ":"), ensure_ascii=False) if event.facts else ""
    return control_pb2.Event(
        id=event.id,
        kind=event.kind,
        app=app,
        name=name,
        at_us=event.at_us,
        node=event.node,
        facts=facts,
        traceparent=str(event.trace or ""),
    )


# Relays ---------------------------------------------------------------------------------------------------------------


def parse_relay_jobs(message: control_pb2.RelayJobs) -> RelayJobs:
    """Everything that an edge is to pull and push."""
    _bounded(message.jobs, "relays of a node", MAX_RELAY_JOBS)
    return RelayJobs(tuple(map(_parse_relay_job, message.jobs)))


def serialize_relay_jobs(jobs: RelayJobs) -> control_pb2.RelayJobs:
    """Everything that an edge is to pull and push, as a message."""
    return control_pb2.RelayJobs(jobs=map(_serialize_relay_job, jobs.jobs[:MAX_RELAY_JOBS]))


def _parse_relay_job(message: control_pb2.RelayJob) -> RelayJob:
    _bounded(message.urls, "sources of a relay", MAX_RELAY_URLS)
    if not message.urls:
        raise RemoteProtocolError("relay without a URL")
    return RelayJob(
        id=_id(message.id, "relay"),
        is_push=message.is_push,
        stream=parse_stream(message.app, message.name),
        urls=tuple(_text(url, "url", MAX_URL_BYTES) for url in message.urls),
        start_timeout_ms=message.start_timeout_ms,
        retries=message.retries,
        rtsp_udp=message.rtsp_udp,
        verify_tls=message.verify_tls,
        ca_file=_text(message.ca_file, "file name", MAX_URL_BYTES),
        via=tuple(_text(cluster, "cluster") for cluster in message.via[:MAX_VIA]),
    )


def _serialize_relay_job(job: RelayJob) -> control_pb2.RelayJob:
    return control_pb2.RelayJob(
        id=job.id,
        is_push=job.is_push,
        app=job.stream.app,
        name=job.stream.name,
        urls=job.urls,
        start_timeout_ms=job.start_timeout_ms,
        retries=job.retries,
        rtsp_udp=job.rtsp_udp,
        verify_tls=job.verify_tls,
        ca_file=job.ca_file,
        via=job.via[:MAX_VIA],
    )


def parse_relay_status(message: control_pb2.RelayStatus) -> RelayStatus:
    """What a relay does; a state that only a newer version knows counts as connecting."""
    return RelayStatus(
        id=_id(message.id, "relay"),
        state=_RELAY_STATES_BACK.get(message.state, RelayState.CONNECTING),
        url=_text(message.url, "url", MAX_URL_BYTES),
        session_id=_text(message.session_id, "session", MAX_ID_BYTES),
        attempts=message.attempts,
        error=_text(message.error, "error", MAX_LONG_TEXT_BYTES),
        since_us=_number(message.since_us),
    )


def serialize_relay_status(status: RelayStatus) -> control_pb2.RelayStatus:
    """What a relay does, as a message."""
    return control_pb2.RelayStatus(
        id=status.id,
        state=_RELAY_STATES[status.state],
        url=status.url,
        session_id=status.session_id,
        attempts=status.attempts,
        error=within(status.error, MAX_LONG_TEXT_BYTES),
        since_us=status.since_us,
    )


# Settings -------------------------------------------------------------------------------------------------------------


def parse_live_settings(message: control_pb2.LiveSettings) -> LiveSettings:
    """Settings that were made over the API."""
    _bounded(message.values, "settings", MAX_LIVE_SETTINGS)
    values = {_text(path, "key"): _json(value, "a setting", MAX_SETTING_BYTES) for path, value in message.values.items()}
    return LiveSettings(_number(message.revision), values, _number(message.term))


def serialize_live_settings(settings: LiveSettings) -> control_pb2.LiveSettings:
    """Settings that were made over the API, as a message."""
    values = {path: json.dumps(value, ensure_ascii=False) for path, value in settings.values.items()}
    return control_pb2.LiveSettings(revision=settings.revision, values=values, term=settings.term)


# Parts ----------------------------------------------------------------------------------------------------------------


def _facts(text: str) -> dict[str, Any]:
    facts = _json(text, "facts of an event", MAX_FACTS_BYTES) if text else {}
    if not isinstance(facts, dict):
        raise RemoteProtocolError("facts of an event that are no JSON object")
    return facts


def _json(text: str, what: str, limit: int) -> Any:
    if len(text) > limit:
        raise LimitExceeded(f"characters of {what}", len(text), limit)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RemoteProtocolError(f"{what} that is no JSON") from None


def _id(text: str, what: str) -> str:
    if not text or "\0" in text:
        raise RemoteProtocolError(f"{what} without an id that can be kept")
    return _text(text, f"{what} id", MAX_ID_BYTES)


def _text(text: str, what: str, limit: int = MAX_TEXT_BYTES) -> str:
    size = len(text.encode())
    if size > limit:
        raise LimitExceeded(f"{what} bytes", size, limit)
    return text


def _number(value: int) -> int:
    if value > MAX_NUMBER:
        raise LimitExceeded("number", value, MAX_NUMBER)
    return value


def _bounded(items: Sized, what: str, limit: int) -> None:
    if len(items) > limit:
        raise LimitExceeded(what, len(items), limit)
