"""What an edge holds of the cluster's streams, as it reports it to the scheduler."""

from __future__ import annotations

from collections.abc import Iterable

from lalmesh.runtime.load import ByteRates
from lalmesh.runtime.scheduling import HeldStream
from services.edge.publisher import Publishing
from services.edge.relay import Relay


def held_streams(publishers: Iterable[Publishing], relays: Iterable[Relay], ingress: ByteRates) -> tuple[HeldStream, ...]:
    """What is published here and what is played here; a stream that is both is told once.

    Args:
        publishers: of this edge.
        relays: of this edge.
        ingress: how fast each publication comes.
    """
    played = {relay.stream: relay for relay in relays}
    published = [_published(publishing, played.pop(publishing.stream, None), ingress) for publishing in publishers]
    return (*published, *map(_played, played.values()))


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


def _published(publishing: Publishing, relay: Relay | None, ingress: ByteRates) -> HeldStream:
    core = publishing.core
    return HeldStream(
        stream=publishing.stream,
        epoch=core.epoch,
        place=core.ring.place,
        publication=core.publication,
        tracks=core.tracks,
        players=relay.players if relay is not None else 0,
        bitrate_bps=ingress.bps(core, core.counters.payload_bytes),
        units=core.counters.units,
        left_out=relay.left_out if relay is not None else (),
    )
