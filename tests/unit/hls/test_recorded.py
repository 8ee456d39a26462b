"""What a node records of its workers' streams, as rules come and go."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.hls_fakes import STREAM as SEGMENTED
from support.hls_fakes import FakeStorage, HlsNode, owner, second
from support.hls_fakes import run as segmented_run
from support.recordings import EPOCH, STREAM, VIDEO, pictures, run, with_audio
from support.virtual_time import in_virtual_time, settle

from lalmesh.media import Codec, Track, TrackSet
from lalmesh.runtime.recording import RecordRules, parse_rule
from lalmesh.runtime.storage import Storage, open_storage
from services.hls.hosting import Ending
from services.hls.kept import ROOT
from services.hls.record_http import record_url
from services.hls.recorded import NodeRecordings, WorkerRecording
from services.hls.recording import Catalogue, EndReason, RecordingFinished, RecordingName, RecordingSettings
from services.hls.recording._disk import Disk, Outcome
from services.hls.recording_metrics import RecordingCollector

G711 = TrackSet((VIDEO, Track(track_id=2, codec=Codec.PCMA, sample_rate_hz=8000, channels=1)), 1)


def rules(*lines: str) -> RecordRules:
    return RecordRules([parse_rule(line) for line in lines])


@pytest.fixture
def storage() -> Storage:
    return open_storage("memory:")


@pytest.fixture
def finished(node: NodeRecordings, monkeypatch: pytest.MonkeyPatch) -> list[RecordingFinished]:
    events: list[RecordingFinished] = []
    complete = node.recordings._complete

    def tell(event: RecordingFinished) -> None:
        events.append(event)
        complete(event)

    monkeypatch.setattr(node.recordings, "_complete", tell)
    return events


@pytest.fixture
def node(tmp_path: Path, storage: Storage) -> NodeRecordings:
    return NodeRecordings(storage, tmp_path / "spool", RecordingSettings())


async def stored(node: NodeRecordings, storage: Storage) -> list[RecordingName]:
    """The names of all files, once they are in storage."""
    node.start()
    await node.stop()
    page = await Catalogue(storage).page()
    return sorted((found.name for found in page.recordings), key=lambda name: name.format.value)


def feed(recording: WorkerRecording, first: int, last: int) -> None:
    made = run(with_audio(pictures(first, last)))
    recording.receive(made, made)


async def test_each_format_of_the_rules_is_written(node: NodeRecordings, storage: Storage) -> None:
    node.follow(rules("live/* flv", "vod/* ts", "* mp4+flv"))
    recording = node.begin(STREAM, EPOCH)
    assert recording.is_wanted
    feed(recording, 0, 50)
    assert node.live_streams == 1
    recording.finish(EndReason.ENDED)
    assert [name.format.value for name in await stored(node, storage)] == ["flv", "mp4"]
    assert (node.live_streams, node.counters.finished_files) == (0, 2)


async def test_a_rule_that_comes_begins_at_the_next_random_access_point(node: NodeRecordings, storage: Storage) -> None:
    recording = node.begin(STREAM, EPOCH)
    feed(recording, 0, 30)
    assert not recording.is_wanted
    node.follow(rules("* flv"))
    feed(recording, 30, 75)
    first = pictures(50, 51)[0]
    assert [name.started_us for name in await stored(node, storage)] == [first.wall_us // 1000 * 1000]


async def test_a_rule_that_goes_ends_its_files_alone_at_the_next_random_access_point(
    node: NodeRecordings, storage: Storage, finished: list[RecordingFinished]
) -> None:
    node.follow(rules("* flv", "* mp4"))
    recording = node.begin(STREAM, EPOCH)
    feed(recording, 0, 50)
    node.follow(rules("* mp4"))
    feed(recording, 50, 100)
    assert recording.is_written
    node.follow(rules())
    feed(recording, 100, 110)
    assert not recording.is_written
    assert len(await stored(node, storage)) == 2
    assert sorted(event.duration_ms for event in finished) == pytest.approx([2000, 4000], abs=40)


async def test_another_length_begins_another_file_and_another_keeping_does_not(
    node: NodeRecordings, storage: Storage, finished: list[RecordingFinished]
) -> None:
    node.follow(rules("* flv"))
    recording = node.begin(STREAM, EPOCH)
    feed(recording, 0, 50)
    node.follow(rules("* flv keep_s=9"))
    feed(recording, 50, 90)
    node.follow(rules("* flv segment_s=9"))
    feed(recording, 90, 150)
    assert len(await stored(node, storage)) == 2
    assert sorted(event.duration_ms for event in finished) == pytest.approx([2000, 4000], abs=40)


async def test_tracks_that_a_format_cannot_carry_are_told(node: NodeRecordings) -> None:
    node.follow(rules("* flv+ts+hls"))
    recording = node.begin(STREAM, EPOCH)
    made = run(pictures(0, 5), G711)
    recording.receive(made, made)
    assert recording.left_out == ("record-ts: pcma",)
    recording.receive(run(pictures(5, 6), G711), run(pictures(5, 6)))
    assert not recording.left_out
    assert recording.keeps_segments
    recording.finish(EndReason.STOPPED)
    recording.follow(rules("* flv"))
    assert not recording.is_wanted
    await node.stop()


async def test_what_goes_on_beside_recording_goes_on_after_a_failure(
    node: NodeRecordings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries, again = 0, asyncio.Event()

    async def failing() -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            again.set()
        raise RuntimeError("a bug")

    monkeypatch.setattr(node.recordings, "run", failing)
    monkeypatch.setattr("services.hls.recorded.RESTART_S", 0)
    node.start()
    await again.wait()
    await node.stop()
    assert "a bug" in caplog.text


async def test_a_disk_that_hangs_does_not_keep_a_node_from_stopping(
    node: NodeRecordings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    free = threading.Event()
    monkeypatch.setattr("services.hls.recorded.CLOSE_S", 0.1)
    monkeypatch.setattr(Disk, "perform", lambda self, commands: free.wait(10) and Outcome())
    node.follow(rules("* flv"))
    recording = node.begin(STREAM, EPOCH)
    feed(recording, 0, 50)
    try:
        async with asyncio.timeout(5):
            await node.stop()
    finally:
        free.set()


async def test_every_figure_is_told_under_a_name_of_its_own(node: NodeRecordings, storage: Storage) -> None:
    node.follow(rules("* flv"))
    recording = node.begin(STREAM, EPOCH)
    feed(recording, 0, 50)
    recording.finish(EndReason.ENDED)
    await stored(node, storage)
    registry = CollectorRegistry()
    registry.register(RecordingCollector(node))
    told = {metric.name: metric.samples[0].value for metric in registry.collect()}
    assert len(told) == len(list(RecordingCollector(node).collect()))
    assert (told["hls_recording_files"], told["hls_recording_stored_files"], told["hls_recording_waiting_bytes"]) == (1, 1, 0)


async def test_who_is_cut_off_from_the_scheduler_removes_nothing_by_rules_that_may_be_old(tmp_path: Path) -> None:
    storage, looks = FakeStorage(), 0

    def has_joined() -> bool:
        nonlocal looks
        looks += 1
        return looks > 3

    node = NodeRecordings(storage, tmp_path / "spool", RecordingSettings(sweep_s=0.02), has_joined)
    node.follow(rules("* flv keep_s=1"))
    await storage.put("record/live/a/20251125T231728.123Z-1.2-0.flv", b"old")
    node.start()
    async with asyncio.timeout(10):
        while looks < 3:  # noqa: ASYNC110 -- a storage tells nobody
            await asyncio.sleep(0.005)
        assert storage.names(".flv")
        while storage.names(".flv"):  # noqa: ASYNC110 -- the same
            await asyncio.sleep(0.005)
    await node.stop()


def test_a_url_has_the_parts_of_the_stream() -> None:
    name = RecordingName.parse("live%2Feu/cam%201/20251125T231728.123Z-1.2-0.flv")
    assert record_url(name) == "/record/live/eu/cam%201/20251125T231728.123Z-1.2-0.flv"


# through a worker


def worker_node(tmp_path: Path, *lines: str) -> tuple[HlsNode, NodeRecordings]:
    made = HlsNode()
    made.workers.recordings = NodeRecordings(made.storage, tmp_path / "spool", RecordingSettings())
    made.workers.recordings.follow(rules(*lines))
    return made, made.workers.recordings


@in_virtual_time
async def test_a_stream_that_is_recorded_is_segmented_though_nobody_asks(tmp_path: Path) -> None:
    made, recordings = worker_node(tmp_path, "* hls")
    worker = made.workers.assigned(owner(limit=100))
    assert worker is not None
    origin = await made.origin()
    for number in range(6):
        origin.events.receive(segmented_run(second(number)))
    await settle()
    kept = [path for path in made.storage.objects if path.startswith(f"{ROOT}/{SEGMENTED.quoted()}/")]
    assert len(kept) == 2
    await asyncio.sleep(made.workers.settings.idle_s * 3)  # type: ignore[operator]
    assert worker.ending is None
    recordings.follow(rules())
    await asyncio.sleep(made.workers.settings.idle_s * 3)  # type: ignore[operator]
    assert worker.ending is Ending.IDLE
    await made.workers.close(1)


@in_virtual_time
async def test_segments_are_kept_only_where_a_rule_says_so(tmp_path: Path) -> None:
    made, recordings = worker_node(tmp_path, "other/* hls")
    worker = made.workers.assigned(owner(limit=100))
    assert worker is not None
    origin = await made.origin()
    for number in range(6):
        origin.events.receive(segmented_run(second(number)))
    await settle()
    assert not any(path.startswith(ROOT) for path in made.storage.objects)
    assert recordings.live_streams == 0
    await made.workers.close(1)
