"""SDP: session descriptions as RTSP carries them (RFC 8866, RFC 2326 Appendix C). Sans-I/O."""

from __future__ import annotations

from lalmesh.protocol.sdp._build import RtpFormat, assign_payload_types, build_media, build_session
from lalmesh.protocol.sdp._formats import FIRST_DYNAMIC_PAYLOAD_TYPE, MediaFormat
from lalmesh.protocol.sdp._lines import MAX_DESCRIPTION_BYTES, MAX_LINES
from lalmesh.protocol.sdp._model import Attribute, MediaDescription, SessionDescription
from lalmesh.protocol.sdp._parse import MAX_MEDIA, parse_media, parse_session

__all__ = [
    "FIRST_DYNAMIC_PAYLOAD_TYPE",
    "MAX_DESCRIPTION_BYTES",
    "MAX_LINES",
    "MAX_MEDIA",
    "Attribute",
    "MediaDescription",
    "MediaFormat",
    "RtpFormat",
    "SessionDescription",
    "assign_payload_types",
    "build_media",
    "build_session",
    "parse_media",
    "parse_session",
]
