"""HLS of several replicas behind one address, while publishers change and workers die or are cut off."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest
from support import ffmpeg
from support.cluster import Cluster, Node
from support.ffmpeg import Publisher
from support.hls_poller import HlsPoller, Replicas, polling, until
from support.media import media
from support.ports import LOOPBACK
from support.process import wait_until
from support.transport_stream import check_regular

from services.edge.upstreams import Upstream, UpstreamChoice

StartCluster = Callable[..., Cluster]

STREAM = "live/cam"
TS, LOW_LATENCY = f"/hls/{STREAM}.m3u8", f"/hls/{STREAM}/live.m3u8"
SETTINGS = {
    "hls": {"hls.segment_ms": 2000, "hls.part_ms": 400, "hls.list_num": 8, "hls.delete_threshold_num": 4},
    "edge": {"edge.publish.second_publisher": "take_over"},
    "origin": {"origin.grace_s": 10},
}
LIMIT_S = 40.0
BOTH_S = 4.0  #: that two workers have one stream: a second between two looks, and a slow machine
ANSWER_S = 1.5  #: for an answer that another node has while the first that is asked waits: half a second, and a slow machine
#: Each stream of a file to an end and a thread of its own: where it plays one of two, the other may keep it waiting for ever.
DECODED = [part for kind in ("video", "audio") for part in f"in. ! {kind}/x-raw ! queue ! fakesink".split()]
STALLS = ("stall", "part-stall")  #: the checker's: what a player notices its buffer tells


def server(node: Node) -> str:
    return f"http://{LOOPBACK}:{node.ports['hls']}"


def push(name: str, node: Node, stack: ExitStack, folder: Path) -> Publisher:
    return stack.enter_context(Publisher(media(name), node.rtmp_url(STREAM), log=folder / f"push.{name}.log", loops=-1))


def worker_of(cluster: Cluster) -> Node | None:
    """The hls node that the scheduler says segments the stream."""
    with urllib.request.urlopen(f"{cluster.api_url}/v1/streams", timeout=LIMIT_S) as answer:
        found = [item["hls"] for item in json.load(answer)["items"] if item["stream"] == STREAM]
    return next((node for node in cluster.hls if found and found[0] and node.name == found[0]), None)


async def dropped_worker(cluster: Cluster, replicas: Replicas, low_latency: HlsPoller) -> Node:
    """The worker, which nobody asks any more, in the middle of a segment: all that is listed as whole is stored."""
    number = low_latency.next_number
    await until("a segment in its middle", lambda: low_latency.next_number > number and low_latency.open_parts >= 2, LIMIT_S)
    worker = await asyncio.to_thread(worker_of, cluster)
    assert worker is not None
    replicas.drop(server(worker))
    return worker


async def kill_worker(cluster: Cluster, replicas: Replicas, low_latency: HlsPoller) -> Node:
    """SIGKILL the worker, whatever it is asked just now."""
    killed = await dropped_worker(cluster, replicas, low_latency)
    killed.kill()
    return killed


async def kill_worker_at_a_seam(cluster: Cluster, replicas: Replicas, low_latency: HlsPoller) -> None:
    """SIGKILL the worker when it has just listed a segment as whole."""
    killed = await asyncio.to_thread(worker_of, cluster)
    assert killed is not None
    replicas.drop(server(killed))
    number = low_latency.next_number
    await until("another segment", lambda: low_latency.next_number > number, LIMIT_S)
    killed.kill()


async def test_replicas_play_on_through_another_publisher_and_two_killed_workers(
    start_cluster: StartCluster, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, edges=1, hls=3, settings=SETTINGS)
    replicas = Replicas([server(node) for node in cluster.hls])
    push("h264_b3_aac_60s", cluster.edges[0], stack, tmp_path)
    edge = Replicas([f"http://{LOOPBACK}:{cluster.edges[0].ports['http']}"])
    async with polling(replicas, TS, LOW_LATENCY) as (ts, low_latency), polling(edge, TS, LOW_LATENCY) as through_edge:
        await until("3 segments", lambda: min(len(ts.arrived), len(low_latency.arrived)) >= 3, LIMIT_S)
        killed = await kill_worker(cluster, replicas, low_latency)
        await until("segments after a kill", lambda: len(ts.arrived) >= 6, LIMIT_S)
        await asyncio.to_thread(killed.restart().wait_ready)
        replicas.add(server(killed))
        push("h264_large_aac", cluster.edges[0], stack, tmp_path)
        await until("the other publisher", lambda: len(low_latency.maps) == 2, LIMIT_S)
        await kill_worker_at_a_seam(cluster, replicas, low_latency)
        last = ts.next_number
        await until("segments after a second kill", lambda: min(ts.next_number, low_latency.next_number) >= last + 3, LIMIT_S)
    for poller in (ts, low_latency, *through_edge):
        check_played(poller)
    read_everywhere([*ts.files(tmp_path, "ts"), *low_latency.files(tmp_path, "mp4")])
    check_regular(b"".join(arrival.data for _, arrival in sorted(ts.arrived.items())))


def check_played(poller: HlsPoller) -> None:
    assert poller.violations() == []
    assert poller.missed == []
    assert {status for status, _ in poller.refusals} <= {0, 503}
    numbers = sorted(poller.listed)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert [segment.number for segment in poller.listed.values() if segment.gap] == []
    assert sum(segment.discontinuity for segment in poller.listed.values()) == 1
    assert poller.least_buffer_s() > 0


def read_everywhere(paths: list[Path]) -> None:
    for path in paths:
        probe = [str(ffmpeg.FFPROBE), "-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets"]
        found = run([*probe, "-of", "csv=p=0", str(path)])
        assert {line.split(",")[0] for line in found.split()} == {"h264", "aac"}
        run(["gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "decodebin", "name=in", *DECODED])


def run(command: list[str]) -> str:
    done = subprocess.run(ffmpeg.bounded(LIMIT_S, command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


async def test_a_worker_whose_machine_vanishes_is_left_by_the_other_replicas_and_harms_nothing_when_it_is_back(
    start_cluster: StartCluster, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = start_cluster(origins=1, edges=1, hls=3, settings=SETTINGS)
    replicas = Replicas([server(node) for node in cluster.hls])
    push("h264_b3_aac_60s", cluster.edges[0], stack, tmp_path)
    edge = Replicas([f"http://{LOOPBACK}:{cluster.edges[0].ports['http']}"])
    async with polling(replicas, TS, LOW_LATENCY) as (ts, low_latency), polling(edge, TS, LOW_LATENCY) as through_edge:
        await until("3 segments", lambda: min(len(ts.arrived), len(low_latency.arrived)) >= 3, LIMIT_S)
        frozen = await dropped_worker(cluster, replicas, low_latency)
        asked = len(ts.texts), len(low_latency.texts)
        await until("other replicas asked", lambda: len(ts.texts) > asked[0] and len(low_latency.texts) > asked[1], LIMIT_S)
        frozen.pause()
        last = ts.next_number
        await until("segments without it", lambda: min(ts.next_number, low_latency.next_number) >= last + 3, LIMIT_S)
        frozen.resume()
        await until("an end of the old worker", lambda: streams_of(frozen) == 0, LIMIT_S)
        replicas.add(server(frozen))
        last = ts.next_number
        await until("segments from all", lambda: min(ts.next_number, low_latency.next_number) >= last + 2, LIMIT_S)
    for poller in (ts, low_latency, *through_edge):
        assert poller.violations(but=STALLS) == []
        assert poller.missed == []
        assert poller.least_buffer_s() > 0
    check_writers(tmp_path)


class Relay:
    """A TCP relay to a port of this machine, which can be shut: its connections break, and new ones as soon as they are made."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._is_shut = False
        self._writers: set[asyncio.StreamWriter] = set()

    def shut(self) -> None:
        self._is_shut = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def open(self) -> None:
        self._is_shut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_shut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target)
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            while data := await reader.read(65536):
                writer.write(data)


