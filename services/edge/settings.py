"""What an edge is to be."""

from __future__ import annotations

from dataclasses import dataclass, field

from lalmesh.container.flv import HevcForm
from lalmesh.runtime.authorisation import AccessSettings
from lalmesh.runtime.certificate import ServerCertificate
from lalmesh.runtime.fences import FENCES_KEPT
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.member import MemberSettings
from services.edge.events import EventSettings
from services.edge.hls import HlsCountSettings
from services.edge.hls_client import HlsProxySettings
from services.edge.publication import PublicationSettings
from services.edge.read_turns import ReadTurnSettings
from services.edge.relay import RelaySettings
from services.edge.relaying import RelayingSettings
from services.edge.rtsp_link import RtspSettings


@dataclass(slots=True, frozen=True, kw_only=True)
class ListenSettings:
    """One port of an edge."""

    protocol: str  #: ``rtmp``, ``rtmps``, ``rtsp``, ``rtsps``, ``ws_rtsp``, ``http``, ``https``
    host: str
    port: int  #: 0 takes a free one
    advertise_port: int = 0  #: 0: the port that is listened on
    proxy_protocol: bool = False  #: whether balancers begin with a PROXY header
    is_shared: bool = False  #: whether other workers of this edge listen there too


@dataclass(slots=True, frozen=True, kw_only=True)
class EdgeSettings:
    """What an edge is to be."""

    member: MemberSettings = field(default_factory=MemberSettings)
    listen: tuple[ListenSettings, ...] = ()
    certificate: ServerCertificate | None = None  #: of the ports whose protocol ends with s; looked at again from time to time
    cors_origins: tuple[str, ...] = ()
    own_pages: tuple[str, ...] = ()  #: origins of the console of the same process, which may read as well
    limits: ListenerLimits = field(default_factory=ListenerLimits)
    publication: PublicationSettings = field(default_factory=PublicationSettings)
    read_turns: ReadTurnSettings = field(default_factory=ReadTurnSettings)
    relay: RelaySettings = field(default_factory=RelaySettings)
    hls: HlsProxySettings = field(default_factory=HlsProxySettings)
    hls_players: HlsCountSettings = field(default_factory=HlsCountSettings)
    relaying: RelayingSettings = field(default_factory=RelayingSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    events: EventSettings = field(default_factory=EventSettings)
    rtsp: RtspSettings | None = None  #: None: no RTSP anywhere, not over WebSocket either
    take_over: bool = False
    remembered_num: int = FENCES_KEPT  #: streams whose highest epoch is remembered
    wait_publisher_s: float = 10.0
    player_sndbuf_bytes: int = 512 << 10
    max_message_bytes: int = 8 << 20
    hevc: HevcForm = "enhanced"
    match_app: bool = True
    is_alone: bool = False  #: whether there is no other edge
    joins_first: bool = False  #: whether it listens once it has joined only: others listen at its ports, who know more till then
    chunk_size: int = 60_000
    claim_timeout_s: float = 5.0
    delivery_s: float = 7.0  #: that the last units of a publisher which has gone have, to reach an origin
    session_report_s: float = 5.0
    stream_series: int = 0  #: streams that metrics have series of; 0: none
