"""Faults and what judges them: drains, watches that are stuck, snapshots of a moment ago, units that no segmenter got."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from lalmesh.media import AccessUnit, TrackSet
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.ring import Run
from simulation.cluster import Cluster, determined
from simulation.draws import Draw
from simulation.duties import heir_of, host_of, node, origin_of, publisher_of
from simulation.faults import Drained, Fault, Restored, Rough, Stuck
from simulation.invariants import Segmented
from simulation.network import Weather

SEED = 1


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with determined(SEED):
        made = Cluster(Weather(), hls=True)
        made.start()
        made.world.run(4.0)
        yield made
        made.world.end()


def pass_time(cluster: Cluster, seconds: float) -> None:
    cluster.world.run(cluster.world.now + seconds)
    assert cluster.watcher.breach is None
    assert cluster.world.failures == []


def test_rough_weather_is_over_once_all_of_it_has_ended_in_whatever_order(cluster: Cluster) -> None:
    calm = cluster.network.weather
    first, second = (Rough(at_s=0.0, for_s=1.0, loss=loss, doubled=0.0).begin(cluster) for loss in (0.3, 0.1))
    assert first is not None
    assert second is not None
    assert cluster.network.weather.loss == 0.1
    first()
    assert cluster.network.weather.loss == 0.1
    second()
    assert cluster.network.weather is calm


@pytest.mark.parametrize("whom", ["origin", "publisher", "reader", "segmenter"])
def test_a_node_that_drains_ends_by_itself_and_is_started_again(cluster: Cluster, whom: str) -> None:
    drained = node(cluster, whom)
    assert drained is not None
    end = Drained(at_s=0.0, for_s=10.0, within_s=4.0, whom=whom).begin(cluster)
    pass_time(cluster, 8.0)
    assert not drained.is_running
    assert end is not None
    end()
    pass_time(cluster, 5.0)
    assert drained.is_running


def test_an_edge_that_drains_takes_nobody_in_and_its_publisher_goes_on_elsewhere(cluster: Cluster) -> None:
    edge = publisher_of(cluster)
    assert edge is not None
    Drained(at_s=0.0, for_s=10.0, within_s=3.0, whom=edge.name).begin(cluster)
    pass_time(cluster, 8.0)
    publisher = publisher_of(cluster)
    assert publisher is not None
    assert publisher is not edge
    assert [closure for each in cluster.encoders for closure in each.closures] == []


def test_a_scheduler_whose_watches_are_stuck_hears_it_all_in_the_end(cluster: Cluster) -> None:
    behind, ahead = cluster.schedulers
    end = Stuck(at_s=0.0, for_s=3.0, whom=behind.name).begin(cluster)
    cluster.encoders[0].stop()
    pass_time(cluster, 2.0)
    stream = cluster.streams[0]
    known = [each.service.directory.claim(stream) is not None for each in (behind, ahead)]
    assert end is not None
    end()
    pass_time(cluster, 0.1)
    assert known == [True, False]
    assert behind.service.directory.claim(stream) is None


def test_a_store_goes_back_by_as_much_as_was_written(cluster: Cluster) -> None:
    before = cluster.etcd.store.revision
    end = Restored(at_s=0.0, for_s=1.0, writes=0).begin(cluster)
    assert cluster.etcd.store.revision == before
    cluster.etcd.delete("nothing")
    assert end is not None
    end()
    assert (cluster.etcd.store.revision, cluster.etcd.store.compacted) == (before, before)


def test_the_spare_origin_has_nothing_to_do_with_the_stream(cluster: Cluster) -> None:
    spare = node(cluster, "spare")
    assert spare in cluster.origins
    assert spare not in (origin_of(cluster), heir_of(cluster))


def test_the_host_is_where_the_publishing_edge_is_a_member(cluster: Cluster) -> None:
    edge, host = publisher_of(cluster), host_of(cluster)
    assert edge is not None
    assert host is not None
    assert edge.name in [session.node.name for session in host.service.members]


@pytest.mark.parametrize("sort", ["back_in_time", "grace_over", "hop"])
def test_what_is_drawn_is_over_in_time(sort: str) -> None:
    for seed in range(50):
        faults: list[Fault] = getattr(Draw(random.Random(seed)), sort)()
        assert all(fault.at_s > 0 and fault.for_s >= 0 and fault.at_s + fault.for_s <= 17.0 for fault in faults)


def run_of(publication: bytes, first: int, last: int, epoch: int = 1) -> Run:
    units = [AccessUnit(1, number, 0, True, b"", seq=number) for number in range(first, last + 1)]
    return Run(Epoch(1, epoch), publication, TrackSet(), units)


def test_a_successor_that_goes_over_the_last_segment_again_misses_nothing() -> None:
    whole = Segmented(is_stored=True)
    for run in (run_of(b"a", 3, 9), run_of(b"a", 5, 9), run_of(b"a", 10, 12)):
        whole.see(run, 1.0)
    assert (whole.missing, whole.seq) == (0, 12)


def test_units_that_no_segmenter_got_are_missing() -> None:
    whole = Segmented(is_stored=True)
    for run in (run_of(b"a", 0, 9), run_of(b"a", 12, 13)):
        whole.see(run, 1.0)
    assert whole.missing == 2


def test_before_anything_was_stored_a_successor_owes_nothing() -> None:
    whole = Segmented()
    for run in (run_of(b"a", 0, 9), run_of(b"a", 12, 13)):
        whole.see(run, 1.0)
    assert (whole.missing, whole.seq) == (0, 13)


def test_the_gap_of_segmenters_ends_with_a_unit_that_is_new() -> None:
    whole = Segmented(is_stored=True)
    for now, run in ((1.0, run_of(b"a", 0, 9)), (2.0, run_of(b"a", 5, 9)), (2.5, run_of(b"a", 10, 10))):
        whole.see(run, now)
    assert whole.longest_gap_s == 1.5


def test_a_segmenter_that_is_cut_off_says_nothing_of_a_publication_that_is_over() -> None:
    whole = Segmented(is_stored=True)
    for run in (run_of(b"a", 0, 9), run_of(b"b", 0, 1, epoch=2), run_of(b"a", 10, 20), run_of(b"b", 2, 3, epoch=2)):
        whole.see(run, 1.0)
    assert (whole.missing, whole.publication, whole.seq) == (0, b"b", 3)
