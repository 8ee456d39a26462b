"""Stream names: ``app/name``, what is allowed in them, and how they are written in keys and paths (docs/design.md §6)."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from lalmesh.errors import InvalidName

MAX_PART_BYTES = 255  #: UTF-8 bytes of one part; file systems allow no more
ANY_APP = "-"  #: the application of every stream where applications are ignored (`cluster.match_app`)
MAX_APP_PARTS = 8  #: parts of an application name: deeper trees have no use and would make keys long

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")  # schedulers check tens of thousands of names a second
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*/[A-Za-z0-9_.~-]*").fullmatch


class StreamKey(NamedTuple):
    """The name that a stream is known by. Build it with `StreamKey.of` or `StreamKey.parse`, which check it."""

    app: str  #: one part or several, joined with ``/``
    name: str  #: the last part

    @classmethod
    def of(cls, app: str, name: str) -> StreamKey:
        """The checked key of `name` in `app`.

        Raises:
            InvalidName: a part is empty, ``.`` or ``..``, over 255 bytes, holds a control character or a slash, or was no UTF-8;
                or the application has more than `MAX_APP_PARTS` parts.
        """
        parts = app.split("/")
        if len(parts) > MAX_APP_PARTS:
            raise InvalidName(f"application name of {len(parts)} parts, limit {MAX_APP_PARTS}")
        for part in parts:
            _check_part(part, "application")
        if "/" in name:
            raise InvalidName("stream name with a slash")
        _check_part(name, "stream")
        return cls(app, name)

    @classmethod
    def parse(cls, path: str) -> StreamKey:
        """The checked key in `path`, ``app/name``: the name is the last part, the application all before it.

        Raises:
            InvalidName: as `of`; also where there is no application.
        """
        app, slash, name = path.strip("/").rpartition("/")
        if not slash:
            raise InvalidName("stream path without an application")
        return cls.of(app, name)

    def __str__(self) -> str:
        """``app/name``."""
        return f"{self.app}/{self.name}"

    def quoted(self) -> str:
        """``app/name`` with everything but letters, digits and ``-_.~`` percent-encoded, slashes of the application too.

        Safe as the tail of an etcd key and as a path: exactly one slash.
        """
        plain = f"{self.app}/{self.name}"  # what most are; schedulers ask tens of thousands of times a second
        return plain if _PLAIN(plain) else f"{quote(self.app, safe='')}/{quote(self.name, safe='')}"

    @classmethod
    def from_quoted(cls, text: str) -> StreamKey:
        """The reverse of `quoted`.

        Raises:
            InvalidName: as `of`.
        """
        app, _, name = text.partition("/")
        return cls.of(unquote(app), unquote(name))


def _check_part(part: str, what: str) -> None:
    if part in ("", ".", ".."):
        raise InvalidName(f"{what} name part {part!r} is not allowed")
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        raise InvalidName(f"{what} name is not UTF-8") from None
    if size > MAX_PART_BYTES:
        raise InvalidName(f"{what} name part of {size} bytes, limit {MAX_PART_BYTES}")
    if "\N{REPLACEMENT CHARACTER}" in part:
        raise InvalidName(f"{what} name that was not UTF-8")
    if _FORBIDDEN.search(part):
        raise InvalidName(f"{what} name with a control character or backslash")
