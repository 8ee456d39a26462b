"""What an RTSP connection carries, as the connection sees it: `RtspReceiving` of a player, `RtspSending` of a publisher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from lalmesh.protocol.rtsp import Announced, Described, RtspUrl

RandomBytes: TypeAlias = Callable[[int], bytes]


@dataclass(slots=True, frozen=True)
class Wanted:
    """The tracks to set up."""

    urls: tuple[str, ...]  #: control URL of each, absolute
    url: str = ""  #: of the whole stream; empty: the one that was asked for


@dataclass(slots=True, frozen=True)
class Report:
    """An RTCP packet to send."""

    track: int  #: index in `Wanted.urls`
    data: bytes


class RtspMedia(ABC):
    """Knows descriptions, packets and reports, no socket and no clock. Times are µs of a clock that does not step."""

    @property
    def description(self) -> bytes:
        """Of what is published, SDP; empty where something is played."""
        return b""

    @abstractmethod
    def wanted(self, event: Described | Announced, url: RtspUrl) -> Wanted:
        """The tracks to set up, of the stream at `url`.

        Raises:
            RemoteProtocolError: its description does not parse.
            UnsupportedError: there is nothing in it that is known here.
        """

    @abstractmethod
    def set_up(self, track: int, *, is_udp: bool) -> None:
        """The way of a track is known: packets may come, in any order where it `is_udp`. Again, if the tracks are set up again."""

    @abstractmethod
    def receive(self, track: int, data: bytes, now_us: int, *, is_rtcp: bool) -> None:
        """Take a packet of `track` that came at `now_us`.

        Raises:
            UnsupportedError: the stream needs what is not implemented.
        """

    @abstractmethod
    def flush(self, now_us: int) -> None:
        """Give what waits: nothing more comes."""

    @property
    def next_timer_us(self) -> int | None:
        """When `handle_timer` is due; None: not at all."""
        return None

    def handle_timer(self, now_us: int) -> list[Report]:
        """Do what is due at `now_us`; what is to be sent of it.

        Raises:
            UnsupportedError: as `receive`.
        """
        return []

    def greetings(self, now_us: int) -> list[Report]:
        """What is to be sent at the beginning, at `now_us`."""
        return []

    def goodbyes(self) -> list[Report]:
        """What is to be sent at the end."""
        return []

    @property
    def is_over(self) -> bool:
        """The server said goodbye of every track."""
        return False

    @property
    def untaken_bytes(self) -> int:
        """Media that came and that nobody took."""
        return 0
