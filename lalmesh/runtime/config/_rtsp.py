"""The sections of `edge` that are about RTSP: listeners, UDP ports, users."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from lalmesh.runtime.config._base import Allowed, ConfigModel, Host, Port, Text, live_keys

SHARED_PORTS = "shared"
UDP_PAIR = 2  #: ports of a track of a client, or of all that share them: RTP's and RTCP's


def _two_and_more(ports: str) -> str:
    first, _, last = ports.partition("-")
    if ports != SHARED_PORTS and not (0 < int(first) < int(last) < 1 << 16 and int(first) % 2 == 0 and int(last) % 2):
        raise ValueError("not a range of UDP ports that begins with an even one and ends with an odd one")
    return ports


def users_of(secret: SecretStr) -> dict[str, str]:
    """Passwords by name.

    Raises:
        ValueError: an entry without a name or without a password; its text is not in the message.
    """
    users: dict[str, str] = {}
    for index, entry in enumerate(secret.get_secret_value().split()):
        name, colon, password = entry.partition(":")
        if not (name and colon and password):
            raise ValueError(f"user {index + 1} is not NAME:PASSWORD")
        users[name] = password
    return users


def _readable(secret: SecretStr) -> SecretStr:
    users_of(secret)
    return secret


UdpPorts = Annotated[
    str,
    StringConstraints(pattern=r"^(shared|[0-9]{1,5}-[0-9]{1,5})$"),
    AfterValidator(_two_and_more),
    Allowed("shared, or FIRST-LAST, the first even and the last odd"),
]
Users = Annotated[SecretStr, AfterValidator(_readable), Allowed("NAME:PASSWORD, several with blanks or line ends between")]


class RtspAuthConfig(ConfigModel):
    """Who may publish and play by RTSP, RTSPS and RTSP over WebSocket."""

    scheme: Literal["digest", "sha-256", "basic", "any"] = Field(
        default="digest",
        description="How passwords are asked for: digest by SHA-256 and MD5, or SHA-256 alone, which old clients do not know; "
        "basic sends them as they are.",
    )
    publish_users: Users = Field(default=SecretStr(""), description="Who may publish; empty: anybody.")
    publish_users_file: Text = Field(default="", description="File that holds publish_users.")
    play_users: Users = Field(default=SecretStr(""), description="Who may play; empty: anybody.")
    play_users_file: Text = Field(default="", description="File that holds play_users.")


class RtspConfig(ConfigModel):
    """The RTSP listener, and how RTSP is spoken on it, by RTSPS and over WebSocket. Who is connected goes on as he began."""

    live = live_keys("session_timeout_s reorder_ms drop_broken_gop wait_publisher udp_start")

    enable: bool = Field(default=True, description="Whether to listen.")
    host: Host = Field(default="0.0.0.0", description="Address to listen on, for UDP too.")
    port: Port = Field(default=5544, description="TCP port; 0 takes a free one.")
    udp_ports: UdpPorts = Field(
        default="20000-20999",
        description="UDP ports: two of a range for each track of a client, or two for all (shared), who are told apart by address.",
    )
    shared_udp_port: Port = Field(
        default=20_000, multiple_of=2, description="The first of the two that all share, an even one; 0 takes a free one."
    )
    reorder_ms: int = Field(
        default=200, ge=0, le=10_000, description="Longest time that a datagram of a publisher is waited for that others overtook."
    )
    drop_broken_gop: bool = Field(
        default=False, description="Whether pictures after a loss are dropped up to the next random access point."
    )
    session_timeout_s: int = Field(
        default=60, ge=5, le=3600, description="Silence after which a client that uses UDP counts as gone; it is told."
    )
    wait_publisher: bool = Field(
        default=True, description="Whether a player waits for a publisher, as play.wait_publisher_s has it, or gets 404 at once."
    )
    udp_start: Literal["gop", "next"] = Field(
        default="gop",
        description="How a UDP player begins: with the group of pictures that is kept, at most at four times its pace, "
        "or at the next random access point.",
    )
    auth: RtspAuthConfig = RtspAuthConfig()

    @property
    def udp_range(self) -> range | None:
        """The UDP ports that tracks get pairs of; None: all share one pair."""
        if self.udp_ports == SHARED_PORTS:
            return None
        first, last = map(int, self.udp_ports.split("-"))
        return range(first, last + 1)


class RtspsConfig(ConfigModel):
    """The RTSPS listener: RTSP in TLS. Its clients get no UDP, which is not encrypted."""

    enable: bool | None = Field(default=None, description="Whether to listen; null: when edge.tls has a certificate.")
    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=5322, description="TCP port; 0 takes a free one.")


class WsRtspConfig(ConfigModel):
    """The listener of RTSP over WebSocket. The HTTP and HTTPS listeners take it too, where the subprotocol rtsp is asked for."""

    enable: bool = Field(default=True, description="Whether to listen.")
    host: Host = Field(default="0.0.0.0", description="Address to listen on.")
    port: Port = Field(default=5566, description="TCP port; 0 takes a free one.")
