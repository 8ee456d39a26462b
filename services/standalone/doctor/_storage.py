"""Whether shared storage can be written, listed, read and emptied, and has room."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from pathlib import Path

from lalmesh.errors import LalmeshError
from lalmesh.runtime.config import Config
from lalmesh.runtime.storage import Storage, open_storage
from services.standalone.doctor._finding import Finding, failed, ok, warning
from services.standalone.doctor._place import Place
from services.standalone.doctor._threads import in_thread
from services.standalone.hls_settings import storage_options

FOLDER = "doctor"  #: of what is written
SAMPLE_BYTES = 256 << 10  #: a short segment
SLOW_MS = 1000.0  #: for one write of it: segments would wait for each other
LEAST_FREE = 0.05  #: of a disk
LEAST_FREE_BYTES = 1 << 30
GIB = 1 << 30


def judge_room(subject: str, free_bytes: int, total_bytes: int) -> Finding:
    """Whether a disk has room."""
    words = f"{free_bytes / GIB:.1f} of {total_bytes / GIB:.1f} GiB free"
    if free_bytes < min(LEAST_FREE_BYTES, total_bytes * LEAST_FREE):
        return failed(subject, words, "remove recordings, keep them shorter (hls.recording), or give it a larger disk")
    if free_bytes < max(LEAST_FREE_BYTES, total_bytes * LEAST_FREE):
        return warning(subject, words, "remove recordings, keep them shorter (hls.recording), or give it a larger disk")
    return ok(subject, words)


def judge_failure(subject: str, step: str, said: str) -> Finding:
    """What to do about what the storage says."""
    lower = said.lower()
    if "nosuchbucket" in lower:
        remedy = "make the bucket, or mend its name in hls.storage.url"
    elif any(word in lower for word in ("accessdenied", "403", "forbidden", "invalidaccesskeyid", "signaturedoesnotmatch")):
        remedy = "mend hls.storage.access_key_id and its secret, and let it list, read, write and delete in the bucket"
    elif "permission" in lower:
        remedy = "give the folder to the user that the node runs as"
    elif "no space" in lower or "read-only" in lower:
        remedy = "a disk with room that can be written"
    else:
        remedy = "see docs/runbooks/storage-failing.md"
    return failed(subject, f"{step} fails: {said}", remedy)


def without_secrets(url: str) -> str:
    """A URL without query and credentials."""
    scheme, separator, rest = url.partition("?")[0].partition("://")
    where, slash, path = rest.partition("/")
    return f"{scheme}://{where.rpartition('@')[2]}{slash}{path}" if separator else scheme


async def check_storage(place: Place) -> list[Finding]:
    """Storage does what an hls node asks of it, and disks have room."""
    config = place.config
    if not place.has("hls"):
        return []
    url = config.hls.storage.url
    shown = without_secrets(url)
    found = await in_thread(_spool, Path(config.hls.recording.spool_dir))
    if url.startswith("memory:"):
        return [*found, ok(shown, "in the memory of this process, nothing outlives it")]
    folder = _folder(url)
    if folder is not None and not await in_thread(folder.exists):
        return [*found, await in_thread(_can_be_made, "hls.storage.url", folder)]
    found.append(await _use(config, url, shown))
    if folder is not None:
        found.append(await in_thread(_room, "hls.storage.url", folder))
    return found


def _folder(url: str) -> Path | None:
    """The folder that a URL names."""
    if "://" not in url:
        return Path(url)
    return Path(url.removeprefix("file://")) if url.startswith("file://") else None


def _spool(folder: Path) -> list[Finding]:
    key = "hls.recording.spool_dir"
    if not folder.exists():
        return [_can_be_made(key, folder)]
    if not os.access(folder, os.W_OK | os.X_OK):
        return [failed(key, f"{folder} cannot be written", "give it to the user that the node runs as")]
    return [_room(key, folder)]


def _can_be_made(key: str, folder: Path) -> Finding:
    above = next(each for each in folder.absolute().parents if each.exists())
    if os.access(above, os.W_OK | os.X_OK):
        return ok(key, f"{folder} is made when it is first needed")
    return failed(
        key, f"{folder} cannot be made: {above} cannot be written", "make it, and give it to the user that the node runs as"
    )


def _room(key: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    return judge_room(key, usage.free, usage.total)


async def _use(config: Config, url: str, shown: str) -> Finding:
    path, data = f"{FOLDER}/{secrets.token_hex(8)}", os.urandom(SAMPLE_BYTES)
    step = "opening it"
    storage: Storage | None = None
    try:
        storage = open_storage(url, storage_options(config))
        step, began = "writing", time.perf_counter()
        await storage.put(path, data)
        wrote_ms = (time.perf_counter() - began) * 1000
        step = "listing"
        listed = [each.path for each in await storage.list(FOLDER)]
        step = "reading"
        back = await storage.get(path)
        step = "deleting"
        await storage.delete([path])
    except LalmeshError as error:
        return judge_failure(shown, step, str(error))
    if path not in listed or back != data:
        return failed(shown, "what was written is not there, or is something else", "look for a cache or a broken mount in between")
    words = f"written in {wrote_ms:.0f} ms, listed, read and deleted"
    if wrote_ms > SLOW_MS:
        return warning(shown, words, "segments have to be stored faster than they are made: a nearer or faster store")
    return ok(shown, words)
