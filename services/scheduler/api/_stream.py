"""Streams that requests name."""

from __future__ import annotations

from http import HTTPStatus

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from services.scheduler.api._problem import ProblemError

MAX_STREAM_CHARS = 2304  #: an application of 8 parts and a name, 255 bytes each, with their slashes


def named_stream(text: str, field: str = "stream") -> StreamKey:
    """The stream that `field` of a request names, ``app/name``.

    Raises:
        ProblemError: it is no name.
    """
    try:
        return StreamKey.parse(text)
    except InvalidName as exc:
        raise ProblemError(HTTPStatus.BAD_REQUEST, str(exc), field=field) from exc
