"""RTMP commands: a name, a transaction id and AMF values; and the parts of ``connect`` (RTMP 1.0 §7.2, Enhanced RTMP v2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from lalmesh.amf import UNDEFINED, AmfValue, parse_amf0, parse_amf3_message, serialize_amf0
from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.protocol.rtmp._chunk import Message
from lalmesh.protocol.rtmp._messages import COMMAND_TYPES, MessageType

MAX_COMMAND_BYTES = 64 << 10  #: a connect with every field of Flash and a signed URL stays under 8 KiB
MAX_COMMAND_VALUES = 256  #: with all that they hold; a connect of Enhanced RTMP that names every codec has under 100
COMMAND_BYTES_PER_VALUE = 4  #: at least, beyond the first `FEW_VALUES`: members have names, and what references repeat has no bytes
FEW_VALUES = 32
MAX_FOURCCS = 64  #: entries kept of each capability list; some 15 codes are defined

CAPS_RECONNECT = 0x01  #: capsEx: understands the request to reconnect elsewhere
CAPS_MODEX = 0x04  #: capsEx: ModEx prefixes

CAN_FORWARD = 0x04  #: of a codec


@dataclass(slots=True, frozen=True)
class Command:
    """A command message."""

    name: str
    transaction_id: float  #: 0 where no answer is expected
    arguments: list[AmfValue]  #: the first is the command object, mostly null

    def argument(self, index: int) -> AmfValue:
        """The argument at `index`, None where there is none; the command object is 0."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return None if value is UNDEFINED else value


def parse_command(message: Message) -> Command:
    """Take a command message apart, type 20 or 17.

    Raises:
        RemoteProtocolError: it is not AMF, or does not begin with a name.
        LimitExceeded: over `MAX_COMMAND_BYTES`; more values than `MAX_COMMAND_VALUES`, or than its bytes may hold.
    Source: RTMP 1.0 §7.1.1, §7.2
    """
    if len(message.payload) > MAX_COMMAND_BYTES:
        raise LimitExceeded("command bytes", len(message.payload), MAX_COMMAND_BYTES)
    # Interop: some clients leave out the format byte of type 17.
    amf3 = message.type_id == MessageType.COMMAND_AMF3 and message.payload[:1] == b"\0"
    max_values = min(MAX_COMMAND_VALUES, FEW_VALUES + len(message.payload) // COMMAND_BYTES_PER_VALUE)
    parse = parse_amf3_message if amf3 else parse_amf0
    values = parse(message.payload, max_values=max_values)
    if not values or not isinstance(values[0], str):
        raise RemoteProtocolError("command without a name", section="RTMP 1.0 §7.2")
    transaction_id = values[1] if len(values) > 1 and isinstance(values[1], float) else 0.0
    return Command(values[0], transaction_id, values[2:])


def asks_to_publish(message: Message) -> bool:
    """Whether this is a publish command. One that cannot be read is not: whoever takes it apart finds that out."""
    if message.type_id not in COMMAND_TYPES or b"publish" not in message.payload:  # nothing else is taken apart twice
        return False
    try:
        return parse_command(message).name == "publish"
    except RemoteProtocolError:
        return False


def serialize_command(name: str, transaction_id: float, *arguments: AmfValue) -> bytes:
    """The payload of a type 20 command message."""
    return serialize_amf0(name, transaction_id, *arguments)


def text(value: AmfValue) -> str:
    """`value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def integer(value: AmfValue, default: int = 0) -> int:
    """`value` as a whole number, `default` if it is none or not finite."""
    return int(value) if isinstance(value, float) and math.isfinite(value) else default


def members(value: AmfValue) -> dict[str, AmfValue]:
    """The members of an AMF object, none if it is something else."""
    return value if isinstance(value, dict) else {}


@dataclass(slots=True, frozen=True)
class Capabilities:
    """What a peer says of itself beyond RTMP 1.0. A code ``*`` stands for any codec."""

    four_cc_list: tuple[str, ...] = ()  #: codecs, of audio and video, that it supports
    video: Mapping[str, int] = field(default_factory=dict)  #: code to flags, as `CAN_FORWARD`
    audio: Mapping[str, int] = field(default_factory=dict)
    caps_ex: int = 0  #: `CAPS_RECONNECT` and the like

    @property
    def enhanced(self) -> bool:
        """Whether the peer speaks Enhanced RTMP."""
        return bool(self.four_cc_list or self.video or self.audio or self.caps_ex)

    def to_members(self) -> dict[str, AmfValue]:
        """The members of a connect command or its answer that say this; those that say nothing are left out."""
        said: dict[str, AmfValue] = {}
        if self.four_cc_list:
            said["fourCcList"] = list(self.four_cc_list)
        if self.video:
            said["videoFourCcInfoMap"] = {code: float(flags) for code, flags in self.video.items()}
        if self.audio:
            said["audioFourCcInfoMap"] = {code: float(flags) for code, flags in self.audio.items()}
        if self.caps_ex:
            said["capsEx"] = float(self.caps_ex)
        return said


def parse_capabilities(said: Mapping[str, AmfValue]) -> Capabilities:
    """Find the capabilities among the members of a connect command or of its answer. What is malformed counts as not said.

    Source: Enhanced RTMP v2, Enhancing NetConnection connect Command
    """
    codes = said.get("fourCcList")
    return Capabilities(
        four_cc_list=tuple(code for code in codes[:MAX_FOURCCS] if isinstance(code, str)) if isinstance(codes, list) else (),
        video=_info_map(said.get("videoFourCcInfoMap")),
        audio=_info_map(said.get("audioFourCcInfoMap")),
        caps_ex=integer(said.get("capsEx")) & 0xFFFFFFFF,
    )


def _info_map(value: AmfValue) -> dict[str, int]:
    entries = list(members(value).items())[:MAX_FOURCCS]
    return {code: integer(flags) & 0xFFFFFFFF for code, flags in entries}
