"""The two ways to an RTSP player: among the messages of its connection, and by UDP. Each is a hold on a relay and its fan-out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from lalmesh.errors import Unavailable
from lalmesh.remux import Channels, InterleavedPackager, RtpStream, WebSocketInterleavedPackager, plain_channels
from lalmesh.runtime.sessions import codecs_of
from services.edge.client import now_us
from services.edge.outputs import OutputFormat
from services.edge.player import playing_on
from services.edge.relay import Relay
from services.edge.rtp_players import DatagramPlayer
from services.edge.rtp_ports import RtpPair
from services.edge.rtsp_link import RtspLink
from services.edge.session import SessionMedia

#: choices of channels in use, of one stream, where who comes is still given those that it wants: most want the plain ones, and each
#: other choice has a fan-out and a cache of its own. Beyond, players are told the plain ones
MAX_CHANNEL_MAPS: Final = 8
MAX_LATE_CHANNEL_MAPS: Final = 16  #: ... where who was told of others while there was room may still play on them
MAX_TRACK_CHOICES: Final = 16  #: likewise of some tracks, neither one nor all: with three tracks there are no more, sockets and all
LATE_RETRY_S: Final = 5.0  #: after which such a player may ask again

First = Mapping[int, tuple[int, int]]  #: by track index: sequence number and RTP timestamp of its first packet


@dataclass(slots=True, frozen=True)
class _ChannelMap:
    """Which players share their bytes."""

    rtp: RtpStream
    channels: Channels
    is_socket: bool

    @property
    def has_own_channels(self) -> bool:
        """Some track is on others than those that it is kept on."""
        return any(pair not in (None, plain) for pair, plain in zip(self.channels, plain_channels(self.rtp), strict=True))

    @property
    def is_choice_of_tracks(self) -> bool:
        """Some are left out, on the plain channels.

        One track alone is none, since many want only the picture, or only the sound: all of those cost what the stream does once.
        """
        return not self.has_own_channels and 1 < len(self.channels) - self.channels.count(None) < len(self.channels)


def has_room_for_channels(relay: Relay) -> bool:
    """Whether players may choose their channels."""
    return sum(key.has_own_channels for key in _maps(relay)) < MAX_CHANNEL_MAPS


def _maps(relay: Relay) -> list[_ChannelMap]:
    """Those in use."""
    return [key for key in relay.outputs.keys if isinstance(key, _ChannelMap)]


def _check_room(relay: Relay, wanted: _ChannelMap) -> None:
    """Return if a player may have `wanted`; otherwise raise Unavailable."""
    used = _maps(relay)
    if wanted in used:
        return
    if wanted.has_own_channels and sum(key.has_own_channels for key in used) >= MAX_LATE_CHANNEL_MAPS:
        raise Unavailable("too many choices of channels", retry_after_s=LATE_RETRY_S)
    if wanted.is_choice_of_tracks and sum(key.is_choice_of_tracks for key in used) >= MAX_TRACK_CHOICES:
        raise Unavailable("too many choices of tracks", retry_after_s=LATE_RETRY_S)


class Way(Protocol):
    """How some tracks go to a player, from one PLAY to a PAUSE or the end."""

    tracks: frozenset[int]  #: their indices

    @property
    def first_packets(self) -> First:
        """What the player gets first if it starts now; tracks are missing of which it has to wait for something new."""
        ...

    @property
    def sent_bytes(self) -> int:
        """What was sent so far."""
        ...

    def media(self) -> SessionMedia:
        """What goes this way."""
        ...

    def start(self) -> None:
        """Let media come."""
        ...

    def full(self) -> None:
        """The transport of the connection is full."""
        ...

    def drained(self) -> None:
        """The transport of the connection has drained."""
        ...

    def end(self) -> None:
        """Give the relay back."""
        ...


class InterleavedWay:
    """Among the messages: players that use the same channels get the same bytes, as players of any other format do."""

    def __init__(
        self, link: RtspLink, transport: asyncio.Transport, relay: Relay, rtp: RtpStream, channels: Channels, *, from_cache: bool
    ) -> None:
        """Take part in what goes out on `channels`, beginning with what is cached, or at the next random access point.

        Raises:
            Unavailable: too many other choices of channels, or of tracks, are in use.
        """
        self.tracks = frozenset(index for index, pair in enumerate(channels) if pair is not None)
        self._from_cache = from_cache
        packager = WebSocketInterleavedPackager if link.is_socket else InterleavedPackager
        self._packager = packager(rtp, channels)
        key = _ChannelMap(rtp, channels, link.is_socket)
        _check_room(relay, key)
        form = OutputFormat(key=key, name="rtp", packager=lambda: packager(rtp, channels), rtp=rtp)
        relay.hold()
        self._playing = playing_on(transport, relay, form, link.close, link.context.player_sndbuf_bytes)

    @property
    def first_packets(self) -> First:
        """As the cache has them."""
        burst = self._playing.burst if self._from_cache else None
        return self._packager.first_packets(burst) if burst is not None else {}

    @property
    def sent_bytes(self) -> int:
        """What was written."""
        return self._playing.sent_bytes

    def media(self) -> SessionMedia:
        """What goes among the messages."""
        return self._playing.media()

    def start(self) -> None:
        """Let media come, behind what the connection still holds."""
        self._playing.start(from_cache=self._from_cache)

    def full(self) -> None:
        """The player lags."""
        self._playing.pause()

    def drained(self) -> None:
        """It is there again."""
        self._playing.resume()

    def end(self) -> None:
        """Give the relay back."""
        self._playing.end()


class DatagramWay:
    """By UDP."""

    def __init__(self, link: RtspLink, relay: Relay, rtp: RtpStream, pairs: Mapping[int, RtpPair], *, from_cache: bool) -> None:
        """Take part in what goes out by UDP, on `pairs` by track index, likewise as far as the setting is so."""
        self.tracks = frozenset(pairs)
        self._relay = relay
        self._key = ("rtp", rtp)
        self._from_cache = from_cache and link.settings.udp_start == "gop"
        self._player = DatagramPlayer(pairs, link.close)
        self._first_us = 0
        form = OutputFormat(key=self._key, name="rtp", packager=lambda: InterleavedPackager(rtp, plain_channels(rtp)), rtp=rtp)
        relay.hold()
        self._fanout = relay.outputs.datagrams(form, link.ports.sender)

    @property
    def first_packets(self) -> First:
        """As the cache has them, where the player begins with that."""
        return self._fanout.first_packets(self._player, from_cache=self._from_cache)

    @property
    def sent_bytes(self) -> int:
        """What was sent, whatever came of it."""
        return self._fanout.sent_bytes(self._player)

    def media(self) -> SessionMedia:
        """What goes by UDP. When it began is known as well as somebody looks."""
        if not self._first_us and self.sent_bytes:
            self._first_us = now_us()
        return SessionMedia(codecs_of(self._relay.tracks), self._first_us)

    def start(self) -> None:
        """Let media come."""
        self._fanout.add(self._player, from_cache=self._from_cache)

    def full(self) -> None:
        """Nothing: media do not use the connection."""

    def drained(self) -> None:
        """Nothing, likewise."""

    def end(self) -> None:
        """Give the relay back."""
        self._fanout.remove(self._player)
        self._relay.left(self._key)
        self._relay.let_go()
