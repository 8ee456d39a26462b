"""lal's configuration file as it ships, from its documentation: every key with its default; and a server that takes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.cluster import Node, Standalone
from support.ffmpeg import Publisher
from support.lal_client import LalClient

NAME = "test110"
STREAM = f"live/{NAME}"  #: that of its documents
LIMIT_S = 30.0
PUBLISHED_S = 300.0  #: longer than all tests of one file

_CERTIFICATE = ("./conf/cert.pem", "./conf/key.pem")
_EVENTS = [
    "on_server_start",
    "on_update",
    "on_pub_start",
    "on_pub_stop",
    "on_sub_start",
    "on_sub_stop",
    "on_relay_pull_start",
    "on_relay_pull_stop",
    "on_rtmp_connect",
    "on_hls_make_ts",
]
_SWITCHES = [
    "pub_rtmp_enable",
    "sub_rtmp_enable",
    "sub_httpflv_enable",
    "sub_httpts_enable",
    "pub_rtsp_enable",
    "sub_rtsp_enable",
    "hls_m3u8_enable",
]


def shipped_lal_config() -> dict[str, Any]:
    """A fresh copy of it."""
    return {
        "# doc of config": "https://pengrl.com/lal/#/ConfigBrief",
        "conf_version": "v0.4.1",
        "rtmp": {
            "enable": True,
            "addr": ":1935",
            "rtmps_enable": True,
            "rtmps_addr": ":4935",
            "rtmps_cert_file": _CERTIFICATE[0],
            "rtmps_key_file": _CERTIFICATE[1],
            "gop_num": 0,
            "single_gop_max_frame_num": 0,
            "merge_write_size": 0,
        },
        "in_session": {"add_dummy_audio_enable": False, "add_dummy_audio_wait_audio_ms": 150},
        "default_http": {
            "http_listen_addr": ":8080",
            "https_listen_addr": ":4433",
            "https_cert_file": _CERTIFICATE[0],
            "https_key_file": _CERTIFICATE[1],
        },
        "httpflv": {"enable": True, "enable_https": True, "url_pattern": "/", "gop_num": 0, "single_gop_max_frame_num": 0},
        "hls": {
            "enable": True,
            "enable_https": True,
            "url_pattern": "/hls/",
            "out_path": "./lal_record/hls/",
            "fragment_duration_ms": 3000,
            "fragment_num": 6,
            "delete_threshold": 6,
            "cleanup_mode": 1,
            "use_memory_as_disk_flag": False,
            "sub_session_timeout_ms": 30000,
            "sub_session_hash_key": "",
        },
        "httpts": {"enable": True, "enable_https": True, "url_pattern": "/", "gop_num": 0, "single_gop_max_frame_num": 0},
        "rtsp": {
            "enable": True,
            "addr": ":5544",
            "rtsps_enable": True,
            "rtsps_addr": ":5322",
            "rtsps_cert_file": _CERTIFICATE[0],
            "rtsps_key_file": _CERTIFICATE[1],
            "out_wait_key_frame_flag": True,
            "auth_enable": False,
            "auth_method": 1,
            "username": "q191201771",
            "password": "pengrl",
            "ws_rtsp_enable": True,
            "ws_rtsp_addr": ":5566",
        },
        "record": {
            "enable_flv": False,
            "flv_out_path": "./lal_record/flv/",
            "enable_mpegts": False,
            "mpegts_out_path": "./lal_record/mpegts",
        },
        "relay_push": {"enable": False, "addr_list": []},
        "static_relay_pull": {"enable": False, "addr": ""},
        "http_api": {"enable": True, "addr": ":8083"},
        "server_id": "1",
        "http_notify": {
            "enable": False,
            "update_interval_sec": 5,
            **{event: f"http://127.0.0.1:10101/{event}" for event in _EVENTS},
        },
        "simple_auth": {"key": "q191201771", "dangerous_lal_secret": "pengrl", **dict.fromkeys(_SWITCHES, False)},
        "pprof": {"enable": True, "addr": ":8084"},
        "log": {
            "level": 1,
            "filename": "./logs/lalserver.log",
            "is_to_stdout": True,
            "is_rotate_daily": True,
            "short_file_flag": True,
            "timestamp_flag": True,
            "timestamp_with_ms_flag": True,
            "level_flag": True,
            "assert_behavior": 1,
        },
        "debug": {"log_group_interval_sec": 30, "log_group_max_group_num": 10, "log_group_max_sub_num_per_group": 10},
    }


@contextmanager
def published_lal_server(
    folder: Path, media: Path, settings: Mapping[str, object], *, notify: Mapping[str, object] | None = None
) -> Iterator[Node]:
    """A server that takes lal's file as it ships, but for the ports and for `notify`, with `media` published as `STREAM`."""
    config = _with_free_ports(shipped_lal_config())
    config["http_notify"] |= notify or {}
    file = folder / "lalserver.conf.json"
    file.write_text(json.dumps(config))
    with Standalone(folder, dict(settings), arguments=("--lal-config", str(file))) as node:
        log = folder / "push.log"
        with Publisher(media, node.rtmp_url(STREAM), log=log, loops=-1, limit_s=PUBLISHED_S):
            LalClient(node.api_url).group_until(NAME, lambda group: group["pub"]["bitrate_kbits"], LIMIT_S)
            yield node


def _with_free_ports(config: dict[str, Any]) -> dict[str, Any]:
    for section in config.values():
        if isinstance(section, dict):
            for key in section:
                if key.endswith(("addr", "listen_addr")) and section[key]:
                    section[key] = ":0"
    return config
