"""What becomes of stored segments that nobody needs any more.

Markers and states stay, a few hundred bytes a stream: they are why numbers never go back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from lalmesh.errors import InvalidName, RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import parse_file_name
from lalmesh.runtime.ownership import Epoch
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
    if path.count("/") != 3:  # hls/APP/NAME/file
        return False
    try:
        name = parse_file_name(path.rpartition("/")[2])
    except RemoteProtocolError:
        return False
    return (name.term, name.revision) <= until


async def sweep(storage: Storage, useful_s: float) -> int:
    """Remove the files of every stream whose last worker has stored nothing for long enough. Gives how many were removed.

    All that is stored is looked at, in threads: there may be very much.

    Args:
        storage: to be swept.
        useful_s: for how long segments are of use after they were stored.

    Raises:
        StorageUnavailable: not all was looked at.
    """
    before_us = time.time_ns() // 1000 - round((useful_s + SETTLED_S) * _US)
    newest: dict[StreamKey, tuple[int, Epoch]] = {}
    async for page in list_pages(storage, layout.ROOT):
        await asyncio.to_thread(_note_newest, newest, page)
    removed = 0
    for stream, (modified_us, epoch) in newest.items():
        if modified_us < before_us:
            removed += await remove_files(storage, stream, epoch)
    return removed


def _note_newest(newest: dict[StreamKey, tuple[int, Epoch]], page: Sequence[StoredObject]) -> None:
    """Note when something was stored of each stream last, and under which epoch."""
    for found in page:
        stream = _stream_of(found.path)
        if stream is not None:
            modified_us, epoch = newest.get(stream, (0, Epoch(0, 0)))
            newest[stream] = (max(modified_us, found.modified_us), max(epoch, _epoch_of(found.path)))


def _stream_of(path: str) -> StreamKey | None:
    try:
        return layout.stream_of(path)
    except InvalidName:
        return None


def _epoch_of(path: str) -> Epoch:
    try:
        name = parse_file_name(path.rpartition("/")[2])
        return Epoch(name.term, name.revision)
    except RemoteProtocolError:
        return layout.epoch_in(path) or Epoch(0, 0)


async def keep_sweeping(storage: Storage, useful_s: float) -> None:
    """Sweep now and from time to time."""
    while True:
        try:
            removed = await sweep(storage, useful_s)
            if removed:
                log.info("removed %d files of streams that nobody segments", removed)
        except StorageUnavailable as error:
            log.warning("storage not swept: %s", error)
        except Exception:  # a bug of ours must not have storage grow without end
            log.exception("storage not swept")
        await asyncio.sleep(SWEEP_S)
