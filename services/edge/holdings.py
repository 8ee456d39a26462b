"""What an edge holds and how loaded it is, as its reports say."""

from __future__ import annotations

from collections.abc import Callable

from lalmesh.runtime.load import ByteRate, ByteRates
from lalmesh.runtime.scheduling import HeldStream, Load
from services.edge.publisher import Publishers
from services.edge.publishing import Publishing
from services.edge.relay import Relay, Relays
from services.edge.session import Sessions


class Holdings:
    """The streams and sessions of one edge."""

    def __init__(self, publishers: Publishers, relays: Relays, sessions: Sessions, clock: Callable[[], float]) -> None:
        """Look at these; rates are by `clock`, in seconds."""
        self._publishers = publishers
        self._relays = relays
        self._sessions = sessions
        self._ingress = ByteRates(clock)
        self._egress = ByteRate(clock)

    def now(self) -> tuple[Load, tuple[HeldStream, ...]]:
        """The load, and what is published here and what is played here; a stream that is both is told once."""
        relays = {relay.stream: relay for relay in self._relays}
        published = [self._published(publishing, relays.pop(publishing.stream, None)) for publishing in self._publishers]
        load = Load(
            ingress_bps=sum(stream.bitrate_bps for stream in published),
            egress_bps=self._egress.bps(self._relays.fanout_totals.sent_bytes),
            sessions=len(self._sessions),
            streams=len(self._relays),
        )
        return load, (*published, *map(_played, relays.values()))

    def _published(self, publishing: Publishing, relay: Relay | None) -> HeldStream:
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
        )


def _played(relay: Relay) -> HeldStream:
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
    )
