"""Who listens to events, and what the OpenAPI document says of what they hear."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from jsonschema import Draft202012Validator

PATH = "/v1/events"
SILENCE_S = 30.0  #: after which nothing is waited for any more
EVENT_STREAM = "text/event-stream"

Heard = dict[str, str]  #: an event by the names of its lines


@asynccontextmanager
async def listening(api_url: str, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[Heard]]:
    """Server-sent events; headers have underscores for hyphens."""
    timeout = aiohttp.ClientTimeout(sock_read=SILENCE_S)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(timeout=timeout) as client,
        client.get(f"{api_url}{PATH}?{query}", headers=sent) as answer,
    ):
        assert (answer.status, answer.content_type) == (200, EVENT_STREAM), await answer.text()
        yield _events(answer.content)


async def _events(lines: aiohttp.StreamReader) -> AsyncIterator[Heard]:
    event: Heard = {}
    async for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            event[name] = value
        else:  # an empty line ends an event; what has only a time to come back after is none
            if "event" in event:
                yield event
            event = {}


class EventSchema:
    """What the document says of the events of a stream."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Of `document`."""
        self._components = document["components"]
        content = document["paths"][PATH]["get"]["responses"]["200"]["content"]
        assert list(content) == [EVENT_STREAM]
        self._item = content[EVENT_STREAM]["x-itemSchema"]
        self._of_kinds: dict[str, Any] = {
            each["properties"]["event"]["const"]: each["properties"]["data"]["contentSchema"]
            for each in self._item["oneOf"]
            if "const" in each["properties"]["event"]
        }

    def check(self, heard: Heard) -> None:
        """Refuse what is not as it says.

        Raises:
            jsonschema.ValidationError, KeyError: that is so.
        """
        self._validator(self._item).validate(heard)
        self.check_data(heard["event"], json.loads(heard["data"]))

    def check_data(self, kind: str, data: Mapping[str, Any]) -> None:
        """The same of the data of an event of a kind."""
        self._validator(self._of_kinds[kind]).validate(data)

    def _validator(self, schema: Mapping[str, Any]) -> Draft202012Validator:
        return Draft202012Validator({**schema, "components": self._components})
