"""From lal's configuration file to ours. Pure: what files there are is asked of the caller."""

from __future__ import annotations

from lalmesh.runtime.config.lal._control import api, auth, log, notify, relays
from lalmesh.runtime.config.lal._file import LalFile
from lalmesh.runtime.config.lal._listeners import Exists, http, rtmp_and_rtsp, secure
from lalmesh.runtime.config.lal._made import Conversion, Made
from lalmesh.runtime.config.lal._media import hls, play_and_publish, record, rtsp

LAL_WAIT_S = 120.0  #: lal closes a player that got nothing after one to two rounds of so many seconds
LAL_UDP_PORTS = "30000-30999"  #: the beginning of lal's range, 30000 to 60000, as firewalls have it open


def convert(lal: LalFile, exists: Exists) -> Conversion:
    """What `lal` means here.

    Args:
        lal: the file.
        exists: whether there is a file of a name, seen from the working directory: lal starts without TLS where there is none.
    """
    made = Made(lal)
    rtmp_and_rtsp(lal, made)
    http(lal, made)
    secure(lal, made, exists)
    for section in (play_and_publish, hls, rtsp, record, relays, api, notify, auth, log):
        section(lal, made)
    _what_lal_fixes(made)
    return made.done()


def _what_lal_fixes(made: Made) -> None:
    """What its users rely on although no key says it."""
    made.fixed("cluster.match_app", False, "Streams are told apart by their names alone; true tells applications apart too.")
    made.fixed("edge.play.wait_publisher_s", LAL_WAIT_S, "A player of a stream that nobody publishes waits so long.")
    made.fixed("edge.rtsp.udp_ports", LAL_UDP_PORTS, "UDP ports of RTSP begin at 30000.")
    for path in ("edge.http.cors_origins", "hls.http.cors_origins"):
        made.fixed(path, ["*"], "Pages of all origins may read streams, without credentials; the API is not open to them.")
