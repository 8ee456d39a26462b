"""What a replica says of the stores that it asks."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.scheduler.reached import StoreMetrics


def test_a_store_is_up_until_a_call_fails_and_again_with_the_next_that_is_answered() -> None:
    registry, stores = CollectorRegistry(), StoreMetrics()
    registry.register(stores)
    etcd = stores.of("etcd")

    def told() -> tuple[float | None, float | None]:
        labels = {"store": "etcd"}
        return registry.get_sample_value("scheduler_store_up", labels), registry.get_sample_value(
            "scheduler_store_failures_total", labels
        )

    assert told() == (1, 0)
    etcd.failed()
    stores.of("etcd").failed()
    assert told() == (0, 2)
    etcd.answered()
    assert told() == (1, 2)


def test_of_what_is_in_memory_nothing_is_told() -> None:
    assert [family.samples for family in StoreMetrics().collect()] == [[], []]
