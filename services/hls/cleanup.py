"""What becomes of stored segments that nobody needs any more.

Markers and states, a few hundred bytes a stream, stay for longer: they are why numbers never go back. When a stream has brought
nothing for as long as the registry remembers its numbers, they go too. A worker that comes later begins by the clock, which is
above all numbers that were used.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lalmesh.errors import InvalidName, RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import parse_file_name
from lalmesh.runtime.ownership import NO_EPOCH, Epoch
from lalmesh.runtime.storage import Storage, StorageUnavailable, StoredObject, list_all, list_pages
from services.hls import layout

log = logging.getLogger(__name__)

SWEEP_S = 600.0  #: between two looks for what crashed processes left
SETTLED_S = 60.0  #: a stream of which nothing has been stored for so much longer than its segments are of use has no worker
_US = 1_000_000


async def remove_files(storage: Storage, stream: StreamKey, until: Epoch) -> int:
    """Remove the segments and initialization sections of `stream` that were written under `until` or a lower epoch.

    Nothing is removed where a worker of a higher epoch has begun: its playlist may list them, and it removes them.

    Returns:
        How many were removed.
    Raises:
        StorageUnavailable: some may be there still.
    """
    for of_workers in (layout.owner_folder(stream), layout.state_folder(stream)):
        epochs = [layout.epoch_in(found.path) for found in await storage.list(of_workers)]
        if any(epoch is not None and epoch > until for epoch in epochs):
            return 0
    paths = [found.path async for found in list_all(storage, layout.folder(stream)) if _is_file_until(found.path, until)]
    await storage.delete(paths)
    return len(paths)


def _is_file_until(path: str, until: Epoch) -> bool:
    epoch = _file_epoch(path)
    return epoch is not None and epoch <= until


async def _forget(storage: Storage, stream: StreamKey, until: Epoch) -> int:
    """Remove the markers and states of `until` and lower epochs. Gives how many were removed.

    A worker that goes on all the same is none the worse: its state comes again with its next segment, a successor puts a marker of
    its own, and limits are in the registry.

    Raises:
        StorageUnavailable: some may be there still.
    """
    paths = list[str]()
    for of_workers in (layout.owner_folder(stream), layout.state_folder(stream)):
        found = [stored.path for stored in await storage.list(of_workers)]
        paths += [path for path in found if (layout.epoch_in(path) or until) <= until]
    await storage.delete(paths)
    return len(paths)


@dataclass(slots=True)
class _Stored:
    """What is stored of a stream."""

    modified_us: int = 0  #: Unix time of the newest
    epoch: Epoch = NO_EPOCH  #: the highest
    has_files: bool = False  #: segments or initialization sections


async def sweep(storage: Storage, useful_s: float, remember_s: float) -> int:
    """Remove the files of every stream whose last worker has stored nothing for long enough. Gives how many were removed.

    All that is stored is looked at, in threads: there may be very much.

    Args:
        storage: to be swept.
        useful_s: for how long segments are of use after they were stored.
        remember_s: for how long it is remembered how far numbers went.

    Raises:
        StorageUnavailable: not all was looked at.
    """
    now_us, settled_s = time.time_ns() // 1000, useful_s + SETTLED_S
    useful_us = now_us - round(settled_s * _US)
    remembered_us = now_us - round(max(settled_s, remember_s) * _US)
    streams: dict[StreamKey, _Stored] = {}
    async for page in list_pages(storage, layout.ROOT):
        await asyncio.to_thread(_note, streams, page)
    removed = 0
    for stream, stored in streams.items():
        if stored.has_files and stored.modified_us < useful_us:
            removed += await remove_files(storage, stream, stored.epoch)
        if stored.modified_us < remembered_us:
            removed += await _forget(storage, stream, stored.epoch)
    return removed


def _note(streams: dict[StreamKey, _Stored], page: Sequence[StoredObject]) -> None:
    """Note what a page of a listing tells of each stream."""
    for found in page:
        stream = _stream_of(found.path)
        if stream is None:
            continue
        stored, name_epoch = streams.setdefault(stream, _Stored()), _file_epoch(found.path)
        stored.modified_us = max(stored.modified_us, found.modified_us)
        stored.epoch = max(stored.epoch, name_epoch or layout.epoch_in(found.path) or stored.epoch)
        stored.has_files = stored.has_files or name_epoch is not None


def _stream_of(path: str) -> StreamKey | None:
    try:
        return layout.stream_of(path)
    except InvalidName:
        return None


def _file_epoch(path: str) -> Epoch | None:
    """The epoch that the name of a segment or initialization section tells, None where `path` is something else."""
    if path.count("/") != 3:  # hls/APP/NAME/file
        return None
    try:
        name = parse_file_name(path.rpartition("/")[2])
    except RemoteProtocolError:
        return None
    return Epoch(name.term, name.revision)


async def keep_sweeping(storage: Storage, useful_s: float, remember_s: float) -> None:
    """Sweep now and from time to time."""
    while True:
        try:
            removed = await sweep(storage, useful_s, remember_s)
            if removed:
                log.info("removed %d files of streams that nobody segments", removed)
        except StorageUnavailable as error:
            log.warning("storage not swept: %s", error)
        except Exception:  # a bug of ours must not have storage grow without end
            log.exception("storage not swept")
        await asyncio.sleep(SWEEP_S)
