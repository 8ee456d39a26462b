"""The keys of lal that are about its control: API, events, secrets, relays, logs."""

from __future__ import annotations

from lalmesh.runtime.config.lal._row import different, mapped, nothing

_LOG = "Log lines have their own form here, and always time, level and place; telemetry.log_format: json or text."
_GROUPS = "What streams do is at /v1/streams and in the metrics, not in the log."

GENERAL = (
    nothing("# doc of config", "", "A comment."),
    nothing("conf_version", "", "Every version of the file is read; what is missing counts as lal counts it."),
)

RELAY = (
    mapped("relay_push.enable", False, "relay.pushes", "Whether what is published is sent on; here also what relays fetch."),
    mapped(
        "relay_push.addr_list",
        (),
        "relay.pushes",
        "A rule for all streams, to the application and with the query of the publisher's URL; it tries again with growing pauses, "
        "and finds loops.",
    ),
    mapped("static_relay_pull.enable", False, "relay.static_pull", "Whether what nobody publishes is fetched while it is watched."),
    mapped(
        "static_relay_pull.addr",
        "",
        "relay.static_pull",
        "Where from: the application is that of the player's URL, live where that has none (HLS); it ends up to 4 s after the last "
        "player has left.",
    ),
)

API = (
    different(
        "http_api.enable",
        False,
        "scheduler.http.host",
        "The API is there with the scheduler; false lets it listen on this machine only.",
    ),
    mapped(
        "http_api.addr",
        "",
        "scheduler.http.host scheduler.http.port",
        "Where the API listens; changes need a token, or this machine.",
    ),
)

EVENTS = (
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
)

NOTIFY = (
    mapped("server_id", "", "notify.server_id", "What events and the API name the cluster by."),
    mapped("http_notify.enable", False, "notify.lal.on_pub_start", "Whether the URLs below are told of anything."),
    mapped(
        "http_notify.update_interval_sec", 0, "notify.update_interval_s", "Time between two on_update; 0: none after the first."
    ),
    *(
        mapped(
            f"http_notify.{event}",
            "",
            f"notify.lal.{event}",
            "The same fields; told again until it is taken, where lal tried once.",
        )
        for event in EVENTS
    ),
)

#: what each switch guards here: action and protocols. fMP4, which lal has not, goes with FLV, and recordings with HLS.
AUTH_SWITCHES = {
    "pub_rtmp_enable": ("publish", "rtmp"),
    "sub_rtmp_enable": ("play", "rtmp"),
    "sub_httpflv_enable": ("play", "flv|fmp4"),
    "sub_httpts_enable": ("play", "ts"),
    "pub_rtsp_enable": ("publish", "rtsp"),
    "sub_rtsp_enable": ("play", "rtsp"),
    "hls_m3u8_enable": ("play", "hls|record"),
}

AUTH = (
    mapped("simple_auth.key", "", "auth.lal_secret.key", "A secret, so it comes from a file or the environment."),
    mapped(
        "simple_auth.dangerous_lal_secret",
        "",
        "auth.lal_secret.master_secret",
        "Compared as it is written: lal compared it in lower case, so one with capitals never fitted.",
    ),
    *(
        mapped(f"simple_auth.{switch}", False, "auth.rules", f"A rule {action}:{protocols} * lal_secret.")
        for switch, (action, protocols) in AUTH_SWITCHES.items()
    ),
)

PPROF = (
    different(
        "pprof.enable",
        False,
        "metrics.profile_token",
        "A profile of a node is at /debug/profile of its metrics port, for whoever has the token; without one there is none.",
    ),
    different("pprof.addr", "", "metrics.host metrics.port", "The metrics port shows the profile."),
)

LOG = (
    mapped(
        "log.level",
        1,
        "telemetry.log_level",
        "0 is debug, 1 and 2 are info, 3 warning, the rest error: what lal says at 1, its default, is said at info here.",
    ),
    mapped(
        "log.filename",
        "./logs/lalserver.log",
        "telemetry.log_file",
        "Taken where is_to_stdout is false: logs go to one place, not to two.",
    ),
    mapped("log.is_to_stdout", True, "telemetry.log_file", "True logs to standard error, and to no file."),
    different(
        "log.is_rotate_daily", True, "telemetry.log_file", "logrotate and its like move the file away; it is opened anew then."
    ),
    nothing("log.short_file_flag", True, _LOG),
    nothing("log.timestamp_flag", True, _LOG),
    nothing("log.timestamp_with_ms_flag", True, _LOG),
    nothing("log.level_flag", True, _LOG),
    different("log.is_rotate_hourly", False, "telemetry.log_file", "As is_rotate_daily."),
    different("log.max_rotate_days", 0, "telemetry.log_file", "As is_rotate_daily."),
    nothing(
        "log.assert_behavior", 1, "What must not happen is logged with its traceback and ends the session that it happened to."
    ),
)

DEBUG = (
    nothing("debug.log_group_interval_sec", 0, _GROUPS),
    nothing("debug.log_group_max_group_num", 0, _GROUPS),
    nothing("debug.log_group_max_sub_num_per_group", 0, _GROUPS),
)

CONTROL_ROWS = (*GENERAL, *RELAY, *API, *NOTIFY, *AUTH, *PPROF, *LOG, *DEBUG)
