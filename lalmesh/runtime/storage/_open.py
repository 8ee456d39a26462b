"""From a URL to a storage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import MemoryStore, S3Store

from lalmesh.errors import UnsupportedError
from lalmesh.runtime.storage._folder import FolderStorage
from lalmesh.runtime.storage._interface import Storage, StorageUnavailable
from lalmesh.runtime.storage._objects import PART_BYTES, PARTS_AT_ONCE, RETRY_AFTER_S, ObjectStorage

if TYPE_CHECKING:
    from obstore.store import S3Config


@dataclass(slots=True, frozen=True, kw_only=True)
class StorageOptions:
    """What a URL does not say. What is empty comes from the environment (``AWS_*``) or the machine's role."""

    endpoint: str = ""  #: URL of an S3-compatible store, such as ``http://minio:9000``; buckets are parts of its path
    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    deadline_s: float = 10.0  #: of each call; a file's has the time on top that it needs at `slowest_bytes_per_s`
    slowest_bytes_per_s: int = 1 << 20  #: a store that takes less is as good as away


def open_storage(url: str, options: StorageOptions | None = None) -> Storage:
    """The storage at `url`: ``file:///folder`` or just its path (made if absent), ``s3://bucket/prefix``, or ``memory://``.

    Opening S3 asks nobody: a bucket that does not exist shows at the first call.

    Raises:
        UnsupportedError: another kind of URL.
        StorageUnavailable: the folder cannot be made.
    """
    options = options or StorageOptions()
    parts = urlsplit(url)
    match parts.scheme:
        case "memory":
            return ObjectStorage(MemoryStore(), options.deadline_s, options.slowest_bytes_per_s)
        case "s3":
            store = _s3(parts.netloc, unquote(parts.path).strip("/"), options)
            return ObjectStorage(store, options.deadline_s, options.slowest_bytes_per_s, lists_in_order=True)
        case "file":
            return _folder(unquote(parts.path), options)
        case "":
            return _folder(url, options)
        case _:
            raise UnsupportedError(f"storage {parts.scheme}://")


def _folder(path: str, options: StorageOptions) -> Storage:
    folder = Path(path).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FolderStorage(folder, options.deadline_s, options.slowest_bytes_per_s)
    except (OSError, BaseError) as error:
        raise StorageUnavailable(f"storage folder {folder}: {error}", retry_after_s=RETRY_AFTER_S) from error


def _s3(bucket: str, prefix: str, options: StorageOptions) -> S3Store:
    config: S3Config = {}
    if options.endpoint:
        config["endpoint"] = options.endpoint
    if options.region:
        config["region"] = options.region
    if options.access_key_id:
        config["access_key_id"] = options.access_key_id
        config["secret_access_key"] = options.secret_access_key
    part_s = PARTS_AT_ONCE * PART_BYTES / options.slowest_bytes_per_s  # they share the line
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={
            "allow_http": options.endpoint.startswith("http:"),
            "timeout": timedelta(seconds=options.deadline_s + part_s),
        },
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=options.deadline_s)},
    )
