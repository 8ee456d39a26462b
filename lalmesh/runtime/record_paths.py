"""Paths of recordings: ``/record/APP/NAME/FILE``, and with no file the list of a stream's, or of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from lalmesh.errors import InvalidName
from lalmesh.names import ANY_APP, StreamKey

RECORDINGS: Final = "/record/"


@dataclass(slots=True, frozen=True)
class RecordPath:
    """What is asked for."""

    stream: StreamKey | None  #: None: all
    file: str  #: empty: a list


def parse_record_path(raw_path: str, *, match_app: bool) -> RecordPath:
    """The recordings at a path as it was sent, percent-encoded; without `match_app` its application means nothing.

    Raises:
        InvalidName: there can be none.
    """
    if not raw_path.startswith(RECORDINGS):
        raise InvalidName("path of no recordings")
    try:
        *folders, file = [unquote(part, errors="strict") for part in raw_path.removeprefix(RECORDINGS).split("/")]
    except UnicodeDecodeError:
        raise InvalidName("path that is not UTF-8") from None
    if not folders and not file:
        return RecordPath(None, "")
    stream = StreamKey.of("/".join(folders[:-1]), folders[-1] if folders else "")
    return RecordPath(stream if match_app else StreamKey(ANY_APP, stream.name), file)
