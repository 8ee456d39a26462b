"""The kinds of events, and what each says: what raises them, what formats them and docs/webhooks.md go by this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class EventKind(Enum):
    """What happened."""

    SERVER_START = "server_start"
    UPDATE = "update"
    RTMP_CONNECT = "rtmp_connect"
    PUB_START = "pub_start"
    PUB_STOP = "pub_stop"
    SUB_START = "sub_start"
    SUB_STOP = "sub_stop"
    RELAY_PULL_START = "relay_pull_start"
    RELAY_PULL_STOP = "relay_pull_stop"
    RELAY_PUSH_START = "relay_push_start"
    RELAY_PUSH_STOP = "relay_push_stop"
    FIRST_VIEWER = "first_viewer"
    LAST_VIEWER = "last_viewer"
    HLS_MAKE_TS = "hls_make_ts"
    RECORDING_DONE = "recording_done"
    STREAM_NOT_FOUND = "stream_not_found"
    OWNER_MOVED = "owner_moved"
    NODE_UP = "node_up"
    NODE_AWAY = "node_away"
    NODE_DRAINING = "node_draining"
    NODE_DOWN = "node_down"
    ALARM = "alarm"
    ALARM_OVER = "alarm_over"
    EVENTS_LOST = "events_lost"


@dataclass(slots=True, frozen=True)
class Fact:
    """One thing that a kind of event says."""

    text: str  #: what it is
    json_type: type = str  #: as JSON has it; a float may be whole
    is_optional: bool = False  #: not all events of the kind say it


@dataclass(slots=True, frozen=True)
class KindSpec:
    """What a kind of event says."""

    text: str  #: when it is raised
    facts: Mapping[str, Fact]  #: by name
    is_lal: bool = False  #: lal has it, as ``on_`` and its name


_SESSION = {
    "session_id": Fact("id of the session, as in /v1/sessions; of a relay its own, at each of its attempts"),
    "protocol": Fact(
        "rtmp, rtmps, rtsp, rtsps, ws-rtsp, wss-rtsp, http-flv, https-flv, ws-flv, wss-flv, with ts and fmp4 likewise, hls"
    ),
    "role": Fact("publisher, player, relay_pull or relay_push"),
    "remote_addr": Fact("address and port of the client"),
    "url": Fact("what was asked for, without query"),
    "query": Fact("its query; secrets in it are masked unless notify.raw_query is set, those of players of HLS always"),
    "user_agent": Fact("what the client calls itself"),
    "has_in_session": Fact("whether anybody publishes the stream, anywhere in the cluster, after this", bool),
    "has_out_session": Fact("whether anybody plays it or it is pushed elsewhere, anywhere in the cluster, after this", bool),
    "read_bytes_sum": Fact("bytes received from the client so far", int),
    "wrote_bytes_sum": Fact("bytes sent to it so far", int),
}
_STOP = {**_SESSION, "reason": Fact("why it ended"), "duration_ms": Fact("how long it was there", int)}
_NODE = {
    "role": Fact("edge, origin or hls"),
    "incarnation": Fact("of this start of the node"),
    "address": Fact("its gRPC address"),
    "zone": Fact("its zone"),
}
_VIEWER = {"session_id": Fact("of the player"), "protocol": Fact("as of sessions"), "role": Fact("player")}
_ALARM = {
    "alarm": Fact("no_keyframe, bitrate_low, frame_rate_low or timestamp_jump"),
    "value": Fact(
        "what was measured: seconds without a key frame, bits per second, frames per second, jumps within the last second", float
    ),
    "limit": Fact("the bound of the configuration that it passed; 0 for jumps", float),
    "session_id": Fact("of the publisher, as in pub_start; empty where it has just gone"),
    "protocol": Fact("its protocol, as of sessions; likewise"),
    "role": Fact("publisher or relay_pull; likewise"),
}

KINDS: Mapping[EventKind, KindSpec] = {
    EventKind.SERVER_START: KindSpec(
        "A process has started, and its listeners are open.",
        {
            "role": Fact("standalone, edge, origin, hls or scheduler"),
            "version": Fact("of lalmesh"),
            "start_time_us": Fact("when it was started, Unix microseconds", int),
            "ports": Fact("what it listens on, by listener", dict[str, int]),
        },
        is_lal=True,
    ),
    EventKind.UPDATE: KindSpec(
        "Every `notify.update_interval_s`, from the start on: the streams of the cluster. Many streams take several events. "
        "For receivers that name it, and those with the format of lal.",
        {
            "groups": Fact("the streams, each as /api/stat/group has it", list[dict[str, object]]),
            "part": Fact("number of this event, from 1", int),
            "parts": Fact("of so many", int),
        },
        is_lal=True,
    ),
    EventKind.RTMP_CONNECT: KindSpec(
        "An RTMP client has sent its connect command, before it publishes or plays anything.",
        {
            "session_id": Fact("of the connection"),
            "remote_addr": Fact("address and port of the client"),
            "app": Fact("the application that it names"),
            "flash_ver": Fact("what it calls itself"),
            "tc_url": Fact(
                "the URL that it connects to, without login; secrets in its query are masked unless notify.raw_query is set"
            ),
        },
        is_lal=True,
    ),
    EventKind.PUB_START: KindSpec("A publisher was let in.", _SESSION, is_lal=True),
    EventKind.PUB_STOP: KindSpec("A publisher has gone, or its edge has.", _STOP, is_lal=True),
    EventKind.SUB_START: KindSpec("A player was let in.", _SESSION, is_lal=True),
    EventKind.SUB_STOP: KindSpec("A player has gone, or its edge has.", _STOP, is_lal=True),
    EventKind.RELAY_PULL_START: KindSpec("A stream comes from elsewhere: the first media are here.", _SESSION, is_lal=True),
    EventKind.RELAY_PULL_STOP: KindSpec(
        "It does not any more; or never did, where no attempt is left or it was ended before, also where it has waited in vain "
        "for an edge with room.",
        _STOP,
        is_lal=True,
    ),
    EventKind.RELAY_PUSH_START: KindSpec("A stream goes elsewhere.", _SESSION),
    EventKind.RELAY_PUSH_STOP: KindSpec("It does not any more, or never did, as of pulls, or for want of a publisher.", _STOP),
    EventKind.FIRST_VIEWER: KindSpec(
        "A stream has its first player, in the whole cluster. It follows that player's sub_start.",
        _VIEWER,
    ),
    EventKind.LAST_VIEWER: KindSpec(
        "The last player of a stream has gone, in the whole cluster. It follows that player's sub_stop.",
        _VIEWER,
    ),
    EventKind.HLS_MAKE_TS: KindSpec(
        "An MPEG-TS segment was begun, or is whole and stored.",
        {
            "event": Fact("open or close"),
            "cwd": Fact("the shared storage that paths are in; empty where that is said nowhere"),
            "ts_file": Fact("path of the segment in shared storage; empty at open where it has no name yet"),
            "live_m3u8_file": Fact("path of the live playlist below /hls/"),
            "record_m3u8_file": Fact("path of the recorded playlist below /hls/"),
            "index": Fact("number of the segment", int),
            "duration_s": Fact("its duration in seconds; 0 at open", float),
        },
        is_lal=True,
    ),
    EventKind.RECORDING_DONE: KindSpec(
        "A recorded file is whole, and in shared storage.",
        {
            "path": Fact("in shared storage"),
            "format": Fact("flv, ts or mp4"),
            "size_bytes": Fact("of the file", int),
            "duration_ms": Fact("of the file", int),
            "started_us": Fact("of its first unit, Unix microseconds", int),
            "reason": Fact("why the file ended"),
            "missing": Fact("units that the publication had and the file lacks", int),
        },
    ),
    EventKind.STREAM_NOT_FOUND: KindSpec(
        "Somebody wants to play a stream that nobody publishes: told when the wait for it begins. "
        "At most once a second for each stream and edge.",
        {
            "protocol": Fact("as of sessions"),
            "remote_addr": Fact("address and port of the client"),
            "url": Fact("what was asked for, without query"),
            "query": Fact("its query, as of sessions"),
        },
    ),
    EventKind.OWNER_MOVED: KindSpec(
        "Another origin carries a stream.",
        {
            "origin": Fact("that carries it now"),
            "before": Fact("that did before"),
            "place": Fact("term and revision of the place", dict[str, int]),
            "heir": Fact("next in line"),
        },
    ),
    EventKind.NODE_UP: KindSpec("A node has joined the cluster.", _NODE),
    EventKind.NODE_AWAY: KindSpec("A node is not heard of; what it has goes on for now.", _NODE),
    EventKind.NODE_DRAINING: KindSpec("A node gives away what it has.", _NODE),
    EventKind.NODE_DOWN: KindSpec("A node has left, or its lease has run out.", _NODE),
    EventKind.ALARM: KindSpec("What a publisher sends is worse than `notify.alarms` allows.", _ALARM),
    EventKind.ALARM_OVER: KindSpec("It is not any more, is not looked for any more, or its publisher has gone.", _ALARM),
    EventKind.EVENTS_LOST: KindSpec(
        "Events were dropped before anybody had them: too many waited, or the log was trimmed before a receiver had read them.",
        {
            "count": Fact("how many", int),
            "shard": Fact("of the log, where they were in it", int, is_optional=True),
            "receiver": Fact("who did not get them, where it is one", is_optional=True),
        },
    ),
}
