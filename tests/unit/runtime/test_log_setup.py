from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from lalmesh.runtime.config import ConfigError, TelemetryConfig
from lalmesh.runtime.log_setup import MAX_ALIKE, MAX_KINDS, FloodFilter, configure_logging

log = logging.getLogger("lalmesh.test")


def flush() -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()


class Out(io.StringIO):
    """What has been logged, once it is written."""

    def getvalue(self) -> str:
        flush()
        return super().getvalue()


class Terminal(Out):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    logging.getLogger("aiohttp.access").setLevel(logging.NOTSET)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def started(stream: io.StringIO | None = None, **telemetry: Any) -> io.StringIO:
    stream = Out() if stream is None else stream
    configure_logging(TelemetryConfig(**telemetry), service="edge", node="n1", stream=stream)
    return stream


def test_a_json_line_has_the_facts_and_the_extras() -> None:
    out = started()
    log.info("publish of %s", "live/a", extra={"stream_key": "live/a", "session_id": "s1", "peer": "192.0.2.1:5"})
    fields = json.loads(out.getvalue())
    assert fields.pop("timestamp").endswith("Z")
    assert fields == {
        "level": "info",
        "logger": "lalmesh.test",
        "event": "publish of live/a",
        "service": "edge",
        "node": "n1",
        "stream_key": "live/a",
        "session_id": "s1",
        "peer": "192.0.2.1:5",
    }


def test_the_timestamp_is_utc_in_milliseconds() -> None:
    out = started()
    log.handle(logging.makeLogRecord({"name": "a", "levelno": 20, "levelname": "INFO", "msg": "m", "created": 1.0625}))
    assert json.loads(out.getvalue())["timestamp"] == "1970-01-01T00:00:01.062Z"


def test_loggers_and_variables_of_structlog_end_up_in_the_same_lines() -> None:
    out = started()
    with structlog.contextvars.bound_contextvars(session_id="s1"):
        structlog.get_logger("other").warning("slow player", peer="p")
        log.warning("closed")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["logger"], first["level"], first["event"]) == ("other", "warning", "slow player")
    assert (first["service"], first["peer"], first["session_id"], second["session_id"]) == ("edge", "p", "s1", "s1")


def test_extras_hide_neither_the_event_nor_the_node() -> None:
    out = started()
    log.info("said", extra={"event": "forged", "node": "forged", "level": "forged"})
    assert "forged" not in out.getvalue()


def test_a_traceback_is_one_field_of_the_line() -> None:
    out = started()
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("failed")
    assert json.loads(out.getvalue())["exception"].endswith("ValueError: broken")


def test_what_json_cannot_hold_is_described() -> None:
    out = started()
    log.info("odd", extra={"what": {1, 2}, "key": ("live", "a")})
    assert json.loads(out.getvalue())["what"] == "{1, 2}"


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("info", 1), ("warning", 0)])
def test_lines_below_the_level_are_left_out(level: str, lines: int) -> None:
    out = started(log_level=level)
    log.debug("d")
    log.info("i")
    assert len(out.getvalue().splitlines()) == lines


def test_text_is_for_people() -> None:
    out = started(log_format="text")
    log.info("publish", extra={"stream_key": "live/a"})
    assert "publish" in out.getvalue()
    assert "stream_key=live/a" in out.getvalue()


def test_a_terminal_gets_text_and_anything_else_json() -> None:
    terminal = started(Terminal())
    log.info("hello")
    pipe = started()
    log.info("hello")
    assert not terminal.getvalue().startswith("{")
    assert pipe.getvalue().startswith("{")


def test_text_lets_no_peer_forge_lines_or_steer_the_terminal() -> None:
    out = started(log_format="text")
    log.info("name %s", "a\nb\x1b[2J", extra={"peer": "c\nd\x9b"})
    try:
        raise ValueError("e\x1b[2J")
    except ValueError:
        log.exception("failed")
    assert "\x1b" not in out.getvalue()
    assert "\x9b" not in out.getvalue()
    assert out.getvalue().count("\n") == 2 + 4


def test_a_second_call_replaces_the_first() -> None:
    first = started()
    second = started()
    log.info("once")
    assert (first.getvalue(), len(second.getvalue().splitlines())) == ("", 1)


def test_warnings_of_python_are_logged() -> None:
    out = started()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old way", stacklevel=1)
    assert json.loads(out.getvalue())["logger"] == "py.warnings"


