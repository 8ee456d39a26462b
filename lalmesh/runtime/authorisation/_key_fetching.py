"""Fetching a key set that changes: from a URL or a file, now and then, and when a token names a key that is not known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from lalmesh.runtime.authorisation._jwt import Tokens
from lalmesh.runtime.authorisation._keys import MAX_SET_BYTES, jwks_keys
from lalmesh.runtime.authorisation._metrics import AccessMetrics
from lalmesh.runtime.authorisation._verdict import Answer

log = logging.getLogger(__name__)

FETCH_S: Final = 5.0  #: for one answer
LOOK_AGAIN_S: Final = 5.0  #: between two looks for keys that are not known: anybody can name one
FIRST_PAUSE_S: Final = 1.0  #: after a first failure; twice as long after each that follows
MAX_PAUSE_S: Final = 300.0


@dataclass(slots=True, frozen=True)
class KeySource:
    """Where the set is."""

    url: str = ""
    file: str = ""
    refresh_s: float = 300.0


class KeyFetcher:
    """Keeps the keys of `tokens` fresh. What was fetched is good until something newer comes, however long that takes."""

    def __init__(self, tokens: Tokens, source: KeySource, metrics: AccessMetrics, clock: Callable[[], float]) -> None:
        """Fetch from `source`; `clock` gives seconds. `run` fetches for the first time."""
        self._tokens = tokens
        self._source = source
        self._metrics = metrics
        self._clock = clock
        self._failures = 0
        self._looked_at_s = -LOOK_AGAIN_S
        self._fetching: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Fetch without end."""
        while True:
            has_fetched = await self._refresh()
            await asyncio.sleep(self._source.refresh_s if has_fetched else self._pause_s())

    def give_to(self, tokens: Tokens) -> None:
        """Fetch for others from now on."""
        tokens.fetched = self._tokens.fetched
        self._tokens = tokens

    async def answer(self) -> Answer:
        """Look for newer keys, unless that was done a moment ago."""
        if self._fetching is None and self._clock() - self._looked_at_s < LOOK_AGAIN_S:
            return Answer.YES if not self._failures else Answer.NONE
        return Answer.YES if await self._refresh() else Answer.NONE

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _pause_s(self) -> float:
        return float(min(MAX_PAUSE_S, self._source.refresh_s, FIRST_PAUSE_S * 2 ** min(self._failures - 1, 20)))

    async def _refresh(self) -> bool:
        """Fetch, one at a time; gives whether that worked."""
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetched(), name="access-keys")
            self._fetching.add_done_callback(self._over)
        return await asyncio.shield(self._fetching)

    def _over(self, _: asyncio.Task[bool]) -> None:
        self._fetching = None

    async def _fetched(self) -> bool:
        self._looked_at_s = self._clock()
        try:
            async with asyncio.timeout(FETCH_S):
                data = await (self._from_url() if self._source.url else asyncio.to_thread(self._from_file))
            self._tokens.fetched = jwks_keys(data)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self._failures += 1
            self._metrics.key_fetch_failures.inc()
            self._metrics.keys_outdated.set(1)
            log.warning("the key set of tokens cannot be fetched: %s", str(error) or type(error).__name__)
            return False
        self._failures = 0
        self._metrics.keys_outdated.set(0)
        return True

    async def _from_url(self) -> bytes:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session, session.get(self._source.url) as response:
            response.raise_for_status()
            data = bytearray()
            async for chunk in response.content.iter_any():
                data += chunk
                if len(data) > MAX_SET_BYTES:
                    raise ValueError(f"a key set of over {MAX_SET_BYTES} bytes")
            return bytes(data)

    def _from_file(self) -> bytes:
        with Path(self._source.file).open("rb") as file:
            return file.read(MAX_SET_BYTES + 1)
