"""What an edge holds and how loaded it is, as its reports say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lalmesh.names import StreamKey
from lalmesh.runtime.load import AveragedByteRate, ByteRate, ByteRates
from lalmesh.runtime.scheduling import HeldStream, Load
from lalmesh.runtime.scheduling.control import MAX_VIA
from services.edge.frame_rates import FrameRates
from services.edge.hls_nodes import HlsProxyCounters
from services.edge.publisher import Publishers
from services.edge.publishing import Publishing
from services.edge.relay import Relay, Relays
from services.edge.session import Sessions

HLS_OVER_S = 10.0  #: players of HLS fetch a segment at once and then none for seconds: no shorter than segments commonly are


class Holdings:
    """The streams and sessions of one edge."""

    def __init__(
        self, publishers: Publishers, relays: Relays, sessions: Sessions, hls: HlsProxyCounters, clock: Callable[[], float]
    ) -> None:
        """Look at these; rates are by `clock`, in seconds."""
        self._publishers = publishers
        self._relays = relays
        self._sessions = sessions
        self._ingress = ByteRates(clock)
        self._egress = ByteRate(clock)
        self._hls = hls
        self._hls_egress = AveragedByteRate(clock, HLS_OVER_S)
        self.frames = FrameRates()  #: of what is published here, as of the last look

    def now(self) -> tuple[Load, tuple[HeldStream, ...]]:
        """The load, and what is published here and what is played here; a stream that is both is told once."""
        relays = {relay.stream: relay for relay in self._relays}
        via = self._via()
        published = [self._published(publishing, relays.pop(publishing.stream, None), via) for publishing in self._publishers]
        hls_bps = self._hls_egress.bps(self._hls.sent_bytes)
        load = Load(
            ingress_bps=sum(stream.bitrate_bps for stream in published),
            egress_bps=self._egress.bps(self._relays.fanout_totals.sent_bytes) + hls_bps,
            hls_egress_bps=hls_bps,
            sessions=len(self._sessions),
            opened_sessions=self._sessions.opened,
            streams=len(self._relays),
        )
        return load, (*published, *(_played(relay, via.get(relay.stream, ())) for relay in relays.values()))

    def _via(self) -> Mapping[StreamKey, tuple[str, ...]]:
        """The other clusters that streams go to or come from here."""
        found: dict[StreamKey, dict[str, None]] = {}
        for session in self._sessions:
            if session.client.via:
                found.setdefault(session.stream, {}).update(dict.fromkeys(session.client.via))
        return {stream: tuple(clusters)[:MAX_VIA] for stream, clusters in found.items()}

    def _published(self, publishing: Publishing, relay: Relay | None, via: Mapping[StreamKey, tuple[str, ...]]) -> HeldStream:
        core = publishing.core
        return HeldStream(
            stream=publishing.stream,
            epoch=core.epoch,
            place=core.ring.place,
            publication=core.publication,
            tracks=core.tracks,
            players=relay.players if relay is not None else 0,
            bitrate_bps=self._ingress.bps(core, core.counters.payload_bytes),
            units=core.counters.units,
            left_out=relay.left_out if relay is not None else (),
            published=True,
            relayed_to=via.get(publishing.stream, ()),
            frames_end_s=(now_s := self.frames.now_s()),
            frames=(told := self.frames.told(core, now_s)).frames,
            payload_bytes=told.payload_bytes,
            gops_end_us=told.gops_end_us,
            gop_frames=told.gop_frames,
            gop_ms=told.gop_ms,
        )


def _played(relay: Relay, via: tuple[str, ...]) -> HeldStream:
    reader = relay.reader
    return HeldStream(
        stream=relay.stream,
        epoch=reader.epoch,
        place=reader.place,
        publication=reader.last.publication if reader.last is not None else b"",
        tracks=relay.tracks,
        players=relay.players,
        units=reader.counters.units,
        missing=reader.counters.missing,
        left_out=relay.left_out,
        relayed_to=via,
        delay_us=reader.delay_us,
    )