def written(file: Path) -> str:
    flush()
    return file.read_text()


def test_a_file_is_written_and_reopened_when_it_was_moved_away(tmp_path: Path) -> None:
    file = tmp_path / "edge.log"
    started(log_file=str(file))
    log.info("one")
    assert json.loads(written(file))["event"] == "one"
    file.rename(tmp_path / "edge.log.1")
    log.info("two")
    assert json.loads(written(file))["event"] == "two"


def test_a_file_that_cannot_be_opened_is_an_error_of_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^telemetry\.log_file: .*Is a directory"):
        started(log_file=str(tmp_path))


class Flood:
    """A handler behind a filter whose clock the test turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.out = io.StringIO()
        self.handler = logging.StreamHandler(self.out)
        self.handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.handler.addFilter(FloodFilter(self.handler, lambda: self.now))

    def say(self, template: object, count: int = 1, *, name: str = "a", level: int = logging.WARNING) -> None:
        for number in range(count):
            args = (number,) if "%" in str(template) else ()
            self.handler.handle(logging.LogRecord(name, level, "", 0, template, args, None))

    def lines(self) -> list[str]:
        said = self.out.getvalue().splitlines()
        self.out.seek(self.out.truncate(0))
        return said


def test_what_repeats_too_fast_is_counted_and_the_count_is_said_with_the_next_record_of_any_kind() -> None:
    flood = Flood()
    flood.say("bad packet %d", 832)
    assert flood.lines() == [f"WARNING a bad packet {number}" for number in range(MAX_ALIKE)]
    flood.now = 0.9
    flood.say("other")
    assert flood.lines() == ["WARNING a other"]
    flood.now = 1.0
    flood.say("other")
    flood.say("bad packet %d")
    assert flood.lines() == ["WARNING a dropped 812 of: bad packet %d", "WARNING a other", "WARNING a bad packet 0"]


def test_a_flood_drowns_nothing_but_its_own_kind() -> None:
    flood = Flood()
    flood.say("bad packet %d", 100)
    flood.say("bad packet %d", name="b")
    flood.say("closed")
    assert flood.lines()[MAX_ALIKE:] == ["WARNING b bad packet 0", "WARNING a closed"]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.ERROR, logging.CRITICAL])
def test_no_level_is_spared_and_the_count_has_the_highest(level: int) -> None:
    flood = Flood()
    flood.say("m", 20)
    flood.say("m", 5, level=level)
    flood.now = 60
    flood.say("later")
    highest = logging.getLevelName(max(level, logging.WARNING))
    assert flood.lines()[MAX_ALIKE:] == [f"{highest} a dropped 5 of: m", "WARNING a later"]


def test_what_slowly_repeats_is_never_dropped() -> None:
    flood = Flood()
    for second in range(5):
        flood.now = second * 1.1
        flood.say("m", MAX_ALIKE)
    assert flood.lines() == ["WARNING a m"] * 5 * MAX_ALIKE


def test_a_flood_of_kinds_is_bounded() -> None:
    flood = Flood()
    for number in range(3 * MAX_KINDS):
        flood.say(f"kind {number}")
    assert len(flood.lines()) == MAX_KINDS + MAX_ALIKE
    flood.now = 1
    flood.say("last")
    assert flood.lines() == [
        f"WARNING lalmesh.runtime.log_setup dropped {2 * MAX_KINDS - MAX_ALIKE} of: (messages of many kinds)",
        "WARNING a last",
    ]


def test_tracebacks_and_records_of_structlog_are_limited_in_the_lines_of_a_service() -> None:
    out = started()
    for number in range(MAX_ALIKE + 1):
        structlog.get_logger("other").warning("slow player", peer=number)
        try:
            raise ValueError(number)
        except ValueError:
            log.exception("failed")
    lines = [json.loads(line)["event"] for line in out.getvalue().splitlines()]
    assert (lines.count("slow player"), lines.count("failed")) == (MAX_ALIKE, MAX_ALIKE)


def test_the_lines_of_sessions_are_no_flood() -> None:
    flood = FloodFilter(logging.NullHandler(), lambda: 0.0)
    line = logging.makeLogRecord({"name": "x", "levelno": logging.INFO, "msg": "player opened", "session_id": "1"})
    assert all(flood.filter(line) for _ in range(MAX_ALIKE * 3))
