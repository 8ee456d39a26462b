"""What schedulers and nodes say about the users of the cluster: kicks, the blacklist, relays, settings made over the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lalmesh.names import StreamKey
from lalmesh.relay_path import MAX_CLUSTERS

MAX_KICKED = 1000  #: sessions that one command ends
MAX_BLACKLIST = 10_000  #: networks: some 600 KB of a command, and a lookup that stays cheap
MAX_RELAY_JOBS = 10_000  #: of one node, and those of the whole cluster
MAX_RELAY_URLS = 16  #: sources of one pull
MAX_URL_BYTES = 4096
MAX_CLUSTER_CHARS = 253  #: of the mark of a cluster: its name, cut, and a few more
MAX_VIA = MAX_CLUSTERS  #: clusters that a stream goes through
MAX_LIVE_SETTINGS = 1000
#: JSON in UTF-8, of one setting and of all of them: rules of recording and zones are the longest; etcd takes 1.5 MB
MAX_SETTING_BYTES = 256 << 10
MAX_APPS = 10_000  #: with limits that are used now: 300 KB of a command


@dataclass(slots=True, frozen=True)
class KickSessions:
    """End these sessions, those of them that are here."""

    session_ids: tuple[str, ...]  #: at most `MAX_KICKED`
    reason: str


@dataclass(slots=True, frozen=True)
class BlacklistEntry:
    """Addresses that are let in nowhere."""

    network: str  #: CIDR, normal form
    expires_us: int = 0  #: Unix microseconds; 0 never


@dataclass(slots=True, frozen=True)
class Blacklist:
    """Everything that is on it now. What is not in it is let in again."""

    entries: tuple[BlacklistEntry, ...] = ()  #: at most `MAX_BLACKLIST`


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayJob:
    """A stream that an edge is to fetch from elsewhere, or to send there."""

    id: str
    is_push: bool  #: from here to the URL; otherwise from one of them to here
    stream: StreamKey
    urls: tuple[str, ...]  #: pull: sources in the order in which they are tried; push: the one target. With their secrets
    start_timeout_ms: int = 0  #: from the dial to the first media; 0: as configured
    retries: int = -1  #: after a failure, of all sources together; -1 without end
    rtsp_udp: bool = False  #: RTSP over UDP, otherwise interleaved
    verify_tls: bool = True  #: whether the certificate of the other side is checked
    ca_file: str = ""  #: that it is checked with; empty: the system's
    via: tuple[str, ...] = ()  #: that it goes to or comes from, as far as is known: none may be the other side


@dataclass(slots=True, frozen=True)
class RelayJobs:
    """Everything that an edge is to pull and push now. What is not in it ends."""

    jobs: tuple[RelayJob, ...] = ()  #: at most `MAX_RELAY_JOBS`


class RelayState(Enum):
    """How far a relay is."""

    CONNECTING = "connecting"
    RUNNING = "running"
    PAUSED = "paused"  #: until the next attempt
    FAILED = "failed"  #: no attempt is left


@dataclass(slots=True, frozen=True, kw_only=True)
class RelayStatus:
    """What a relay of the node does now."""

    id: str
    state: RelayState
    url: str = ""  #: in use, or tried last, without its secrets
    session_id: str = ""  #: while it runs
    attempts: int = 0  #: since it ran last
    error: str = ""  #: of the last attempt that failed
    since_us: int = 0  #: Unix microseconds of the state


@dataclass(slots=True, frozen=True, kw_only=True)
class AppFigures:
    """What the streams of one application use in the whole cluster."""

    app: str
    publishers: int = 0
    players: int = 0
    egress_bps: int = 0


@dataclass(slots=True, frozen=True)
class AppUsage:
    """What applications with limits use; those that are missing use nothing."""

    apps: tuple[AppFigures, ...] = ()  #: at most `MAX_APPS`


@dataclass(slots=True, frozen=True)
class LiveSettings:
    """Settings that were made over the API. They stand above those of the node's file, environment and command line."""

    revision: int = 0  #: of the registry; 0: there are none
    values: Mapping[str, Any] = field(default_factory=dict)  #: by the paths of their keys, such as ``edge.play.gop_num``
    term: int = 0  #: of the registry, when they were made

    @property
    def version(self) -> tuple[int, int]:
        """Term and revision; a lower one is outdated."""
        return self.term, self.revision