@asynccontextmanager
async def relay_to(address: str) -> AsyncIterator[Relay]:
    relay = Relay(int(address.rpartition(":")[2]))
    listener = await asyncio.start_server(relay.serve, LOOPBACK, 0)
    relay.port = int(listener.sockets[0].getsockname()[1])
    try:
        yield relay
    finally:
        listener.close()
        relay.shut()


async def test_a_worker_cut_off_from_the_scheduler_alone_stops_at_the_marker_of_the_next(
    start_cluster: StartCluster, stack: ExitStack, tmp_path: Path
) -> None:
    cluster = await asyncio.to_thread(start_cluster, origins=1, edges=1, settings=SETTINGS)
    async with relay_to(cluster.schedulers[0].grpc_address) as relay:
        cut = cluster.add("hls", {"cluster.schedulers": [f"{LOOPBACK}:{relay.port}"]})
        await asyncio.to_thread(cut.wait_ready)
        push("h264_b3_aac_60s", cluster.edges[0], stack, tmp_path)
        replicas = Replicas([server(cut)])
        async with polling(replicas, TS, LOW_LATENCY) as (ts, low_latency):
            await until("a segment", lambda: min(len(ts.arrived), len(low_latency.arrived)) >= 1, LIMIT_S)
            assert await asyncio.to_thread(worker_of, cluster) is cut
            others = [cluster.add("hls"), cluster.add("hls")]
            for other in others:
                await asyncio.to_thread(other.wait_ready)
                replicas.add(server(other))
            seen = low_latency.next_number
            await until("a segment from all", lambda: min(ts.next_number, low_latency.next_number) > seen, LIMIT_S)
            replicas.drop(server(cut))
            relay.shut()
            await until("a successor", lambda: worker_of(cluster) in others, LIMIT_S)
            begun_at, taken_over = time.monotonic(), ts.next_number
            await until("an end of the old worker", lambda: streams_of(cut) == 0, LIMIT_S)
            assert time.monotonic() - begun_at < BOTH_S
            await until("segments of the new one", lambda: ts.next_number >= taken_over + 2, LIMIT_S)
            relay.open()
            await until("the old worker as any replica", lambda: is_answering(cut), LIMIT_S)
            replicas.add(server(cut))
            again = ts.next_number
            await until("segments from both", lambda: min(ts.next_number, low_latency.next_number) >= again + 2, LIMIT_S)
    assert "another hls worker has the stream" in cut.output()
    assert cut.running
    for poller in (ts, low_latency):
        assert poller.violations() == []
        assert poller.missed == []
        assert poller.least_buffer_s() > 0
    check_writers(tmp_path)


