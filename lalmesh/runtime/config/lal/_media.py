"""What lal does with media, as keys here: caches, silence, HLS, recording, passwords of RTSP."""

from __future__ import annotations

import math

from lalmesh.runtime.config._base import MIN_SECRET_CHARS
from lalmesh.runtime.config._keys import all_keys
from lalmesh.runtime.config.lal._file import LalFile
from lalmesh.runtime.config.lal._made import Made

_CLEANUP = ("never", "after_end", "rolling")
_SCHEMES = ("basic", "digest")
_SESSION_MARGIN_S = 5  #: of the session directory over what hls nodes count as gone


def play_and_publish(lal: LalFile, made: Made) -> None:
    """What players get at once, and silence for those who publish none."""
    caches = {
        "rtmp.gop_num": lal.flag("rtmp.enable") or lal.flag("rtmp.rtmps_enable"),
        "httpflv.gop_num": lal.flag("httpflv.enable"),
        "httpts.gop_num": lal.flag("httpts.enable"),
    }
    key = max((key for key, is_on in caches.items() if is_on), key=lal.number, default="rtmp.gop_num")
    made.number(key, "edge.play.gop_num", max(lal.number(key), 0))
    made.number(key, "origin.gop_num", max(lal.number(key), 1))
    made.put("edge.publish.silent_audio", lal.flag("in_session.add_dummy_audio_enable"))
    wait = "in_session.add_dummy_audio_wait_audio_ms"
    if lal.flag("in_session.add_dummy_audio_enable"):
        made.number(wait, "edge.publish.silent_audio_wait_ms", lal.number(wait))


def hls(lal: LalFile, made: Made) -> None:
    """Segments, and who watches them."""
    if lal.flag("hls.use_memory_as_disk_flag"):
        made.put("hls.storage.url", "memory:")
    elif lal.text("hls.out_path"):
        made.put("hls.storage.url", lal.text("hls.out_path"))
    pattern = lal.text("hls.url_pattern").strip("/")
    if pattern != "hls":
        made.remark("hls.url_pattern", f"What was asked for below /{pattern} has to be asked for there.")
    if lal.number("hls.fragment_duration_ms") > 0:
        _segments(lal, made)
    made.number("hls.fragment_num", "hls.list_num", lal.number("hls.fragment_num"))
    kept = "hls.delete_threshold" if "hls.delete_threshold" in lal.given else "hls.fragment_num"
    made.number(kept, "hls.delete_threshold_num", lal.number(kept))
    mode = lal.number("hls.cleanup_mode")
    if 0 <= mode < len(_CLEANUP):
        made.put("hls.cleanup", _CLEANUP[mode])
    else:
        made.remark("hls.cleanup_mode", f"{mode} is none of them, so it is rolling.")
    _players(lal, made)


def _segments(lal: LalFile, made: Made) -> None:
    made.number("hls.fragment_duration_ms", "hls.segment_ms", lal.number("hls.fragment_duration_ms"))
    segment_ms = int(str(made.values["hls.segment_ms"]))
    for path, least in (("hls.max_target_s", math.ceil(segment_ms / 1000)), ("hls.part_ms", -segment_ms // 2)):
        default = int(str(all_keys()[path].default))
        taken = max(default, least) if least > 0 else min(default, -least)  # what segments need of the keys beside them
        if taken != default:
            made.put(path, taken)


def _players(lal: LalFile, made: Made) -> None:
    key = lal.text("hls.sub_session_hash_key")
    if not key:
        return
    if len(key) < MIN_SECRET_CHARS:
        made.remark(
            "hls.sub_session_hash_key", "Ids of players are signed with a key made of the cluster's until there is a longer one."
        )
        return
    made.put("hls.session.hash_key", key)
    timeout_ms = lal.number("hls.sub_session_timeout_ms")
    timeout_ms = timeout_ms or lal.number("hls.fragment_num") * lal.number("hls.fragment_duration_ms") * 2
    made.number("hls.sub_session_timeout_ms", "hls.session.idle_s", timeout_ms / 1000)
    ttl_s = math.ceil(float(str(made.values["hls.session.idle_s"]))) + _SESSION_MARGIN_S
    if ttl_s > int(str(all_keys()["scheduler.session_ttl_s"].default)):
        made.number("hls.sub_session_timeout_ms", "scheduler.session_ttl_s", ttl_s)


def rtsp(lal: LalFile, made: Made) -> None:
    """The one account of lal."""
    if not lal.flag("rtsp.auth_enable"):
        return
    method = lal.number("rtsp.auth_method")
    made.put("edge.rtsp.auth.scheme", _SCHEMES[method == 1])
    if method not in (0, 1):
        made.remark("rtsp.auth_method", f"{method} is neither, and lal took it for basic.")
    name, password = lal.text("rtsp.username"), lal.text("rtsp.password")
    if not name or not password or ":" in name or len(f"{name}:{password}".split()) > 1:
        made.remark(
            "rtsp.auth_enable", "An account without name or password, or with blanks in it, is not taken: NOBODY is let in."
        )
        made.rules(["any:rtsp * deny"])
        return
    made.put("edge.rtsp.auth.publish_users", f"{name}:{password}")
    made.put("edge.rtsp.auth.play_users", f"{name}:{password}")


def record(lal: LalFile, made: Made) -> None:
    """What is recorded: every stream."""
    formats = [ours for ours, key in (("flv", "record.enable_flv"), ("ts", "record.enable_mpegts")) if lal.flag(key)]
    if formats:
        made.put("hls.recording.rules", [f"* {'+'.join(formats)}"])
