from __future__ import annotations

import io
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lalmesh.runtime import log_writing
from lalmesh.runtime.log_writing import LogWriter, Unbuffered, unbuffered

LIMIT_S = 30.0


class Disk(logging.Handler):
    """What is written to; it takes nothing while it hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.closed = threading.Event()
        self.asked = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def emit(self, record: logging.LogRecord) -> None:
        self.asked.set()
        assert self.goes_on.wait(LIMIT_S)
        self.lines.append(self.format(record))

    def close(self) -> None:
        self.closed.set()
        super().close()


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.goes_on.set()


def say(writer: LogWriter, *texts: str) -> None:
    for text in texts:
        writer.handle(logging.makeLogRecord({"msg": text}))


def hang(disk: Disk, writer: LogWriter) -> None:
    disk.goes_on.clear()
    say(writer, "first")
    assert disk.asked.wait(LIMIT_S)


def test_lines_come_out_as_they_went_in(disk: Disk) -> None:
    writer = LogWriter(disk)
    texts = [str(number) for number in range(1000)]
    say(writer, *texts, "100 %s of it")
    writer.flush()
    assert disk.lines == [*texts, "100 %s of it"]
    writer.close()
    assert disk.closed.wait(LIMIT_S)


def test_who_logs_never_waits_for_the_disk_and_what_is_dropped_is_told(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writing, "MAX_WAITING", 3)
    writer = LogWriter(disk)
    hang(disk, writer)
    say(writer, *"abcde")
    assert writer.dropped == 2
    disk.goes_on.set()
    writer.flush()
    say(writer, "later")
    writer.flush()
    assert disk.lines == ["first", *"abc", "dropped 2 lines: what the log is written to does not take them", "later"]
    assert writer.dropped == 2


def test_a_process_ends_though_the_disk_hangs(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writing, "FLUSH_S", 0.05)
    monkeypatch.setattr(log_writing, "MAX_WAITING", 1)
    writer = LogWriter(disk)
    hang(disk, writer)
    began_s = time.monotonic()
    writer.flush()  # finds room, and is not written
    say(writer, "waits")
    writer.flush()  # finds no room
    writer.close()
    assert time.monotonic() - began_s < LIMIT_S


def test_what_cannot_be_formatted_is_told_of_on_standard_error_and_nothing_else_is_lost(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = LogWriter(disk)
    writer.handle(logging.LogRecord("a", logging.INFO, "", 0, "%d", ("no number",), None))
    say(writer, "next")
    writer.flush()
    assert disk.lines == ["next"]
    assert "TypeError" in capsys.readouterr().err


def test_text_goes_out_whole_and_at_once_and_a_descriptor_of_others_stays_open(tmp_path: Path) -> None:
    reader, descriptor = os.pipe()
    try:
        stream = os.fdopen(os.dup(descriptor), "w")
        text = unbuffered(stream)
        assert text.write("ä\ud800\n") == 3
        assert os.read(reader, 100) == b"\xc3\xa4\\ud800\n"
        ours = Unbuffered(os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT), is_ours=True)
        ours.close()
        ours.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(ours.fileno())
        theirs = Unbuffered(descriptor, is_ours=False)
        theirs.close()
        os.fstat(descriptor)
        stream.close()
    finally:
        os.close(reader)
        os.close(descriptor)


def test_what_is_no_file_is_written_to_as_it_is() -> None:
    stream = io.StringIO()
    assert unbuffered(stream) is stream
