"""The fan-out of RTP to players by UDP (docs/design.md §4).

Each unit goes out at once, since a datagram gains nothing by waiting for another. Packets that follow each other are joined to runs
once; each player gets each run in one call.
"""

from __future__ import annotations

import asyncio
from typing import Final

from lalmesh.media import Track, TrackSet
from lalmesh.protocol.rtp import RtpPacket
from lalmesh.remux import Packager, Parts, rtp_datagrams, rtp_tracks
from lalmesh.runtime.ring import NO_TRACK, Run, join_track
from services.edge.fanout import OTHER_CONFIGURATION, FanOutCounters, FanOutSettings
from services.edge.rtp_blocks import Block, RecentBlocks
from services.edge.rtp_players import DatagramAudience, DatagramPlayer
from services.edge.udp_sockets import UdpSender


class DatagramFanOut:
    """Send the packets of a stream to every player by UDP."""

    due_s: Final = 0.0  #: nothing is gathered

    def __init__(self, packager: Packager, settings: FanOutSettings, sender: UdpSender, loop: asyncio.AbstractEventLoop) -> None:
        """Start without players; `packager` gives frames on the channels of `lalmesh.remux.plain_channels`, `sender` sends them."""
        self.counters = FanOutCounters()
        self.left_out: tuple[Track, ...] = ()  #: the tracks now that RTP cannot carry
        self._packager = packager
        self._recent = RecentBlocks(settings.gop_max_bytes if settings.gop_num else 0)
        self._audience = DatagramAudience(self._recent, self.counters, sender, loop)
        self._tracks = TrackSet()
        self._join_track = NO_TRACK
        self._last_dts = 0

    @property
    def players(self) -> int:
        """How many players there are."""
        return len(self._audience)

    # players

    def first_packets(self, player: DatagramPlayer, *, from_cache: bool) -> dict[int, tuple[int, int]]:
        """By track index, sequence number and RTP timestamp of the first packet that a player would get if it joined now.

        Tracks are missing of which nothing is cached.
        """
        position = self._audience.joins_at(from_cache=from_cache)
        first: dict[int, tuple[int, int]] = {}
        for block in self._recent.since(position) if position is not None else ():
            for group in block.groups:
                if group.track_index in player.ways and group.track_index not in first and group.runs:
                    packet = RtpPacket.parse(group.runs[0].data)
                    first[group.track_index] = packet.sequence_number, packet.timestamp
            if len(first) == len(player.ways):
                break
        return first

    def add(self, player: DatagramPlayer, *, from_cache: bool) -> None:
        """Let a player join: with what is cached, at a pace, or at the next random access point."""
        self._audience.join(player, from_cache=from_cache)

    def remove(self, player: DatagramPlayer) -> None:
        """Forget a player."""
        self._audience.remove(player)

    def sent_bytes(self, player: DatagramPlayer) -> int:
        """What was sent to a player so far."""
        return self._audience.sent_bytes(player)

    def sweep(self) -> None:
        """Nothing: no player is too slow for datagrams."""

    # media

    def expect(self) -> bool:
        """Units have come: no, they cannot wait."""
        return False

    def feed(self, run: Run) -> None:
        """Send the packets of the units of a run."""
        if run.tracks is not self._tracks:
            self._change_tracks(run.tracks)
        package, track = self._packager.package, self._join_track
        for unit in run.units:
            parts: Parts = []
            size = package(unit, run.tracks, parts)
            if size:
                opens = unit.random_access and unit.track_id == track
                block = Block(unit.dts, opens, rtp_datagrams(b"".join(parts)), size)
                self._recent.add(block, self._audience.needed)
                self._audience.send(block)
        self._last_dts = run.units[-1].dts
        self.counters.cache_overflows = self._recent.overflows

    def _change_tracks(self, tracks: TrackSet) -> None:
        """Other tracks: players go on with them or are closed."""
        old, join = self._tracks, join_track(TrackSet(rtp_tracks(tracks)))
        if old.tracks and not self._packager.accepts(old, tracks):
            self.dismiss(OTHER_CONFIGURATION)
        if join != self._join_track:
            self._recent.clear()
        self._tracks, self._join_track = tracks, join
        self.left_out = self._packager.left_out(tracks)

    def flush(self) -> None:
        """Nothing: all has been sent."""

    # the end

    def close(self) -> None:
        """Stop: nobody plays it."""
        self._audience.stop()

    def end(self, reason: str) -> None:
        """The stream is over: say so to those who got all so far, close every player."""
        parts: Parts = []
        if self._packager.end(self._tracks, self._last_dts, parts):
            self._audience.send_live(rtp_datagrams(b"".join(parts)))
        self.dismiss(reason)

    def dismiss(self, reason: str) -> None:
        """Close every player, and give up what is cached under a description that is over."""
        self._audience.dismiss(reason)
        self._recent.clear()
