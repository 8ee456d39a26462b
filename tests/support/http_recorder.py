"""Plays endless HTTP answers into files, several at once: ``python -m support.http_recorder URL FILE [URL FILE ...]``.

It ends when the server has ended all of them; with status 1, and what was wrong, where one could not be had or broke off.
"""

from __future__ import annotations

import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

LIMIT_S = 30.0  #: of one read
READ_BYTES = 256 << 10


def record(url: str, file: str) -> str:
    """Copy what comes, as it comes. Gives what was wrong, empty where nothing was."""
    try:
        with urllib.request.urlopen(url, timeout=LIMIT_S) as answer, Path(file).open("wb", buffering=0) as output:
            while data := answer.read1(READ_BYTES):
                output.write(data)
    except (OSError, HTTPException) as error:
        return f"{url}: {error}"
    return ""


def main(*arguments: str) -> None:
    """Record all pairs."""
    urls, files = arguments[::2], arguments[1::2]
    with ThreadPoolExecutor(len(urls)) as pool:
        if wrong := [each for each in pool.map(record, urls, files) if each]:
            sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