def check_writers(folder: Path) -> None:
    """Two workers have stored segments, no number twice."""
    for suffix in ("ts", "m4s"):
        writers = writers_by_number(folder / "media" / "hls" / STREAM, suffix)
        assert len({writer for _, writer in writers}) == 2
        assert len(writers) == len({number for number, _ in writers}), "two workers have stored one number"


def streams_of(node: Node) -> int:
    """How many streams it segments."""
    found = re.search(r"^hls_streams (\S+)$", node.metrics(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def is_answering(node: Node) -> bool:
    try:
        with urllib.request.urlopen(f"{server(node)}{TS}", timeout=LIMIT_S) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


def writers_by_number(folder: Path, suffix: str) -> list[tuple[int, str]]:
    """Number and epoch of every stored segment."""
    return [(int(path.stem.rpartition("-")[2]), path.stem.rpartition("-")[0]) for path in folder.glob(f"*.{suffix}")]


def named_for(node: str, other: str, prefix: str) -> str:
    """A stream for which an edge that knows both asks `node` first."""
    nodes = [Upstream(name, "", 0) for name in (node, other)]
    ranked = UpstreamChoice(lambda: nodes, time.monotonic).ranked
    return next(stream for number in count() if ranked(stream := f"live/{prefix}{number}")[0].name == node)


def last_segment(edge: Node, stream: str) -> int:
    """The number of the last segment that the edge lists, 0 where it lists none."""
    with contextlib.suppress(OSError), urllib.request.urlopen(edge.http_url(f"hls/{stream}.m3u8"), timeout=LIMIT_S) as answer:
        return max((int(number) for number in re.findall(r"-(\d+)\.ts", answer.read().decode())), default=0)
    return 0


def is_asked(node: Node) -> bool:
    return re.search(r"^hls_requests_total\{.*\} [1-9]", node.metrics(), re.MULTILINE) is not None


@pytest.mark.parametrize("are_frozen", [False, True], ids=["killed", "frozen"])
def test_a_node_that_never_heard_of_a_stream_does_not_keep_its_players_from_it_while_no_scheduler_answers(
    start_cluster: StartCluster, tmp_path: Path, are_frozen: bool
) -> None:
    cluster = start_cluster(origins=1, edges=1, hls=1, settings=SETTINGS)
    edge, stream, nowhere = cluster.edges[0], named_for("hls-2", "hls-1", "cam"), named_for("hls-2", "hls-1", "nowhere")
    with Publisher(media("h264_aac"), edge.rtmp_url(stream), log=tmp_path / "push.log", loops=-1):
        wait_until("segments", lambda: last_segment(edge, stream) > 0, LIMIT_S)
        newcomer = cluster.add("hls").wait_ready()
        wait_until("a request there", lambda: not last_segment(edge, nowhere) and is_asked(newcomer), LIMIT_S)
        if are_frozen:
            cluster.schedulers[0].pause()
        else:
            cluster.schedulers[0].kill()
        cluster.etcd.kill()
        asked_s = time.monotonic()
        number = last_segment(edge, stream)
        assert time.monotonic() - asked_s < ANSWER_S
        wait_until("more segments", lambda: last_segment(edge, stream) > number + 1, LIMIT_S)
    assert number > 0
