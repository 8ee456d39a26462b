"""The keys of lal that are about media: listeners, caches, HLS, RTSP, recording."""

from __future__ import annotations

from lalmesh.runtime.config.lal._row import Row, different, mapped, nothing

_NO_CAP = "A join is bounded in bytes and seconds, not in messages: edge.play.gop_max_bytes and gop_max_s."
_ONE_CERTIFICATE = (
    "One certificate serves RTMPS, RTSPS and HTTPS of an edge; where files are missing those do not listen, as in lal."
)
_GOP = "What a new player gets at once; one number for all protocols, the highest that the file gives to one that is on."
_OWN_HTTP = "FLV, TS and HLS share one HTTP listener of the edge; the address of httpflv counts, then that of httpts."
_OWN_HLS = "An address of its own becomes that of the hls node; the listener of the edge serves /hls/ too."
_HLS_ON = "HLS costs nothing until somebody asks for it, so it is always there; hls.start: always makes segments of every stream."

RTMP = (
    mapped("rtmp.enable", False, "edge.rtmp.enable", "Whether RTMP listens."),
    mapped("rtmp.addr", "", "edge.rtmp.host edge.rtmp.port", "Where RTMP listens."),
    mapped("rtmp.rtmps_enable", False, "edge.rtmps.enable", "Whether RTMPS listens; it needs a certificate that is there."),
    mapped("rtmp.rtmps_addr", "", "edge.rtmps.host edge.rtmps.port", "Where RTMPS listens."),
    different("rtmp.rtmps_cert_file", "", "edge.tls.cert_file", _ONE_CERTIFICATE),
    different("rtmp.rtmps_key_file", "", "edge.tls.key_file", _ONE_CERTIFICATE),
    mapped("rtmp.gop_num", 0, "edge.play.gop_num origin.gop_num", _GOP),
    different("rtmp.single_gop_max_frame_num", 0, "edge.play.gop_max_bytes edge.play.gop_max_s", _NO_CAP),
    different(
        "rtmp.merge_write_size",
        0,
        "edge.fanout.max_delay_ms",
        "Writes are gathered by time, the longer the more players there are; max_delay_ms: 0 holds no frame back.",
    ),
)

IN_SESSION = (
    mapped(
        "in_session.add_dummy_audio_enable",
        False,
        "edge.publish.silent_audio",
        "Silence for streams without audio; audio that comes later takes its place, where lal dropped it.",
    ),
    mapped(
        "in_session.add_dummy_audio_wait_audio_ms",
        0,
        "edge.publish.silent_audio_wait_ms",
        "How long video may run before silence is added.",
    ),
)

HTTP = (
    mapped("default_http.http_listen_addr", "", "edge.http.host edge.http.port", "Where HTTP listens."),
    mapped("default_http.https_listen_addr", "", "edge.https.host edge.https.port", "Where HTTPS listens."),
    mapped("default_http.https_cert_file", "", "edge.tls.cert_file", _ONE_CERTIFICATE),
    mapped("default_http.https_key_file", "", "edge.tls.key_file", _ONE_CERTIFICATE),
)


def _streaming(section: str, what: str) -> tuple[Row, ...]:
    """The keys that httpflv and httpts both have."""
    return (
        mapped(
            f"{section}.enable",
            False,
            "edge.http.enable",
            f"HTTP listens where one of httpflv, httpts, hls is on; it serves {what}.",
        ),
        mapped(f"{section}.enable_https", False, "edge.https.enable", "HTTPS likewise; it needs a certificate that is there."),
        different(
            f"{section}.url_pattern",
            "/live/",
            "",
            "A stream is at /APP/NAME with its suffix, whatever APP is: with / nothing changes, /live/ is the application live.",
        ),
        mapped(f"{section}.gop_num", 0, "edge.play.gop_num origin.gop_num", _GOP),
        different(f"{section}.single_gop_max_frame_num", 0, "edge.play.gop_max_bytes edge.play.gop_max_s", _NO_CAP),
        *_own(section, "edge", _OWN_HTTP),
    )


def _own(section: str, role: str, says: str) -> tuple[Row, ...]:
    """The listener that a service may have for itself."""
    return (
        different(f"{section}.http_listen_addr", "", f"{role}.http.host {role}.http.port", says),
        different(f"{section}.https_listen_addr", "", f"{role}.https.host {role}.https.port", says),
        different(f"{section}.https_cert_file", "", f"{role}.tls.cert_file", says),
        different(f"{section}.https_key_file", "", f"{role}.tls.key_file", says),
    )


