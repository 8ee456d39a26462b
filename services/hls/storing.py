"""What a worker hands to storage: each segment when it is whole, with the state that a successor needs, and what may go for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from lalmesh.errors import RemoteProtocolError
from lalmesh.media import TrackSet
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.reader import ReaderMemory
from lalmesh.runtime.storage import StorageUnavailable
from services.hls.cuts import SegmentClosed, configuration_of
from services.hls.hosting import Cleanup, WorkerHost
from services.hls.kept import KeptName, kept_path
from services.hls.layout import StoredState
from services.hls.output import Output
from services.hls.recorded import WorkerRecording
from services.hls.rendition import Format, MadeFile
from services.hls.store import Job, StorageWriter, read_state_below

log = logging.getLogger(__name__)

#: for storage to tell how far the worker before has come; after it live begins without. Shorter where the registry knows of none
STATE_WAIT_S = 2.0
PREDECESSOR_WAIT_S = 5.0  #: players have three segments, of 3 s or more, and the worker before has been dead for about 3 s


class Storing:
    """One worker's way to storage."""

    def __init__(
        self,
        host: WorkerHost,
        stream: StreamKey,
        epoch: Epoch,
        output: Output,
        recording: WorkerRecording | None,
        stored: Callable[[int], None],
        outdated: Callable[[Epoch], None],
    ) -> None:
        """Store what `output` makes, and once more what `recording` keeps.

        Args:
            host: the node, with its storage and settings.
            stream: whose segments.
            epoch: of the worker.
            output: what it makes.
            recording: what is recorded of it.
            stored: hears of each number that is stored.
            outdated: hears of the epoch under which another worker has the stream.
        """
        self._storage = host.storage
        self._settings = host.settings
        self._counters = host.store_counters
        self._stream = stream
        self._epoch = epoch
        self._output = output
        self._recording = recording
        self._writer = StorageWriter(host.storage, stream, epoch, host.store_counters, stored, outdated)
        self._last: StoredState | None = None  # after the last whole segment
        self._outdated: list[str] = []  # stored files that left the playlists, the oldest first
        self._facts = {"stream_key": str(stream)}

    @property
    def waiting(self) -> int:
        """Segments that are not stored yet."""
        return self._writer.waiting

    async def run(self) -> None:
        """Store, until another worker has the stream."""
        await self._writer.run()

    async def begin(self, wait_s: float) -> tuple[StoredState | None, bool]:
        """Mark the stream as this worker's, and read how far the worker before has come: in this order, see `store.py`.

        Returns:
            The state, None where there is none; and whether that is known: storage may fail, not answer for `wait_s`, or hold one
            that another version wrote.
        """
        try:
            async with asyncio.timeout(wait_s):
                await self._writer.mark()
                state = await read_state_below(self._storage, self._stream, self._epoch)
        except (StorageUnavailable, RemoteProtocolError, TimeoutError) as error:
            self._counters.failures += 1
            reason = str(error) or f"no answer in {wait_s:g} s"
            log.warning("nothing is known of what was stored: %s", reason, extra=self._facts)
            return None, False
        if state is not None:
            self._outdated = [*state.outdated]
        return state, True

    async def look(self) -> None:
        """Look for another worker's marker, without waiting for the next segment."""
        await self._writer.look()

    async def emptied(self) -> None:
        """Wait until nothing waits."""
        await self._writer.emptied()

    def give_up(self, number: int) -> None:
        """The files of a segment that waits are gone."""
        self._writer.give_up(number)

    def add(self, closed: SegmentClosed, tracks: TrackSet, memory: ReaderMemory) -> None:
        """Store the segment that `closed`, of `tracks`, by all renditions; `memory` is the reader's, at its last unit."""
        targets = self._output.targets
        assert targets is not None  # fixed before the first segment
        going = self._outdated_files()
        self._last = StoredState(
            next_number=closed.number + 1,
            targets=targets.targets,
            end=closed.end,
            end_us=closed.end_us,
            stored_us=time.time_ns() // 1000,
            configuration=configuration_of(tracks),
            memory=memory,
            renditions=self._output.to_state(),
            outdated=(*going, *self._outdated),  # the first ones go after this is stored
        )
        self._hand_over(self._last, going)

    def add_late(self) -> None:
        """Store the segments of the past that a new rendition has made, and that there is one."""
        if self._last is not None:
            self._last = replace(self._last, renditions=self._output.to_state())
            self._hand_over(self._last, [])

    def add_end(self) -> None:
        """Have it stored that the stream is over."""
        if self._last is not None:
            now_us = time.time_ns() // 1000  # the last segment may be of long ago: its publisher could have come back
            self._hand_over(replace(self._last, ended=True, stored_us=now_us, renditions=self._output.to_state()), [])

    def add_left(self) -> None:
        """Have it stored that the stream is left because nobody asks for it."""
        if self._last is not None:
            self._last = replace(self._last, left=True, renditions=self._output.to_state())
            self._hand_over(self._last, [])

    def _hand_over(self, state: StoredState, outdated: list[str]) -> None:
        files = self._output.take_unstored()
        self._writer.add(Job(state.next_number - 1, files, state.serialize(), outdated, self._kept(files)))

    def _kept(self, files: list[MadeFile]) -> dict[str, bytes]:
        """What is stored once more of the new `files`, by path, where segments are recorded."""
        playlist = self._output.whole_playlist(Format.TS)
        if self._recording is None or not self._recording.keeps_segments or playlist is None:
            return {}
        data = {file.name: file.data for file in files}
        segments = [segment for segment in playlist.segments if segment.uri in data]
        names = [KeptName.of(segment, playlist.target_duration_s, self._epoch) for segment in segments]
        return {kept_path(self._stream, str(name)): data[segment.uri] for name, segment in zip(names, segments, strict=True)}

    def _outdated_files(self) -> list[str]:
        """The stored files that may go: those that left the playlists long enough ago."""
        self._outdated += self._output.take_dropped()
        if self._settings.cleanup is not Cleanup.ROLLING:
            self._outdated.clear()
            return []
        keep = self._settings.delete_threshold * max(1, len(self._output.renditions))
        going, self._outdated = self._outdated[: -keep or None], self._outdated[-keep:]
        return going
