"""What every role counts, as Prometheus reads it: names as its conventions have them, and figures of what has happened."""

from __future__ import annotations

import asyncio
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.cluster import Cluster, Node
from support.ffmpeg import Publisher
from support.operator_api import call
from support.ports import LOOPBACK
from support.process import wait_until
from support.recorder import recorder, recording
from support.webhook_sink import WebhookSink

Media = Callable[[str], Path]
StartCluster = Callable[..., Cluster]

STREAM, OTHER = "live/counted", "live/other"
LIMIT_S = 40.0
OWN_UNITS = re.compile(r"_(ms|us|minutes|kb|mb|kbps|percent|ratio_percent)(_|$)")  #: none is a base unit
TIMES = ("delay", "lag", "gap", "join", "latency")  #: what takes time is in seconds
LABEL_NAMES = re.compile(r"[a-z][a-z_]*")


def samples(node: Node, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The values of a series by its labels."""
    found = {}
    for family in text_string_to_metric_families(node.metrics()):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sorted(sample.labels.items()))] = float(sample.value)
    return found


def total(node: Node, name: str) -> float:
    return sum(samples(node, name).values())


def linted(text: str) -> str:
    """What Prometheus' own tool says against metrics; nothing where they are well."""
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    return done.stdout + done.stderr


def offences(text: str) -> Iterator[str]:
    """What Prometheus' conventions for names say against metrics of ours."""
    for family in text_string_to_metric_families(text):
        if family.name.startswith(("python_", "process_")):
            continue
        if OWN_UNITS.search(family.name):
            yield f"{family.name}: not in base units"
        if family.type == "histogram" and not family.name.endswith("_seconds"):
            yield f"{family.name}: a histogram of no seconds"
        if any(f"_{what}" in family.name for what in TIMES) and family.type == "gauge" and not family.name.endswith("_seconds"):
            yield f"{family.name}: a time without its unit"
        if family.type == "counter" and not all(sample.name.endswith("_total") for sample in family.samples):
            yield f"{family.name}: a counter that does not end with _total"
        if family.type != "counter" and family.name.endswith(("_total", "_count", "_sum", "_bucket")):
            yield f"{family.name}: the ending of another type"
        if not family.documentation:
            yield f"{family.name}: no help"
        names = {name for sample in family.samples for name in sample.labels}
        yield from (f"{family.name}: label {name}" for name in names if not LABEL_NAMES.fullmatch(name))


#: Families that have no series before something has happened, and why: the values of their labels are known only then.
UNSEEN = {
    "edge_sessions_closed": "protocol of the first session, those of relays among them",
    "edge_tracks_left_out": "formats and codecs",
    "hls_tracks_left_out": "codecs",
    "scheduler_webhook_backlog": "receivers, once it was looked how far they are",
}


def test_what_can_be_counted_is_there_at_zero_before_anything_has_happened(start_cluster: StartCluster, stack: ExitStack) -> None:
    receivers = {"notify.receivers": [f"own {stack.enter_context(WebhookSink()).url}/own"]}
    cluster = start_cluster(origins=1, edges=1, hls=1, settings={"scheduler": receivers})
    empty = {
        family.name for node in cluster.nodes for family in text_string_to_metric_families(node.metrics()) if not family.samples
    }
    assert empty <= UNSEEN.keys()
    edge = cluster.edges[0]
    for name in ("edge_sessions_opened_total", "edge_refused_total", "edge_skips_total", "edge_access_decisions_total"):
        assert set(samples(edge, name).values()) == {0}
        assert len(samples(edge, name)) > 2


def test_a_server_that_is_alone_has_nothing_against_it_either(standalone: Node) -> None:
    assert (list(offences(standalone.metrics())), linted(standalone.metrics())) == ([], "")
    with urllib.request.urlopen(f"{standalone.api_url}/metrics", timeout=LIMIT_S) as answer:
        assert linted(answer.read().decode()) == ""


async def test_every_role_tells_how_long_things_took_and_why_they_ended(
    start_cluster: StartCluster, media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    per_stream = {"telemetry.per_stream_metrics": True, "telemetry.per_stream_num": 1, "hls.segment_ms": 1000}
    hooks = stack.enter_context(WebhookSink())
    cluster = start_cluster(
        origins=2, edges=2, hls=1, settings={"all": per_stream | {"notify.receivers": [f"own {hooks.url}/own"]}}
    )
    publishing, playing = cluster.edges
    for number, stream in enumerate((STREAM, OTHER)):
        url, log = publishing.rtmp_url(stream), tmp_path / f"push-{number}.log"
        stack.enter_context(Publisher(media("h264_aac"), url, log=log, loops=-1))
    players = [
        recorder("flv", playing.flv_url(STREAM)),
        recorder("rtmp", playing.rtmp_url(OTHER)),
        recorder("hls", playing.http_url(f"hls/{STREAM}.m3u8")),
        recorder("at the hls node", f"http://{LOOPBACK}:{cluster.hls[0].ports['hls']}/hls/{STREAM}.m3u8"),
    ]
    async with recording(*players):
        for player in players:
            await player.more(LIMIT_S)
        await seen("a stored segment", lambda: total(cluster.hls[0], "hls_segment_lag_seconds_count") > 0)
        await seen("joins", lambda: total(playing, "edge_join_seconds_count") == 2)
        await seen("delays of an edge", lambda: total(playing, "edge_link_delay_seconds_count") > 0)
        await seen("delays of an hls node", lambda: total(cluster.hls[0], "hls_link_delay_seconds_count") > 0)
        await seen("delays of origins", lambda: sum(total(node, "origin_link_delay_seconds_count") for node in cluster.origins) > 0)
        await seen("delays of players", lambda: total(playing, "edge_publish_to_play_seconds_count") > 1)
        assert 0 < total(playing, "edge_publish_to_play_seconds_sum") / total(playing, "edge_publish_to_play_seconds_count") < 1
        assert total(playing, "edge_hls_join_seconds_count") > 0  # who does not keep its id is another player each time
        assert total(cluster.hls[0], "hls_join_seconds_count") > 0
        assert sum(total(scheduler, "scheduler_claim_seconds_count") for scheduler in cluster.schedulers) >= 2
        delays = (("receiver", "own"),)
        await seen("events", lambda: samples(cluster.schedulers[0], "scheduler_webhook_delay_seconds_count")[delays] > 2)
        joined = {dict(key)["protocol"] for key, count in samples(playing, "edge_join_seconds_count").items() if count}
        assert joined == {"http-flv", "rtmp"}
        check_streams(playing)
        killed = next(node for node in cluster.origins if node.name == origin_of(cluster, STREAM))
        killed.kill()
        await seen("a gap", lambda: total(playing, "edge_failover_gap_seconds_count") > 0)
        await seen("a gap of segments", lambda: total(cluster.hls[0], "hls_failover_gap_seconds_count") > 0)
        for player in players:
            await player.more(LIMIT_S)
        assert not any(player.ended for player in players)
        said = {node.name: await asyncio.to_thread(node.metrics) for node in cluster.nodes if node.running}
        assert {name.partition("-")[0] for name in said} == {"edge", "hls", "origin", "scheduler"}
        assert [(name, offence) for name, text in said.items() for offence in offences(text)] == []
        assert "".join(linted(text) for text in said.values()) == ""
    await seen("the ends of players", lambda: len(closed(playing)) == 2)
    assert {reason for _, reason in closed(playing)} <= {"client", "connection_lost"}


def origin_of(cluster: Cluster, stream: str) -> str:
    """The name of the origin that has it."""
    return str(call("GET", f"{cluster.api_url}/v1/streams/{stream}")[1]["origin"])


def check_streams(node: Node) -> None:
    """One of two streams has series of its own."""
    [labels] = samples(node, "edge_stream_players")
    assert labels in ((("stream", STREAM),), (("stream", OTHER),))
    assert samples(node, "edge_stream_players") == {labels: 1}
    assert samples(node, "edge_stream_sent_bytes_total")[labels] > 0
    assert samples(node, "edge_streams_left_out") == {(): 1}


def closed(node: Node) -> set[tuple[str, str]]:
    return {
        (labels["protocol"], labels["reason"])
        for labels, count in ((dict(key), count) for key, count in samples(node, "edge_sessions_closed_total").items())
        if labels["role"] == "player" and count
    }


async def seen(what: str, found: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, what, found, LIMIT_S, every_s=0.2)
