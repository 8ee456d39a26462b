"""Where lal listens, as keys here: addresses, and the certificate of what listens in TLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lalmesh.runtime.config.lal._file import LalFile
from lalmesh.runtime.config.lal._made import Made

Exists = Callable[[str], bool]  #: whether there is a file of that name


@dataclass(slots=True, frozen=True)
class _Secure:
    """One listener in TLS that lal would start."""

    enable: str  #: key of lal
    ours: str  #: section here
    cert_key: str  #: key of lal that names its certificate
    cert_file: str
    key_file: str


def listen_at(lal: LalFile, made: Made, key: str, ours: str) -> None:
    """The address in lal's `key` is where the section `ours` listens."""
    text = lal.text(key)
    host, colon, port = text.rpartition(":")
    if not text:
        made.remark(key, "Without an address lal took any free port; here it is the usual one.")
    elif not colon or not port.isascii() or not port.isdigit() or int(port) >= 1 << 16:
        made.remark(key, f"{text!r:.60} is no HOST:PORT, so it is the usual one.")
    else:
        made.put(f"{ours}.port", int(port))
        if host:
            made.put(f"{ours}.host", host.removeprefix("[").removesuffix("]"))


def rtmp_and_rtsp(lal: LalFile, made: Made) -> None:
    """Listeners without TLS that are not HTTP."""
    for section, enable, addr, ours in (
        ("rtmp", "enable", "addr", "edge.rtmp"),
        ("rtsp", "enable", "addr", "edge.rtsp"),
        ("rtsp", "ws_rtsp_enable", "ws_rtsp_addr", "edge.ws_rtsp"),
    ):
        is_on = lal.flag(f"{section}.{enable}")
        made.put(f"{ours}.enable", is_on)
        if is_on:
            listen_at(lal, made, f"{section}.{addr}", ours)


def http(lal: LalFile, made: Made) -> None:
    """The HTTP listener of the edge: that of the first of httpflv and httpts that is on; hls may have one of its own."""
    on = [section for section in ("httpflv", "httpts", "hls") if lal.flag(f"{section}.enable")]
    made.put("edge.http.enable", bool(on))
    if on:
        listen_at(lal, made, _shared_address(lal, made, on, "http_listen_addr"), "edge.http")
    if "hls" in on and lal.text("hls.http_listen_addr"):
        listen_at(lal, made, "hls.http_listen_addr", "hls.http")


def _shared_address(lal: LalFile, made: Made, on: list[str], name: str) -> str:
    """The key of the address that FLV and TS share."""
    default = f"default_http.{name}"
    own = [f"{section}.{name}" for section in on if section != "hls" and lal.text(f"{section}.{name}")]
    taken = own[0] if own and own[0].startswith(on[0]) else default
    for key in own:
        if lal.text(key) != lal.text(taken):
            made.remark(key, f"{lal.text(key)} is not listened on beside {lal.text(taken)}.")
    return taken


def secure(lal: LalFile, made: Made, exists: Exists) -> None:
    """Listeners in TLS. lal goes on without those whose certificate it cannot use, so they are left out where files are missing."""
    wanted = list(_wanted(lal, made))
    usable = [each for each in wanted if each.cert_file and exists(each.cert_file) and exists(each.key_file)]
    for section in ("edge.rtmps", "edge.https", "edge.rtsps"):
        made.put(f"{section}.enable", any(each.ours == section for each in usable))
    for each in wanted:
        if each not in usable:
            made.remark(each.enable, f"The certificate {each.cert_file or '(none)'} or its key is not there, so nothing listens.")
    if not usable:
        return
    first = usable[0]
    made.put("edge.tls.cert_file", first.cert_file)
    made.put("edge.tls.key_file", first.key_file)
    for each in usable:
        if (each.cert_file, each.key_file) != (first.cert_file, first.key_file):
            made.remark(each.cert_key, f"{first.cert_file} is used instead.")
    _own_hls(lal, made, exists)


def _wanted(lal: LalFile, made: Made) -> list[_Secure]:
    found: list[_Secure] = []
    on = [section for section in ("httpflv", "httpts", "hls") if lal.flag(f"{section}.enable_https")]
    if on:
        listen_at(lal, made, _shared_address(lal, made, on, "https_listen_addr"), "edge.https")
        of = next((section for section in on if section != "hls" and lal.text(f"{section}.https_cert_file")), "default_http")
        found.append(_certified(lal, f"{on[0]}.enable_https", "edge.https", f"{of}.https"))
    if lal.flag("rtmp.rtmps_enable"):
        listen_at(lal, made, "rtmp.rtmps_addr", "edge.rtmps")
        found.append(_certified(lal, "rtmp.rtmps_enable", "edge.rtmps", "rtmp.rtmps"))
    if lal.flag("rtsp.rtsps_enable"):
        listen_at(lal, made, "rtsp.rtsps_addr", "edge.rtsps")
        found.append(_certified(lal, "rtsp.rtsps_enable", "edge.rtsps", "rtsp.rtsps"))
    return found


def _certified(lal: LalFile, enable: str, ours: str, stem: str) -> _Secure:
    return _Secure(enable, ours, f"{stem}_cert_file", lal.text(f"{stem}_cert_file"), lal.text(f"{stem}_key_file"))


def _own_hls(lal: LalFile, made: Made, exists: Exists) -> None:
    """HTTPS that hls has for itself; with the certificate of default_http where it names none."""
    if not (lal.flag("hls.enable_https") and lal.text("hls.https_listen_addr")):
        return
    stem = "hls" if lal.text("hls.https_cert_file") else "default_http"
    cert_file, key_file = lal.text(f"{stem}.https_cert_file"), lal.text(f"{stem}.https_key_file")
    if exists(cert_file) and exists(key_file):
        listen_at(lal, made, "hls.https_listen_addr", "hls.https")
        made.put("hls.tls.cert_file", cert_file)
        made.put("hls.tls.key_file", key_file)
    else:
        made.remark("hls.https_listen_addr", "Its certificate is not there, so nothing listens.")
