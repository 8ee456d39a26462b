"""Plays endless HTTP answers into files, several at once: ``python -m support.http_recorder URL FILE [URL FILE ...]``.

Behind ``--once-live API`` each comes when that API says that its stream has units; `WAITS` is printed when that is awaited.

It ends when the server has ended all of them; with status 1, and what was wrong, where one could not be had or broke off.
"""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from support.operator_api import live

WAITS = "waits for streams"
LIMIT_S = 30.0  #: of one read
READ_BYTES = 256 << 10
LIVE_S = 60.0  #: for all streams to have units
POLL_S = 0.1


def record(url: str, file: str) -> str:
    """Copy what comes, as it comes. Gives what was wrong, empty where nothing was."""
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer, Path(file).open("wb", buffering=0) as output:
            while data := answer.read1(READ_BYTES):
                output.write(data)
    except (OSError, HTTPException) as error:
        return f"{url}: {error}"
    return ""


def stream_of(url: str) -> str:
    """The stream at a URL."""
    return urlsplit(url).path.removeprefix("/").rpartition(".")[0]


def once_live(api_url: str, urls: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The number and URL of each, when its stream has units."""
    waiting = dict(enumerate(urls))
    print(WAITS, flush=True)
    until_s = time.monotonic() + LIVE_S
    while waiting and time.monotonic() < until_s:
        streams = live(api_url)
        for number in [number for number, url in waiting.items() if stream_of(url) in streams]:
            yield number, waiting.pop(number)
        time.sleep(POLL_S)
    yield from waiting.items()  # which says what is wrong


def when_due(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """URL and file of each, when it is to come, of a command line."""
    api_url, pairs = (arguments[1], arguments[2:]) if arguments[0] == "--once-live" else ("", arguments)
    urls, files = pairs[::2], pairs[1::2]
    for number, url in once_live(api_url, urls) if api_url else enumerate(urls):
        yield url, files[number]


def main(*arguments: str) -> None:
    """Record all pairs."""
    with ThreadPoolExecutor(len(arguments)) as pool:
        recorded = [pool.submit(record, url, file) for url, file in when_due(arguments)]
        if wrong := [each for one in recorded if (each := one.result())]:
            sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
