"""Bodies of lal's API: JSON of whatever content type, keys that are not known passed over, defaults for those that are missing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from services.scheduler.lal_api._errors import PARAM_MISSING, LalError

MAX_BODY_BYTES = 64 << 10
BODY_S = 10.0  #: for it to be here


class Body:
    """The fields of one request."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Of what was parsed."""
        self._fields = fields

    def text(self, name: str, *, required: bool = True) -> str:
        """A text; empty where it may be missing and is."""
        value = self._fields.get(name, "")
        if not isinstance(value, str) or (required and not value):
            raise LalError(PARAM_MISSING, f"param missing: {name}")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number; required where there is no `default`."""
        value = self._fields.get(name, default)
        if type(value) is not int:
            raise LalError(PARAM_MISSING, f"param missing: {name}")
        return value

    def texts(self, name: str, default: list[str]) -> list[str]:
        """A list of texts."""
        value = self._fields.get(name, default)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise LalError(PARAM_MISSING, f"param missing: {name}")
        return value


async def read_body(request: web.Request) -> Body:
    """The body of `request`.

    Raises:
        LalError: it is no JSON object, too long, or does not come.
    """
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while chunk := await request.content.readany():
                data += chunk
                if len(data) > MAX_BODY_BYTES:
                    raise LalError(PARAM_MISSING, f"param missing: a body of more than {MAX_BODY_BYTES} bytes")
        fields = json.loads(data)
    except (TimeoutError, ValueError, RecursionError):
        raise LalError(PARAM_MISSING, "param missing: the body is no JSON") from None
    if not isinstance(fields, dict):
        raise LalError(PARAM_MISSING, "param missing: the body is no JSON object")
    return Body(fields)
