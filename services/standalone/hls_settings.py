"""From the configuration to what an hls node is built with, and to its storage."""

from __future__ import annotations

from pathlib import Path

from lalmesh.media import ms_to_ticks
from lalmesh.runtime.config import Config
from lalmesh.runtime.follower import FollowSettings
from lalmesh.runtime.scheduling import Capacity
from lalmesh.runtime.storage import StorageOptions
from services.hls.cuts import CutSettings
from services.hls.hosting import Cleanup, WorkerSettings
from services.hls.recording import RecordingSettings
from services.hls.rendition import Format
from services.hls.settings import HlsSettings
from services.standalone import settings
from services.standalone.access_settings import access_settings
from services.standalone.player_settings import session_ids


def hls_settings(config: Config, keys: tuple[bytes, ...]) -> HlsSettings:
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
        remembered_num=config.cluster.remembered_num,
        transcode=hls.transcode == "auto",
        follow=FollowSettings(lost_s=settings.lost_s(config), keep_s=hls.keep_s),
    )
    return HlsSettings(
        member=settings.member(config, hls.advertise_host, Capacity(streams=hls.capacity.streams)),
        http_host=hls.http.host,
        http_port=hls.http.port,
        advertise_http_port=hls.http.advertise_port,
        https_host=hls.https.host,
        https_port=hls.https.port,
        certificate=settings.certificate("hls.tls", hls.tls) if hls.https_enabled else None,
        limits=settings.limits(hls.limits, hls),
        proxy_protocol=frozenset(hls.proxy_protocol),
        grpc_host=hls.grpc.host,
        grpc_port=hls.grpc.port,
        worker=worker,
        memory_bytes=hls.memory_bytes,
        remember_s=config.scheduler.hls_remember_s,
        spool_dir=Path(hls.recording.spool_dir),
        recording=RecordingSettings(spool_max_bytes=hls.recording.spool_max_bytes, upload_s=hls.recording.upload_s),
        cors_origins=hls.http.cors_origins,
        session_ids=session_ids(config, keys),
        session_idle_s=hls.session.idle_s,
        storage_url=_shown(hls.storage.url),
        match_app=config.cluster.match_app,
        stream_series=config.telemetry.stream_series,
        access=access_settings(config, keys),
    )


def storage_options(config: Config) -> StorageOptions:
    """How shared storage is reached."""
    storage = config.hls.storage
    return StorageOptions(
        endpoint=storage.endpoint,
        region=storage.region,
        access_key_id=storage.access_key_id,
        secret_access_key=storage.secret_access_key.get_secret_value(),
        deadline_s=storage.deadline_s,
    )


def _shown(url: str) -> str:
    """A URL of storage without query and credentials."""
    scheme, separator, rest = url.partition("?")[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if separator else scheme
