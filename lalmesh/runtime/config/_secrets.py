"""Secrets that stand in files of their own: ``cluster.key_file`` gives ``cluster.key``, ``publish_users_file`` many passwords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lalmesh.runtime.config._keys import all_keys
from lalmesh.runtime.config._problem import Problem
from lalmesh.runtime.config._sources import Entry, Found

MAX_SECRET_BYTES = 4096  #: one line of text; more is the wrong file
MAX_USERS_BYTES = 1 << 20  #: some 40,000 users with their passwords


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
    max_bytes = MAX_USERS_BYTES if path.endswith(("_users", "signed.keys")) else MAX_SECRET_BYTES
    try:
        with Path(file_name).open("rb") as file:
            data = file.read(max_bytes + 1)
        secret = data.decode().strip()
    except OSError as exc:
        return Problem(named.path, f"{file_name} cannot be read: {exc.strerror}", named.source)
    except ValueError:  # not UTF-8, or a zero byte in the name
        return Problem(named.path, f"{file_name!r} is not a file of UTF-8 text", named.source)
    if not secret or len(data) > max_bytes:
        return Problem(named.path, f"{file_name} is empty or larger than {max_bytes} bytes", named.source)
    return Entry(path, secret, named.path)
