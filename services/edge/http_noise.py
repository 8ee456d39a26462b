"""What aiohttp says of bytes that are no HTTP."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

from services.edge.metrics import EdgeMetrics


class NotHttp(logging.Filter):
    """Makes it a count, and a line without the traceback that aiohttp gives to each of them."""

    def __init__(self, metrics: EdgeMetrics, scheme: str) -> None:
        """Count as errors of `scheme`."""
        super().__init__()
        self._errors = metrics.protocol_errors.labels(scheme)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, those of bytes that are no HTTP in few words."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            self._errors.inc()
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args, record.exc_info = "peer broke the protocol: %s", (type(error).__name__,), None
        return True
