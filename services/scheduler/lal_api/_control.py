"""``/api/ctrl``: what changes something."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from lalmesh.errors import InvalidName, StreamExists, StreamNotFound
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.networks import parse_network
from lalmesh.runtime.recording import RuleError, make_rule
from lalmesh.runtime.relay_rules import MAX_START_S, MAX_STOP_S, NEVER_S, RelayOptions
from lalmesh.runtime.sessions import Session, SessionRole, SessionsUnavailable, dialled_protocol
from services.scheduler.blacklisting import BlacklistFullError, Blacklisting, Listed
from services.scheduler.kicks import Kicks
from services.scheduler.lal_api._bodies import BanBody, KickSessionBody, PullBody, RecordBody, StreamBody
from services.scheduler.lal_api._errors import (
    GROUP_NOT_FOUND,
    LISTEN_FAILED,
    PARAM_MISSING,
    PULL_FAILED,
    SESSION_NOT_FOUND,
    LalError,
)
from services.scheduler.lal_api._groups import Groups
from services.scheduler.lal_api._models import EndedReply, PullReply, PullStarted, RecordReply, RecordStarted, Reply, SessionEnded
from services.scheduler.lal_names import lal_session_id, own_session_id
from services.scheduler.recordings import Recordings, TooManyRulesError, pattern_of
from services.scheduler.relay_records import RelayRecord
from services.scheduler.relays import MadeByRuleError, Relays, TooManyRelaysError

DEFAULT_APP = "live"  #: of a stream whose source names none
KICKED = "kicked by the API"
BANNED = "by the API of lal"


@dataclass(slots=True, frozen=True, kw_only=True)
class LalControl:
    """What lal's API may change."""

    groups: Groups
    relays: Relays
    recordings: Recordings
    kicks: Kicks
    blacklisting: Blacklisting

    async def start_relay_pull(self, body: PullBody) -> PullReply:
        """Fetch a stream from elsewhere; whether that works is seen later."""
        stream = self._pulled(body.url, body.stream_name, body.app_name)
        stop_ms = body.auto_stop_pull_after_no_out_ms
        if stop_ms == 0 and not self.relays.known.wanted(stream):
            raise LalError(PULL_FAILED, "should auto stop pull")
        options = RelayOptions(
            start_timeout_s=min(body.pull_timeout_ms / 1000, MAX_START_S) if body.pull_timeout_ms else MAX_START_S,
            retries=body.pull_retry_num,
            rtsp_udp=body.rtsp_mode == 1,
        )
        stop_after_s = NEVER_S if stop_ms < 0 else min(stop_ms / 1000, MAX_STOP_S)
        try:
            record = await self.relays.start_pull(stream, [body.url], options=options, stop_after_s=stop_after_s)
        except StreamExists as exc:
            raise LalError(PULL_FAILED, f"lal.logic: in stream already exist at group: {exc}") from exc
        except (RuleError, TooManyRelaysError) as exc:
            raise LalError(PULL_FAILED, str(exc)) from exc
        return PullReply(data=PullStarted(stream_name=stream.name, session_id=_pull_id(record)))

    def _pulled(self, url: str, name: str, app: str) -> StreamKey:
        """What a stream is called here: as asked, else as its URL has it."""
        try:
            path = unquote(urlsplit(url).path).strip("/")
            from_app, _, from_name = path.rpartition("/")
            chosen = app or from_app or DEFAULT_APP
            if "/" in name:
                chosen, _, name = name.rpartition("/")
            return StreamKey.of(chosen if self.groups.match_app else ANY_APP, name or from_name)
        except (ValueError, InvalidName) as exc:
            raise LalError(PULL_FAILED, f"no stream in the URL, and no stream_name: {exc}") from exc

    async def stop_relay_pull(self, name: str, app: str) -> EndedReply:
        """End a relay that was begun by `start_relay_pull`."""
        streams = await self.groups.named(name, app)
        known = self.relays.known.pulls()  # also those whose streams are not there yet
        pulled = [record for record in known if record.stream in streams or _is_called(record.stream, name, app)]
        if not pulled:
            is_there = any(self.groups.has(stream) for stream in streams)
            raise LalError(SESSION_NOT_FOUND, "session not found") if is_there else LalError(GROUP_NOT_FOUND, "group not found")
        if len(pulled) > 1:
            raise LalError(PARAM_MISSING, f"param missing: app_name, one of {', '.join(record.stream.app for record in pulled)}")
        return EndedReply(data=SessionEnded(session_id=await self._stop(pulled[0])))

    async def _stop(self, record: RelayRecord) -> str:
        try:
            await self.relays.stop(record)
        except (StreamNotFound, MadeByRuleError) as exc:
            raise LalError(SESSION_NOT_FOUND, f"session not found: {exc}") from exc
        return _pull_id(record)

    async def kick_session(self, body: KickSessionBody) -> Reply:
        """End a session of any kind, at whatever edge; a relay that was asked for ends as well, and does not come back.

        The session of a relay has its id. One by a rule is kicked like others, and tried again.
        """
        name, wanted = body.stream_name, own_session_id(body.session_id)
        streams = await self.groups.named(name, body.app_name)
        record = self.relays.known.relay(wanted)
        sessions = await self._sessions(wanted)
        session = next((each for each in sessions or () if each.stream in streams or _is_called(each.stream, name, "")), None)
        if record is not None and not record.rule and (record.stream in streams or _is_called(record.stream, name, "")):
            await self._stop(record)
        elif (session is None and sessions is not None) or await self.kicks.kick(wanted, KICKED) == []:
            is_there = any(self.groups.has(stream) for stream in streams)
            raise LalError(SESSION_NOT_FOUND, "session not found") if is_there else LalError(GROUP_NOT_FOUND, "group not found")
        return Reply()

    async def _sessions(self, session_id: str) -> list[Session] | None:
        """Those of an id; None where the directory is away: then all nodes are told."""
        try:
            return await self.groups.find(session_id)
        except SessionsUnavailable:
            return None

    async def add_ip_blacklist(self, body: BanBody) -> Reply:
        """Let an address in nowhere for a while."""
        try:
            network = str(parse_network(body.ip))
        except ValueError as exc:
            raise LalError(PARAM_MISSING, f"param missing: ip: {exc}") from exc
        now_us = time.time_ns() // 1000
        listed = Listed(network=network, expires_us=now_us + body.duration_sec * 1_000_000, created_us=now_us, reason=BANNED)
        try:
            await self.blacklisting.put(listed)
        except BlacklistFullError as exc:
            raise LalError(PARAM_MISSING, str(exc)) from exc
        return Reply()

    async def start_rtp_pub(self, body: StreamBody) -> Reply:
        """GB28181 comes later."""
        raise LalError(LISTEN_FAILED, "GB28181 is not built yet: no port was opened")

    async def stop_rtp_pub(self, body: StreamBody) -> Reply:
        """As `start_rtp_pub`."""
        raise LalError(SESSION_NOT_FOUND, "session not found: GB28181 is not built yet")

    async def start_record(self, body: RecordBody) -> RecordReply:
        """Record one stream until `stop_record`: by one rule more where it is not recorded in all of the formats yet."""
        found = await self.groups.one(body.stream_name, body.app_name)
        known = [record for record in self.recordings.known.records() if record.stream == str(found)]
        try:
            wanted = make_rule(pattern_of(found), body.formats, {})
            has = {made for record in known for made in record.rule.formats}
            missing = tuple(made for made in wanted.formats if made not in has)
            if missing:
                record = await self.recordings.add(replace(wanted, formats=missing), found)
            else:
                record = next(record for record in known if wanted.formats[0] in record.rule.formats)
        except (RuleError, TooManyRulesError) as exc:
            raise LalError(PARAM_MISSING, f"param missing: {exc}") from exc
        return RecordReply(data=RecordStarted(stream_name=found.name, record_id=record.id))

    async def stop_record(self, body: StreamBody) -> Reply:
        """Record one stream no longer, whether it is there or not. What a rule of the configuration records goes on.

        A name without an application means a stream that is there; where none is, one that is recorded when it comes.
        """
        name, app = body.stream_name, body.app_name
        streams = {str(stream) for stream in await self.groups.named(name, app)}
        records = [record for record in self.recordings.known.records() if record.stream]
        called = [each for each in records if each.stream in streams or _is_called(StreamKey.parse(each.stream), name, app)]
        if not called:
            raise LalError(SESSION_NOT_FOUND, "session not found: it is not recorded by API")
        found = [each for each in called if not streams or each.stream in streams]
        if len({record.stream for record in found}) != 1:
            apps = sorted({StreamKey.parse(record.stream).app for record in called})
            raise LalError(PARAM_MISSING, f"param missing: app_name, one of {', '.join(apps)}")
        for record in found:
            await self.recordings.remove(record.id)
        return Reply()


def _pull_id(record: RelayRecord) -> str:
    """What a relay is called, and its session whenever it has one."""
    return lal_session_id(record.id, dialled_protocol(record.urls[0]), SessionRole.RELAY_PULL.value)


def _is_called(stream: StreamKey, name: str, app: str) -> bool:
    return name in (stream.name, str(stream)) and app in ("", stream.app)
