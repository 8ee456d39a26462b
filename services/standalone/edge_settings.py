"""From the configuration to what an edge is built with."""

from __future__ import annotations

from lalmesh.protocol.http_auth import Scheme
from lalmesh.relay_path import cluster_mark
from lalmesh.runtime.config import Config, EdgeCapacityConfig, EdgeConfig, NotifyConfig, RtspConfig, users_of
from lalmesh.runtime.networks import Networks
from lalmesh.runtime.scheduling import Capacity
from services.edge.alarms import AlarmSettings
from services.edge.events import EventSettings
from services.edge.fanout import FanOutSettings
from services.edge.hls import HlsCountSettings
from services.edge.hls_client import HlsProxySettings
from services.edge.publication import PublicationSettings
from services.edge.read_turns import ReadTurnSettings
from services.edge.relay import RelaySettings
from services.edge.relaying import RelayingSettings, RetrySettings
from services.edge.rtp_ports import UdpSettings
from services.edge.rtsp_link import AuthSettings, RtspSettings
from services.edge.settings import EdgeSettings, ListenSettings
from services.hls.waits import waiting_answer_s
from services.standalone import settings
from services.standalone.access_settings import access_settings
from services.standalone.player_settings import session_ids_at_edges

#: What to offer for each setting, the last one for clients that take that: ffmpeg and live555 do.
_AUTH_SCHEMES = {
    "digest": (Scheme.DIGEST_SHA256, Scheme.DIGEST_MD5),
    "sha-256": (Scheme.DIGEST_SHA256,),
    "basic": (Scheme.BASIC,),
    "any": (Scheme.BASIC, Scheme.DIGEST_SHA256, Scheme.DIGEST_MD5),
}

HLS_MARGIN_S = 10.0  #: beyond what an hls node gives the owner of a stream to answer: its questions to scheduler and storage before


def edge_settings(config: Config, keys: tuple[bytes, ...]) -> EdgeSettings:
    """What an edge is built with.

    Raises:
        ConfigError: the certificate cannot be used.
    """
    edge, cluster = config.edge, config.cluster
    return EdgeSettings(
        member=settings.member(config, edge.advertise.host, _capacity(edge.capacity)),
        remembered_num=config.cluster.remembered_num,
        listen=_listen(edge),
        certificate=settings.certificate("edge.tls", edge.tls),
        hls=HlsProxySettings(
            upstreams=tuple(edge.hls.upstreams),
            cache_bytes=edge.hls.cache_bytes,
            silence_s=waiting_answer_s(config.hls.wait_s, config.hls.max_target_s) + HLS_MARGIN_S,
        ),
        hls_players=HlsCountSettings(ids=session_ids_at_edges(config, keys), idle_s=config.hls.session.idle_s),
        relaying=_relaying(config, keys),
        access=access_settings(config, keys),
        rtsp=_rtsp(edge),
        cors_origins=edge.http.cors_origins,
        limits=settings.limits(edge.limits, edge),
        publication=_publication(edge),
        read_turns=ReadTurnSettings(
            max_delay_ms=edge.publish.max_delay_ms, publishers_per_delay_ms=edge.publish.publishers_per_delay_ms
        ),
        relay=RelaySettings(
            linger_s=edge.play.linger_s,
            lost_s=settings.lost_s(config),
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
        delivery_s=settings.failover_s(config),
        events=_events(config.notify),
        session_report_s=edge.session.report_s,
        stream_series=config.telemetry.stream_series,
    )


def _capacity(config: EdgeCapacityConfig) -> Capacity:
    return Capacity(
        egress_bps=config.egress_bps,
        sessions=config.sessions,
        memory_bytes=config.memory_bytes,
        cpu_fraction=config.cpu_percent / 100,
    )


def _relaying(config: Config, keys: tuple[bytes, ...]) -> RelayingSettings:
    """How relays are run; the cluster is known to others by its name and something of its key."""
    relay = config.relay
    return RelayingSettings(
        retry=RetrySettings(
            first_pause_s=relay.first_pause_s,
            longest_pause_s=max(relay.first_pause_s, relay.longest_pause_s),
            steady_s=relay.steady_s,
        ),
        start_timeout_s=relay.start_timeout_s,
        stall_s=relay.stall_timeout_s,
        fanout=_fanout(config),
        denied=Networks(relay.deny),
        cluster_mark=cluster_mark(config.cluster.name, keys[0]),
    )


def _listen(edge: EdgeConfig) -> tuple[ListenSettings, ...]:
    at = edge.advertise
    advertised = {
        "rtmp": at.rtmp_port,
        "rtmps": at.rtmps_port,
        "rtsp": at.rtsp_port,
        "rtsps": at.rtsps_port,
        "ws_rtsp": at.ws_rtsp_port,
        "http": at.http_port,
        "https": at.https_port,
    }
    return tuple(
        ListenSettings(
            protocol=protocol,
            host=listener.host,
            port=listener.port,
            advertise_port=advertised[protocol],
            proxy_protocol=protocol in edge.proxy_protocol,
        )
        for protocol, listener in edge.listeners.items()
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


def _events(notify: NotifyConfig) -> EventSettings:
    """What is told of clients, and when of their media."""
    alarms = AlarmSettings(**notify.alarms.model_dump())
    return EventSettings(raw_query=notify.raw_query, alarms=alarms)


def _udp(rtsp: RtspConfig) -> UdpSettings:
    ports = rtsp.udp_range
    if ports is None:
        return UdpSettings(shared_port=rtsp.shared_udp_port)
    return UdpSettings(first_port=ports[0], last_port=ports[-1])


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
