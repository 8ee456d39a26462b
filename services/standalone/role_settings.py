"""From the configuration to what edges, origins and hls nodes are built with."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from lalmesh.media import ms_to_ticks
from lalmesh.protocol.http_auth import Scheme
from lalmesh.runtime.certificate import ServerCertificate
from lalmesh.runtime.config import (
    SHARED_PORTS,
    CapacityConfig,
    Config,
    ConfigError,
    ConnectionLimitsConfig,
    EdgeConfig,
    Problem,
    RtspConfig,
    ServerTlsConfig,
    users_of,
)
from lalmesh.runtime.follower import FollowSettings
from lalmesh.runtime.link import LinkLimits
from lalmesh.runtime.listener import ListenerLimits
from lalmesh.runtime.member import MemberSettings
from lalmesh.runtime.ring import RingLimits
from lalmesh.runtime.scheduling import Capacity
from services.edge.app import EdgeSettings, ListenSettings
from services.edge.fanout import FanOutSettings
from services.edge.hls_client import HlsProxySettings
from services.edge.publication import PublicationSettings
from services.edge.relay import RelaySettings
from services.edge.rtp_ports import UdpSettings
from services.edge.rtsp_link import AuthSettings, RtspSettings
from services.hls.app import HlsSettings
from services.hls.cuts import CutSettings
from services.hls.hosting import Cleanup, WorkerSettings
from services.hls.recording import RecordingSettings
from services.hls.rendition import Format
from services.hls.service import waiting_answer_s
from services.origin.app import OriginSettings
from services.origin.group import GroupSettings

#: What to offer for each setting, the last one for clients that take that: ffmpeg and live555 do.
_AUTH_SCHEMES = {
    "digest": (Scheme.DIGEST_SHA256, Scheme.DIGEST_MD5),
    "sha-256": (Scheme.DIGEST_SHA256,),
    "basic": (Scheme.BASIC,),
    "any": (Scheme.BASIC, Scheme.DIGEST_SHA256, Scheme.DIGEST_MD5),
}

LEAST_LOST_S = 5.0  #: for an origin to be reached, or replaced, where publishers have no time to come back
HLS_MARGIN_S = 10.0  #: beyond what an hls node gives the owner of a stream to answer: its questions to scheduler and storage before


def link_limits(config: Config) -> LinkLimits:
    """The pace and bounds of links."""
    link = config.cluster.link
    return LinkLimits(
        dead_s=link.dead_s,
        heartbeat_s=link.heartbeat_ms / 1000,
        flush_s=link.flush_ms / 1000,
        busy_flush_s=link.busy_flush_ms / 1000,
        busy_messages_per_s=link.busy_messages_per_s,
        batch_bytes=link.batch_bytes,
        max_message_bytes=link.max_message_bytes,
    )


def edge_settings(config: Config) -> EdgeSettings:
    """What an edge is built with.

    Raises:
        ConfigError: the certificate cannot be used.
    """
    edge, cluster = config.edge, config.cluster
    return EdgeSettings(
        member=_member(config, edge.advertise.host),
        listen=_listen(edge),
        certificate=_certificate("edge.tls", edge.tls),
        hls=HlsProxySettings(
            upstreams=tuple(edge.hls.upstreams),
            cache_bytes=edge.hls.cache_bytes,
            silence_s=waiting_answer_s(config.hls.wait_s, config.hls.max_target_s) + HLS_MARGIN_S,
        ),
        rtsp=_rtsp(edge),
        cors_origins=edge.http.cors_origins,
        limits=_limits(edge.limits),
        publication=_publication(edge),
        relay=RelaySettings(
            linger_s=edge.play.linger_s,
            lost_s=config.origin.grace_s,
            fanout=_fanout(config),
            transcode=edge.play.transcode == "auto",
        ),
        take_over=edge.publish.second_publisher == "take_over",
        wait_publisher_s=edge.play.wait_publisher_s,
        player_sndbuf_bytes=edge.fanout.player_sndbuf_bytes,
        max_message_bytes=edge.limits.message_bytes,
        hevc=edge.play.hevc,
        match_app=cluster.match_app,
        chunk_size=edge.rtmp.chunk_size_bytes,
        claim_timeout_s=cluster.claim_timeout_s,
    )


def _member(config: Config, advertise_host: str, capacity: Capacity | None = None) -> MemberSettings:
    cluster = config.cluster
    return MemberSettings(
        zone=cluster.zone,
        machine=cluster.machine_name(host_name=socket.gethostname()),
        advertise_host=advertise_host,
        capacity=capacity or Capacity(),
        report_interval_s=cluster.report_interval_ms / 1000,
        silence_s=cluster.silence_s,
    )


def _capacity(config: CapacityConfig) -> Capacity:
    return Capacity(
        egress_bps=config.egress_bps,
        sessions=config.sessions,
        streams=config.streams,
        memory_bytes=config.memory_bytes,
        cpu_fraction=config.cpu_percent / 100,
    )


def _listen(edge: EdgeConfig) -> tuple[ListenSettings, ...]:
    at = edge.advertise
    ports = (
        ("rtmp", edge.rtmp.enable, edge.rtmp, at.rtmp_port),
        ("rtmps", edge.rtmps_enabled, edge.rtmps, at.rtmps_port),
        ("rtsp", edge.rtsp.enable, edge.rtsp, at.rtsp_port),
        ("rtsps", edge.rtsps_enabled, edge.rtsps, at.rtsps_port),
        ("ws_rtsp", edge.ws_rtsp.enable, edge.ws_rtsp, at.ws_rtsp_port),
        ("http", edge.http.enable, edge.http, at.http_port),
        ("https", edge.https_enabled, edge.https, at.https_port),
    )
    return tuple(
        ListenSettings(protocol=protocol, host=listener.host, port=listener.port, advertise_port=advertise_port)
        for protocol, enabled, listener, advertise_port in ports
        if enabled
    )


def _rtsp(edge: EdgeConfig) -> RtspSettings | None:
    """How RTSP is spoken; None where no port is to speak it."""
    rtsp = edge.rtsp
    if not (rtsp.enable or edge.rtsps_enabled or edge.ws_rtsp.enable):
        return None
    return RtspSettings(
        session_timeout_s=rtsp.session_timeout_s,
        reorder_ms=rtsp.reorder_ms,
        drop_broken_gop=rtsp.drop_broken_gop,
        wait_publisher_s=edge.play.wait_publisher_s if rtsp.wait_publisher else 0.0,
        udp=_udp(rtsp),
        udp_start=rtsp.udp_start,
        auth=AuthSettings(
            publish_users=users_of(rtsp.auth.publish_users),
            play_users=users_of(rtsp.auth.play_users),
            schemes=_AUTH_SCHEMES[rtsp.auth.scheme],
        ),
    )


def _udp(rtsp: RtspConfig) -> UdpSettings:
    if rtsp.udp_ports == SHARED_PORTS:
        return UdpSettings(shared_port=rtsp.shared_udp_port)
    first, _, last = rtsp.udp_ports.partition("-")
    return UdpSettings(first_port=int(first), last_port=int(last))


def _certificate(section: str, tls: ServerTlsConfig) -> ServerCertificate | None:
    if not tls.has_certificate:
        return None
    try:
        return ServerCertificate(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError([Problem(section, f"certificate cannot be used: {error}")]) from error


def _limits(limits: ConnectionLimitsConfig) -> ListenerLimits:
    return ListenerLimits(
        connections=limits.connections,
        connections_per_address=limits.connections_per_address,
        handshake_timeout_s=limits.handshake_timeout_s,
        idle_timeout_s=limits.idle_timeout_s,
    )


def _publication(edge: EdgeConfig) -> PublicationSettings:
    publish = edge.publish
    return PublicationSettings(
        replay_s=publish.replay_s,
        replay_max_s=publish.replay_max_s,
        replay_max_bytes=publish.replay_max_bytes,
        clock_jump_ms=publish.clock_jump_ms,
        silent_audio=publish.silent_audio,
        silent_audio_wait_ms=publish.silent_audio_wait_ms,
    )


def _fanout(config: Config) -> FanOutSettings:
    fanout, play = config.edge.fanout, config.edge.play
    return FanOutSettings(
        max_delay_ms=fanout.max_delay_ms,
        players_per_delay_ms=fanout.players_per_delay_ms,
        gop_num=play.gop_num,
        gop_max_bytes=play.gop_max_bytes,
        gop_max_s=play.gop_max_s,
        audio_cache_ms=config.origin.audio_cache_ms,
        player_queue_bytes=fanout.player_queue_bytes,
        player_queue_s=fanout.player_queue_s,
        slow_player_s=fanout.slow_player_s,
    )


def origin_settings(config: Config) -> OriginSettings:
    """What an origin is built with."""
    origin = config.origin
    ring = RingLimits(
        keep_us=int(config.edge.publish.replay_s * 1e6),
        gop_num=origin.gop_num,
        audio_cache_us=origin.audio_cache_ms * 1000,
        max_us=int(origin.ring.max_s * 1e6),
        max_bytes=origin.ring.max_bytes,
        max_units=origin.ring.max_units,
    )
    return OriginSettings(
        member=_member(config, origin.advertise_host, _capacity(origin.capacity)),
        grpc_host=origin.grpc.host,
        grpc_port=origin.grpc.port,
        groups=GroupSettings(ring=ring, grace_s=origin.grace_s),
        link=link_limits(config),
    )


def hls_settings(config: Config) -> HlsSettings:
    """What an hls node is built with.

    Raises:
        ConfigError: the certificate cannot be used.
    """
    hls = config.hls
    always = hls.start == "always"
    worker = WorkerSettings(
        cuts=CutSettings(
            segment=ms_to_ticks(hls.segment_ms),
            part=ms_to_ticks(hls.part_ms),
            max_target_s=hls.max_target_s,
        ),
        list_size=hls.list_num,
        delete_threshold=hls.delete_threshold_num,
        cleanup=Cleanup(hls.cleanup),
        formats=tuple(Format) if always else (),
        idle_s=None if always else hls.idle_s,
        wait_s=hls.wait_s,
        transcode=hls.transcode == "auto",
        follow=FollowSettings(lost_s=max(config.origin.grace_s, LEAST_LOST_S), keep_s=hls.keep_s),
    )
    return HlsSettings(
        member=_member(config, hls.advertise_host, Capacity(streams=hls.capacity.streams)),
        http_host=hls.http.host,
        http_port=hls.http.port,
        advertise_http_port=hls.http.advertise_port,
        https_host=hls.https.host,
        https_port=hls.https.port,
        certificate=_certificate("hls.tls", hls.tls) if hls.https_enabled else None,
        limits=_limits(hls.limits),
        grpc_host=hls.grpc.host,
        grpc_port=hls.grpc.port,
        worker=worker,
        memory_bytes=hls.memory_bytes,
        spool_dir=Path(hls.recording.spool_dir),
        recording=RecordingSettings(spool_max_bytes=hls.recording.spool_max_bytes, upload_s=hls.recording.upload_s),
        cors_origins=hls.http.cors_origins,
        session_key=hls.session.hash_key.get_secret_value().encode(),
        session_idle_s=hls.session.idle_s,
        match_app=config.cluster.match_app,
    )
