"""Streams by name alone, as URLs have them that leave the application out."""

from __future__ import annotations

from lalmesh.names import StreamKey
from lalmesh.runtime.scheduling.hls import NamedStreams
from services.scheduler.changes import Change, ClaimChanged, GroupChanged
from services.scheduler.directory import Directory

MAX_FOUND = 16  #: streams that one name is answered with: whoever asks wants the only one, and is told of some others


class StreamNames:
    """Which applications have a stream of a name. Kept up to date by `handle`."""

    def __init__(self, directory: Directory) -> None:
        """Know the streams of `directory`."""
        self._directory = directory
        self._by_name: dict[str, set[StreamKey]] = {}

    def handle(self, change: Change) -> None:
        """Take in that a claim or a group has come or gone."""
        if not isinstance(change, ClaimChanged | GroupChanged):
            return
        for record in (change.before, change.now):
            if record is not None:
                self._note(record.stream)

    def _note(self, stream: StreamKey) -> None:
        streams = self._by_name.setdefault(stream.name, set())
        if self._directory.is_published(stream):
            streams.add(stream)
        else:
            streams.discard(stream)
        if not streams:
            del self._by_name[stream.name]

    def find(self, name: str) -> NamedStreams:
        """The streams that are called `name`, sorted; at most `MAX_FOUND`."""
        found = sorted(self._by_name.get(name, ()))[:MAX_FOUND]
        return NamedStreams(tuple(found), None if found else self._directory.relaying.meant(name))
