"""The outputs of one relay: a fan-out for each format that somebody plays, and what they share.

Formats that cannot carry G.711 are fed from a *conversion*, where the track is AAC; formats of RTP from another, where the units
are packets. Each is made once for all of them, and only while one of them is played. A track that a format cannot carry is left
out, which is said once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from lalmesh.errors import UnsupportedError
from lalmesh.media import Track, TrackSet
from lalmesh.names import StreamKey
from lalmesh.remux import Packager, RtpStream, can_transcode, needs_transcoding, transcoded_tracks
from lalmesh.runtime.durations import Durations
from lalmesh.runtime.ring import Ring, RingLimits, Run
from services.edge.conversion import Conversion
from services.edge.fanout import MAX_PENDING_BYTES, FanOut, FanOutSettings
from services.edge.feed import PlayerFeed
from services.edge.held_bursts import HeldBursts
from services.edge.packetizing import Packetizing, under_all_tracks
from services.edge.push_fanout import PushFanOut
from services.edge.rtp_fanout import DatagramFanOut
from services.edge.settling import Settling
from services.edge.udp_sockets import UdpSender

log = logging.getLogger(__name__)

AnyFanOut: TypeAlias = FanOut | DatagramFanOut | PushFanOut  #: bytes in order to each player, datagrams, units to a target

_Made = TypeVar("_Made", FanOut, DatagramFanOut, PushFanOut)


@dataclass(slots=True, frozen=True, kw_only=True)
class OutputFormat:
    """A format that a relay can be played in."""

    key: Hashable  #: which fan-out: players with the same key share one
    name: str  #: what announcements call it: ``rtmp``, ``flv``, ``ts``, ``fmp4``, ``rtp``
    packager: Callable[[], Packager]
    transcodes: bool = False  #: whether it gets AAC for G.711
    tells_tracks_once: bool = False  #: whether its players hear of the tracks at their start only
    rtp: RtpStream | None = None  #: whose packets are the units that it gets, in place of the stream's own


@dataclass(slots=True, frozen=True)
class _Output:
    """A format that is played."""

    form: OutputFormat
    fanout: AnyFanOut


class Outputs:
    """The fan-outs of one relay, and the ring that a new one starts from."""

    def __init__(
        self,
        stream: StreamKey,
        settings: FanOutSettings,
        limits: RingLimits,
        retired: Callable[[AnyFanOut], None],
        failed: Callable[[Exception], None],
        bursts: HeldBursts,
        *,
        transcode: bool,
        delays: Durations | None = None,
    ) -> None:
        """Start without any.

        Args:
            stream: for the log.
            settings: of each fan-out.
            limits: of the ring.
            retired: hears of each fan-out that is no more.
            failed: hears of what went wrong, by a bug of ours, with what all formats share: is to end all this soon.
            bursts: what players of the edge were given as they joined.
            transcode: whether G.711 is made AAC, where that can be done here.
            delays: where it is counted how late players get what was published.
        """
        self._delays = delays
        self.left_out_counts: Counter[tuple[str, str]] = Counter()  #: tracks that were left out, by format and codec; only rises
        self.held_bytes = 0  #: of payload that has not been fed yet, as every format gathers
        self.settling = Settling()
        self._stream = stream
        self._settings = settings
        self._limits = limits
        self._retired = retired
        self._failed = failed
        self._bursts = bursts
        self._transcode = transcode
        self._loop = asyncio.get_running_loop()
        self._ring = Ring(limits)
        self._held: list[Run] = []  # what no format wants yet
        self._conversion: Conversion | None = None
        self._packetizing: Packetizing | None = None
        self._rtp: RtpStream | None = None  # as players were told of it last
        self._outputs: dict[Hashable, _Output] = {}
        self._tracks = TrackSet()
        self._announced: set[tuple[str, int, str]] = set()
        self._ended: str | None = None  # why, once the stream is over
        self._past_sent_bytes = 0  # of the fan-outs that are no more
        self._skips = 0  # since the last sweep
        self._last_skip = ""

    @property
    def players(self) -> int:
        """How many players there are, over all formats."""
        return sum(output.fanout.players for output in self._outputs.values())

    @property
    def tracks(self) -> TrackSet:
        """The tracks at the newest unit."""
        return self._ring.tracks

    @property
    def keys(self) -> Collection[Hashable]:
        """Of the formats that are played."""
        return self._outputs.keys()

    @property
    def fanouts(self) -> list[AnyFanOut]:
        """The fan-outs, one a format."""
        return [output.fanout for output in self._outputs.values()]

    @property
    def sent_bytes(self) -> int:
        """What was written to all players so far. Only rises."""
        return self._past_sent_bytes + sum(output.fanout.counters.sent_bytes for output in self._outputs.values())

    @property
    def left_out(self) -> tuple[str, ...]:
        """What players do not get, ``format: codec`` each."""
        return tuple(sorted({f"{form.name}: {track.codec.value}" for form, track in self._left_out()}))

    def _left_out(self) -> list[tuple[OutputFormat, Track]]:
        return [(output.form, track) for output in self._outputs.values() for track in output.fanout.left_out]

    def tracks_for(self, form: OutputFormat) -> TrackSet:
        """The tracks as players of `form` would get them now, if it can carry them."""
        tracks = self._ring.tracks
        return transcoded_tracks(tracks) if self._needs_conversion(form, tracks) else tracks

    def _needs_conversion(self, form: OutputFormat, tracks: TrackSet) -> bool:
        return self._transcode and form.transcodes and needs_transcoding(tracks) and can_transcode()

    def rtp_stream(self) -> RtpStream:
        """How the stream goes out by RTP; the same for all players until its tracks need another description.

        Raises:
            UnsupportedError: RTP can carry none of its tracks.
        """
        if self._rtp is None or not self._rtp.describes(self._ring.tracks):
            self._rtp = RtpStream(self._ring.tracks, os.urandom)
        return self._rtp

    def goes_out_as(self, rtp: RtpStream) -> bool:
        """Whether that is how it goes out by RTP now."""
        return self._rtp is rtp and rtp.describes(self._ring.tracks)

    def fanout(self, form: OutputFormat) -> FanOut:
        """The fan-out of a format; a new one starts with what the relay has. Of a stream that is over it ends as well, soon."""
        output = self._outputs.get(form.key)
        if output is not None and isinstance(output.fanout, FanOut):
            return output.fanout
        made = self.open(form, FanOut(form.packager(), self._settings, self._loop, self._bursts, self._skipped))
        made.go_out = partial(self._go_out, form.key)
        made.delays = self._delays  # from now on: what it begins with is of the past
        return made

    def datagrams(self, form: OutputFormat, sender: UdpSender) -> DatagramFanOut:
        """The fan-out of a format of RTP to players by UDP, likewise; a new one sends by `sender`."""
        output = self._outputs.get(form.key)
        if output is not None and isinstance(output.fanout, DatagramFanOut):
            return output.fanout
        return self.open(form, DatagramFanOut(form.packager(), self._settings, sender, self._loop))

    def open(self, form: OutputFormat, fanout: _Made) -> _Made:
        """Have `fanout` be the one of a format that has none; it starts with what the relay has."""
        output = self._outputs[form.key] = _Output(form, fanout)
        try:
            ring = self._ring_for(form)
            joined = ring.join_position()
            for run in ring.runs(joined) if joined is not None else ():
                fanout.feed(under_all_tracks(run, ring.tracks) if form.tells_tracks_once else run)
            fanout.flush()
        except Exception:  # of a bug of ours too, as in `_give`
            self._loop.call_soon(self._fail, output)  # once whoever wants it is its player, who then hears of it
            log.exception("format failed at once", extra=self._facts(output))
        if self._ended is not None:
            self._loop.call_soon(self.end, self._ended)
        self._announce()
        return fanout

    def _ring_for(self, form: OutputFormat) -> Ring:
        if form.rtp is not None:
            if self._packetizing is None or self._packetizing.stream is not form.rtp:
                self._packetizing = Packetizing(form.rtp, self._limits, self._ring)
            return self._packetizing.ring
        if self._conversion is None and self._needs_conversion(form, self._ring.tracks):
            self._conversion = Conversion(self._limits)
            joined = self._ring.join_position()
            for run in self._ring.runs(joined) if joined is not None else ():
                self._converted(run)
        return self._conversion.ring if self._conversion is not None and form.transcodes else self._ring

    def left(self, key: Hashable) -> None:
        """A player has gone; a format that nobody plays is packaged no more."""
        output = self._outputs.get(key)
        if output is None or output.fanout.players:
            return
        output.fanout.close()
        self._retire(output.fanout)
        del self._outputs[key]
        if not any(other.form.transcodes for other in self._outputs.values()):
            self._conversion = None
        if not any(other.form.rtp is not None for other in self._outputs.values()):
            self._packetizing = None
        self._feed_held()

    def feed(self, run: Run) -> None:
        """The next units, for everyone: now, or, where every format gathers, when the first of them goes out."""
        self._held.append(run)
        for unit in run.units:
            self.held_bytes += len(unit.payload)
        if self.held_bytes >= MAX_PENDING_BYTES or run.tracks is not self._tracks or not self._can_wait():
            self._feed_held()

    @property
    def slack_s(self) -> float:
        """How long it is until the first format sends what it has gathered; 0 where one gathers nothing now."""
        if not (self.settling.done and self._outputs):
            return 0.0
        return max(0.0, min(output.fanout.due_s for output in self._outputs.values()) - self._loop.time())

    def _can_wait(self) -> bool:
        for output in self._outputs.values():
            if not output.fanout.expect():
                return False
        return self.settling.done and bool(self._outputs)

    def _go_out(self, key: Hashable) -> None:
        """What a format has gathered goes out, and before that what was held. A timer calls this, so nothing may get past it."""
        self._feed_held()
        output = self._outputs.get(key)
        if output is not None:
            try:
                output.fanout.flush()
            except Exception:
                log.exception("format failed", extra=self._facts(output))
                self._fail(output)

    def _feed_held(self) -> None:
        held, self._held, self.held_bytes = self._held, [], 0
        try:
            for run in held:
                self._feed(run)
        except Exception as error:
            self._failed(error)

    def _feed(self, run: Run) -> None:
        self._ring.append(run)
        changed = run.tracks is not self._tracks
        if changed:
            self._change_tracks(run.tracks)
        if changed or not self.settling.done:
            self.settling.see(run)
        converted = self._converted(run)
        packets = self._packets(run)
        for output in list(self._outputs.values()):  # a fan-out may lose its players on what it is fed, and go
            given = converted if output.form.transcodes else packets if output.form.rtp is not None else run
            if given is not None:
                self._give(output, given)
        if changed:
            self._announce()

    def _give(self, output: _Output, run: Run) -> None:
        """Feed a fan-out; a format that fails on it, by a bug of ours too, ends, and no other hears of it."""
        try:
            output.fanout.feed(run)
        except Exception:
            log.exception("format failed", extra=self._facts(output))
            self._fail(output)

    def _fail(self, output: _Output) -> None:
        if self._outputs.get(output.form.key) is output:
            del self._outputs[output.form.key]
            self._close(output, "this stream cannot be had in this format")
            self._feed_held()

    def _close(self, output: _Output, reason: str) -> None:
        """Close every player of a format that is no more."""
        output.fanout.dismiss(reason)
        output.fanout.close()
        self._retire(output.fanout)

    def _retire(self, fanout: AnyFanOut) -> None:
        self._past_sent_bytes += fanout.counters.sent_bytes
        self._retired(fanout)

    def _facts(self, output: _Output) -> dict[str, object]:
        return {"stream_key": str(self._stream), "format": output.form.name}

    def _converted(self, run: Run) -> Run | None:
        """The run as formats get it that cannot carry G.711: where it cannot be converted, as it is from now on."""
        if self._conversion is None:
            return run
        try:
            return self._conversion.convert(run)
        except UnsupportedError as error:
            log.warning("cannot transcode: %s", error, extra={"stream_key": str(self._stream)})
            self._conversion, self._transcode = None, False
            return run

    def _packets(self, run: Run) -> Run | None:
        """The run as formats of RTP get it: where it cannot be made packets, they end, and no other hears of it."""
        try:
            return self._packetizing.convert(run) if self._packetizing is not None else None
        except Exception:
            self._packetizing = None
            for output in [output for output in self._outputs.values() if output.form.rtp is not None]:
                log.exception("format failed", extra=self._facts(output))
                self._fail(output)
            return None

    def _change_tracks(self, tracks: TrackSet) -> None:
        self._tracks = tracks
        if self._conversion is None and any(self._needs_conversion(output.form, tracks) for output in self._outputs.values()):
            self._conversion = Conversion(self._limits)

    def _announce(self) -> None:
        """Say what is left out, once for each format and track."""
        for form, track in self._left_out():
            what = (form.name, track.track_id, track.codec.value)
            if what in self._announced:
                continue
            self._announced.add(what)
            self.left_out_counts[form.name, track.codec.value] += 1
            facts = {"stream_key": str(self._stream), "format": form.name, "codec": track.codec.value}
            log.warning("track left out: %s cannot carry %s", form.name, track.codec.value, extra=facts)

    def _skipped(self, feed: PlayerFeed, facts: str) -> None:
        self._skips += 1
        self._last_skip = facts

    def sweep(self) -> None:
        """Once a second: close players that have been too slow for too long, and say how many have skipped."""
        if self._skips:
            facts = {"stream_key": str(self._stream)}
            log.warning("%d slow players skip to the next random access point, last: %s", self._skips, self._last_skip, extra=facts)
            self._skips = 0
        for fanout in self.fanouts:
            fanout.sweep()

    def end(self, reason: str) -> None:
        """The stream is over, for everyone."""
        self._feed_held()
        self._ended = reason
        outputs, self._outputs = list(self._outputs.values()), {}
        self._conversion = self._packetizing = None
        self.settling.end()
        for output in outputs:
            try:
                output.fanout.end(reason)
            except Exception:
                log.exception("format failed at its end", extra=self._facts(output))
            self._close(output, reason)
