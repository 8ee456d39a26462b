"""Recording onto real disks that are full, and in processes that are killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import ffmpeg
from support.process import Child, wait_until

from services.hls.recording import EndReason, RecordFormat, Spool, recover

FORMATS = [RecordFormat.FLV, RecordFormat.MP4, RecordFormat.TS]
LIMIT_S = 60
ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = dict(os.environ, PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}")
FULL_BYTES = 400 << 10  #: of the small disk: some 50 GOPs


def command(folder: Path, record_format: RecordFormat, gops: int) -> list[str]:
    return [sys.executable, "-m", "support.record_into", str(folder), record_format.value, str(gops)]


def lines(words: list[str]) -> list[str]:
    done = subprocess.run(
        words, env=ENVIRONMENT, capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def can_mount() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "-m", "-r", "true"], check=False, capture_output=True).returncode == 0


def assert_playable(file: Path) -> None:
    probe = [str(ffmpeg.FFPROBE), "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", str(file)]
    shown = subprocess.run(ffmpeg.bounded(LIMIT_S, probe), capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert {"h264", "aac"} <= set(shown.stdout.split())


@pytest.mark.parametrize("record_format", FORMATS)
def test_a_file_size_limit_ends_the_file_whole_and_what_it_lacks_is_counted(record_format: RecordFormat, tmp_path: Path) -> None:
    limited = ["sh", "-c", f'ulimit -f {FULL_BYTES // 512}; exec "$0" "$@"', *command(tmp_path, record_format, 100)]
    told = lines(limited)
    path, reason, missing = told[0].split()
    assert reason == EndReason.DISK_FULL.value.replace(" ", "-")
    assert int(missing) > 0
    assert (tmp_path / path).stat().st_size <= FULL_BYTES
    assert_playable(tmp_path / path)
    assert int(told[-1].split()[3]) > 0


@pytest.mark.skipif(not can_mount(), reason="no disk can be mounted here")
@pytest.mark.parametrize("record_format", FORMATS)
def test_a_full_disk_ends_the_file_whole_and_what_it_lacks_is_counted(record_format: RecordFormat, tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    script = f'mount -t tmpfs -o size={FULL_BYTES} tmpfs {disk} && "$0" "$@" && cp -r {disk}/. {kept}'
    told = lines(["unshare", "-m", "-r", "sh", "-c", script, *command(disk, record_format, 100)])
    path, reason, missing = told[0].split()
    assert reason == EndReason.DISK_FULL.value.replace(" ", "-")
    assert int(missing) > 0
    assert_playable(kept / path)


@pytest.mark.parametrize("record_format", FORMATS)
def test_a_killed_process_leaves_what_plays_as_it_is_and_can_be_recovered(record_format: RecordFormat, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")

    def has_grown() -> bool:
        return any(file.size_bytes > FULL_BYTES for file in spool.files())

    with Child(command(spool.folder, record_format, 100_000), log=tmp_path / "log", env=ENVIRONMENT) as child:
        wait_until("large file", has_grown, LIMIT_S, child=child)
        assert recover(spool) == []
        child.kill()
    [left] = spool.files()
    cut = tmp_path / f"cut.{record_format.value}"  # in the middle of what was being written, as a killed process leaves it
    cut.write_bytes(left.path.read_bytes()[:-5])
    assert_playable(cut)
    began = time.process_time()
    [found] = recover(spool)
    assert time.process_time() - began < 2
    assert found.reason is EndReason.RECOVERED
    assert found.size_bytes == spool.path(found.path).stat().st_size
    assert found.duration_ms > 10_000
    assert_playable(spool.path(found.path))
