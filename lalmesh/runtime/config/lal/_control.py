"""How lal is controlled, as keys here: API, logs."""

from __future__ import annotations

from lalmesh.runtime.config.lal._file import LalFile
from lalmesh.runtime.config.lal._listeners import listen_at
from lalmesh.runtime.config.lal._made import Made

_LEVELS = ("debug", "info", "info", "warning", "error", "error", "error", "error")


def api(lal: LalFile, made: Made) -> None:
    """Where the API listens. It belongs to the scheduler, so it is never quite off."""
    if lal.flag("http_api.enable"):
        listen_at(lal, made, "http_api.addr", "scheduler.http")
    else:
        made.put("scheduler.http.host", "127.0.0.1")


def log(lal: LalFile, made: Made) -> None:
    """Level and place of the log."""
    level = lal.number("log.level")
    made.put("telemetry.log_level", _LEVELS[min(max(level, 0), len(_LEVELS) - 1)])
    if not lal.flag("log.is_to_stdout") and lal.text("log.filename"):
        made.put("telemetry.log_file", lal.text("log.filename"))
