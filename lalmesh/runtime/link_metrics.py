"""What went over the links of a node, as metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from lalmesh.runtime.link import LinkCounters


def link_metrics(role: str, links: int, totals: LinkCounters) -> Iterator[Metric]:
    """The metrics of the `links` of a node of `role`; `totals` are those of all links that are and were."""
    yield GaugeMetricFamily(f"{role}_links", "Links that stand.", links)
    batches = CounterMetricFamily(f"{role}_link_batches", "Batches over links, heartbeats too.", labels=("direction",))
    units = CounterMetricFamily(f"{role}_link_units", "Units over links.", labels=("direction",))
    payload = CounterMetricFamily(f"{role}_link_payload_bytes", "Payload over links.", labels=("direction",))
    for direction in ("sent", "received"):
        batches.add_metric((direction,), getattr(totals, f"batches_{direction}"))
        units.add_metric((direction,), getattr(totals, f"units_{direction}"))
        payload.add_metric((direction,), getattr(totals, f"payload_bytes_{direction}"))
    yield from (batches, units, payload)
