"""What an hls node is to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lalmesh.runtime.authorisation import AccessSettings
from lalmesh.runtime.certificate import ServerCertificate
from lalmesh.runtime.hls_sessions import SessionIds
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.member import MemberSettings
from services.hls.hosting import WorkerSettings
from services.hls.layout import REMEMBER_S
from services.hls.recording import RecordingSettings


@dataclass(slots=True, frozen=True, kw_only=True)
class HlsSettings:
    """What an hls node is to be."""

    member: MemberSettings = field(default_factory=MemberSettings)
    http_host: str = "127.0.0.1"
    http_port: int = 0
    advertise_http_port: int = 0  #: 0: the port that is listened on
    https_host: str = "127.0.0.1"
    https_port: int = 0
    certificate: ServerCertificate | None = None  #: of the HTTPS port; None: there is none. Looked at again from time to time
    limits: ListenerLimits = field(default_factory=ListenerLimits)  #: of each of the two
    proxy_protocol: frozenset[str] = frozenset()  #: of the two, where balancers begin with a PROXY header
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 0
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    memory_bytes: int = 512 << 20
    remember_s: float = REMEMBER_S  #: for how long it stays in storage how far the numbers of a stream went
    spool_dir: Path = Path("lalmesh-spool")  #: of this node alone
    recording: RecordingSettings = field(default_factory=RecordingSettings)
    cors_origins: tuple[str, ...] = ()
    session_ids: SessionIds | None = None  #: of players; None: they are not counted
    session_idle_s: float = 30.0
    storage_url: str = ""  #: as events name it, without credentials
    match_app: bool = True
    stream_series: int = 0  #: streams that metrics have series of; 0: none
    access: AccessSettings = field(default_factory=AccessSettings)
