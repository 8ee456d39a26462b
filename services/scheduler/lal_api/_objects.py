"""From sessions and reports to lal's objects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lalmesh.media import Codec, Kind, TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling.model import HeldStream
from lalmesh.runtime.sessions import Session, SessionRole
from services.scheduler.lal_api._models import FramesOfSecond, StatGroup, StatSession
from services.scheduler.lal_names import lal_app_name, lal_protocol, lal_session_id, lal_time

AT_ONCE = 100  #: sessions that are put into words before whatever else there is to do: 2 ms
_KBIT = 1024
_BASE_TYPES = {
    SessionRole.PUBLISHER: "PUB",
    SessionRole.PLAYER: "SUB",
    SessionRole.RELAY_PULL: "PULL",
    SessionRole.RELAY_PUSH: "PUSH",
}
_CODECS = {Codec.PCMA: "PCMA", Codec.PCMU: "PCMU"}


def stat_session(session: Session) -> StatSession:
    """One session."""
    read, written = session.received_bps // _KBIT, session.sent_bps // _KBIT
    is_in = session.role in (SessionRole.PUBLISHER, SessionRole.RELAY_PULL)
    return StatSession(
        session_id=lal_session_id(session.id, session.protocol, session.role.value),
        protocol=lal_protocol(session.protocol),
        base_type=_BASE_TYPES[session.role],
        remote_addr=session.peer,
        start_time=lal_time(session.opened_us),
        read_bytes_sum=session.received_bytes,
        wrote_bytes_sum=session.sent_bytes,
        bitrate_kbits=read if is_in else written,
        read_bitrate_kbits=read,
        write_bitrate_kbits=written,
    )


async def stat_group(stream: StreamKey, source: HeldStream | None, sessions: Sequence[Session]) -> StatGroup:
    """One stream, with its sessions and what the node says that has it. Of many sessions some at a time are put into words."""
    of = {role: [each for each in sessions if each.role is role] for role in SessionRole}
    tracks = source.tracks if source is not None else TrackSet()
    video = tracks.first(Kind.VIDEO)
    return StatGroup(
        stream_name=stream.name,
        app_name=lal_app_name(stream, (each.url for each in (*of[SessionRole.PUBLISHER], *of[SessionRole.PLAYER]))),
        audio_codec=_codec_name(tracks, Kind.AUDIO),
        video_codec=_codec_name(tracks, Kind.VIDEO),
        video_width=video.width if video is not None else 0,
        video_height=video.height if video is not None else 0,
        pub=_first(of[SessionRole.PUBLISHER]),
        subs=await _stat_sessions(of[SessionRole.PLAYER]) or None,
        pull=_first(of[SessionRole.RELAY_PULL]),
        pushs=await _stat_sessions(of[SessionRole.RELAY_PUSH]) or None,
        in_frame_per_sec=_frames(source),
    )


async def _stat_sessions(sessions: Sequence[Session]) -> list[StatSession]:
    made: list[StatSession] = []
    for start in range(0, len(sessions), AT_ONCE):
        made += map(stat_session, sessions[start : start + AT_ONCE])
        await asyncio.sleep(0)
    return made


def _first(sessions: Sequence[Session]) -> StatSession:
    """The session that opened last: the one before may be about to be forgotten."""
    return stat_session(max(sessions, key=lambda session: session.opened_us)) if sessions else StatSession()


def _codec_name(tracks: TrackSet, kind: Kind) -> str:
    track = tracks.first(kind)
    return "" if track is None else _CODECS.get(track.codec, track.codec.value.upper())


def _frames(source: HeldStream | None) -> list[FramesOfSecond]:
    if source is None:
        return []
    return [FramesOfSecond(unix_sec=source.frames_end_s - 1 - age, v=count) for age, count in enumerate(source.frames)]
