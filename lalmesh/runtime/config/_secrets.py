"""Secrets that stand in files of their own: ``cluster.key_file`` gives ``cluster.key``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lalmesh.runtime.config._keys import all_keys
from lalmesh.runtime.config._problem import Problem
from lalmesh.runtime.config._sources import Entry, Found

MAX_SECRET_BYTES = 4096  #: one line of text; more is the wrong file


def from_secret_files(entries: Mapping[str, Entry]) -> Iterator[Found]:
    """The secrets whose files `entries` name, by the paths of their keys."""
    for key in all_keys().values():
        named = entries.get(f"{key.path}_file") if key.secret else None
        if named is None or not isinstance(named.value, str) or not named.value:
            continue
        direct = entries.get(key.path)
        if direct is not None and direct.value:
            yield Problem(key.path, f"given twice, here and as {named.path}", direct.source)
        else:
            yield _read(key.path, named, named.value)


def _read(path: str, named: Entry, file_name: str) -> Found:
    try:
        with Path(file_name).open("rb") as file:
            text = file.read(MAX_SECRET_BYTES + 1).decode()
    except OSError as exc:
        return Problem(named.path, f"{file_name} cannot be read: {exc.strerror}", named.source)
    except ValueError:  # not UTF-8, or a zero byte in the name
        return Problem(named.path, f"{file_name!r} is not a file of UTF-8 text", named.source)
    secret = text.strip()
    if not secret or len(text) > MAX_SECRET_BYTES:
        return Problem(named.path, f"{file_name} is empty or larger than {MAX_SECRET_BYTES} bytes", named.source)
    return Entry(path, secret, named.path)
