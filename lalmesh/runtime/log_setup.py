"""Logs of a service: one line per event on standard error or in a file, as JSON or as text.

Code logs with ``logging.getLogger(__name__)`` and gives facts in `extra`: ``log.info("publish", extra={"stream_key": str(key)})``.
structlog renders them; its own loggers and the variables bound with ``structlog.contextvars`` end up in the same lines.
What repeats too fast is counted instead (`FloodFilter`). A thread writes (`LogWriter`).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from lalmesh.runtime import telemetry as tracing
from lalmesh.runtime.config import ConfigError, Problem, TelemetryConfig
from lalmesh.runtime.log_writing import LogWriter, UnbufferedFile, unbuffered

FLOOD_WINDOW_S = 1.0
MAX_ALIKE = 20  #: records of one kind in a window: a person reads no more, and a peer that sends rubbish fills no disk
MAX_KINDS = 256  #: kinds that are told apart in a window; beyond them all others are one
MAX_TEMPLATE = 200  #: characters of a message that tell its kind

_EXTRA_ADDER = structlog.stdlib.ExtraAdder()
_LEFT_BY_FORMATTERS = frozenset({"message", "asctime"})  #: what the formatter of another handler leaves in a record
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROL_IN_TRACEBACK = {code: seen for code, seen in _CONTROL.items() if code not in b"\n\t"}


def configure_logging(telemetry: TelemetryConfig, *, service: str, node: str, stream: TextIO | None = None) -> None:
    """Send the logs of the process where `telemetry` says; a second call replaces the first.

    Args:
        telemetry: level, format, file.
        service: role of the process, in every line.
        node: name of the node, in every line.
        stream: where to write if `telemetry` names no file; None for standard error.

    Raises:
        ConfigError: the log file cannot be opened.
    """
    stream = sys.stderr if stream is None else stream
    is_terminal = not telemetry.log_file and stream.isatty()
    handler = LogWriter(_target(telemetry, stream))
    handler.setFormatter(_formatter(telemetry, service=service, node=node, is_terminal=is_terminal))
    handler.addFilter(FloodFilter(handler))
    root = logging.getLogger()
    for old in _writers():
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(telemetry.log_level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # a line per request would drown ours
    logging.captureWarnings(capture=True)
    _bridge_structlog()


def dropped_lines() -> int:
    """How many lines of this process were dropped, since what the log is written to did not take them."""
    return sum(writer.dropped for writer in _writers())


def _writers() -> list[LogWriter]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, LogWriter)]


@dataclass(slots=True)
class _Alike:
    """The records of one kind in a window."""

    seen: int = 0
    level: int = logging.NOTSET  #: the highest


def is_of_a_session(record: logging.LogRecord) -> bool:
    """Whether the record opens or closes a session."""
    return record.levelno == logging.INFO and hasattr(record, "session_id")


class FloodFilter(logging.Filter):
    """Lets `MAX_ALIKE` records a second of each kind through, whatever their level, and counts the others.

    The line that opens a session and the one that closes it are no flood: each is there once, and is what a session is found by.

    Of one kind are the records of a logger with one message, taken before its arguments are filled in. How many were dropped is
    said when the window is over: just before the next record of any kind, since nothing here waits.
    """

    def __init__(self, handler: logging.Handler, clock: Callable[[], float] = time.monotonic) -> None:
        """Filter what goes to `handler`, which also gets the counts; `clock` gives seconds and never goes back."""
        super().__init__()
        self._handler = handler
        self._clock = clock
        self._begun_at = clock()
        self._kinds: dict[tuple[str, str], _Alike] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record may pass."""
        self._handler.acquire()  # threads log too, and counts must not cut into a line
        try:
            self._turn()
            return is_of_a_session(record) or self._count(record)
        finally:
            self._handler.release()

    def _turn(self) -> None:
        """Begin another window where this one is over, and say what was dropped in it."""
        now = self._clock()
        if now - self._begun_at < FLOOD_WINDOW_S:
            return
        past, self._kinds, self._begun_at = self._kinds, {}, now
        for (logger, template), alike in past.items():
            if alike.seen > MAX_ALIKE:
                said = (alike.seen - MAX_ALIKE, template)
                self._handler.emit(logging.LogRecord(logger, alike.level, "", 0, "dropped %d of: %s", said, None))

    def _count(self, record: logging.LogRecord) -> bool:
        message = record.msg.get("event") if isinstance(record.msg, dict) else record.msg  # structlog's are dicts
        kind = (record.name, str(message)[:MAX_TEMPLATE])
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = (__name__, "(messages of many kinds)")
        alike = self._kinds.setdefault(kind, _Alike())
        alike.seen += 1
        alike.level = max(alike.level, record.levelno)
        return alike.seen <= MAX_ALIKE


def _target(telemetry: TelemetryConfig, stream: TextIO) -> logging.StreamHandler[Any]:
    if not telemetry.log_file:
        return logging.StreamHandler(unbuffered(stream))
    try:
        return UnbufferedFile(telemetry.log_file)
    except OSError as exc:
        raise ConfigError([Problem("telemetry.log_file", f"{telemetry.log_file} cannot be opened: {exc.strerror}")]) from exc


def _formatter(telemetry: TelemetryConfig, *, service: str, node: str, is_terminal: bool) -> structlog.stdlib.ProcessorFormatter:
    as_text = telemetry.log_format == "text" or (telemetry.log_format == "auto" and is_terminal)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_extras, structlog.contextvars.merge_contextvars],
        processors=[_facts(service, node), *(_text(colors=is_terminal) if as_text else _json())],
    )


def _extras(logger: Any, method: str, fields: EventDict) -> EventDict:
    """What was given as `extra`, except what would hide the event itself."""
    extras = _EXTRA_ADDER(logger, method, dict(fields))
    return {**{name: value for name, value in extras.items() if name not in _LEFT_BY_FORMATTERS}, **fields}


def _facts(service: str, node: str) -> Processor:
    """The fields that every line starts with; they win over extras of the same name."""

    def add(_logger: object, _method: str, fields: EventDict) -> EventDict:
        record: logging.LogRecord = fields.pop("_record")
        del fields["_from_structlog"]
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        first = {
            "timestamp": stamp.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": fields.get("event"),
            "service": service,
            "node": node,
        }
        if (trace := tracing.current()) is not None:
            first |= trace.fields
        return {**first, **{name: value for name, value in fields.items() if name not in first}}

    return add


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _text(*, colors: bool) -> list[Processor]:
    # Tracebacks are plain: the pretty ones print local variables, and those may be secrets.
    plain = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
    return [structlog.processors.format_exc_info, _visible, plain]


def _visible(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Control characters made visible: what a peer sends must not forge lines or steer a terminal. JSON escapes by itself."""
    return {name: _visible_text(name, value) if isinstance(value, str) else value for name, value in fields.items()}


def _visible_text(field: str, text: str) -> str:
    return text.translate(_CONTROL_IN_TRACEBACK if field in ("exception", "stack_info") else _CONTROL)


def _bridge_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