STREAMING = (*_streaming("httpflv", "FLV"), *_streaming("httpts", "MPEG-TS"))

HLS = (
    different("hls.enable", False, "hls.start", _HLS_ON),
    different("hls.enable_https", False, "edge.https.enable", _HLS_ON),
    different("hls.url_pattern", "/hls/", "", "Playlists are below /hls/ and nowhere else."),
    mapped(
        "hls.out_path",
        "",
        "hls.storage.url",
        "The folder that segments are stored in; what lal left there is neither served nor removed.",
    ),
    mapped("hls.fragment_duration_ms", 0, "hls.segment_ms", "Least length of a segment."),
    mapped("hls.fragment_num", 0, "hls.list_num", "Segments in the live list; at least 3, as RFC 8216 wants it."),
    mapped("hls.delete_threshold", 0, "hls.delete_threshold_num", "Segments kept beyond the list where cleanup is rolling."),
    mapped("hls.cleanup_mode", 1, "hls.cleanup", "0, 1 and 2 are never, after_end and rolling."),
    mapped("hls.use_memory_as_disk_flag", False, "hls.storage.url", "Segments in memory are the storage memory:, of one process."),
    mapped(
        "hls.sub_session_timeout_ms",
        0,
        "hls.session.idle_s scheduler.session_ttl_s",
        "A player that asks for nothing so long has left.",
    ),
    mapped(
        "hls.sub_session_hash_key",
        "",
        "hls.session.hash_key",
        "Players are counted without a key too, by their playlists; one under 16 characters is not taken, as it can be tried out.",
    ),
    *_own("hls", "hls", _OWN_HLS),
)

RTSP = (
    mapped("rtsp.enable", False, "edge.rtsp.enable", "Whether RTSP listens."),
    mapped("rtsp.addr", "", "edge.rtsp.host edge.rtsp.port", "Where RTSP listens."),
    mapped("rtsp.rtsps_enable", False, "edge.rtsps.enable", "Whether RTSPS listens; it needs a certificate that is there."),
    mapped("rtsp.rtsps_addr", "", "edge.rtsps.host edge.rtsps.port", "Where RTSPS listens."),
    different("rtsp.rtsps_cert_file", "", "edge.tls.cert_file", _ONE_CERTIFICATE),
    different("rtsp.rtsps_key_file", "", "edge.tls.key_file", _ONE_CERTIFICATE),
    nothing("rtsp.out_wait_key_frame_flag", False, "A player always begins where it can decode, as with true."),
    mapped(
        "rtsp.auth_enable",
        False,
        "edge.rtsp.auth.play_users edge.rtsp.auth.publish_users",
        "Who plays and who publishes needs the password; lal let anybody publish.",
    ),
    mapped("rtsp.auth_method", 0, "edge.rtsp.auth.scheme", "0 and 1 are basic and digest."),
    mapped(
        "rtsp.username",
        "",
        "edge.rtsp.auth.play_users edge.rtsp.auth.publish_users",
        "The one account of lal; here there may be many.",
    ),
    mapped(
        "rtsp.password",
        "",
        "edge.rtsp.auth.play_users edge.rtsp.auth.publish_users",
        "A secret, so it comes from a file or the environment.",
    ),
    mapped("rtsp.ws_rtsp_enable", False, "edge.ws_rtsp.enable", "Whether RTSP over WebSocket listens."),
    mapped("rtsp.ws_rtsp_addr", "", "edge.ws_rtsp.host edge.ws_rtsp.port", "Where RTSP over WebSocket listens."),
)

_RECORDS = "Recordings are in shared storage, below record/ of hls.storage.url, and served at /record/."

RECORD = (
    mapped("record.enable_flv", False, "hls.recording.rules", "A rule that records every stream as FLV."),
    different("record.flv_out_path", "", "hls.storage.url hls.recording.spool_dir", _RECORDS),
    mapped("record.enable_mpegts", False, "hls.recording.rules", "A rule that records every stream as MPEG-TS."),
    different("record.mpegts_out_path", "", "hls.storage.url hls.recording.spool_dir", _RECORDS),
)

MEDIA_ROWS = (*RTMP, *IN_SESSION, *HTTP, *STREAMING, *HLS, *RTSP, *RECORD)
