"""Plays an endless HTTP answer into a file: ``python -m support.http_recorder URL FILE``. Ends when the server ends it."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

LIMIT_S = 30.0  #: of one read
READ_BYTES = 256 << 10


def main(url: str, file: str) -> None:
    """Copy what comes, as it comes."""
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer, Path(file).open("wb", buffering=0) as output:
        while data := answer.read1(READ_BYTES):
            output.write(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
