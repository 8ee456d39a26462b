"""What this node answers for any stream: from its own worker, from storage, or from the worker's node (docs/design.md §6)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, assert_never
from urllib.parse import parse_qsl

from lalmesh.errors import InvalidName, LalmeshError, NotAuthorized, RemoteProtocolError, Unavailable
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import (
    FileName,
    HlsPath,
    InitName,
    PartName,
    PlaylistName,
    PlaylistWindow,
    ReloadRequest,
    SegmentName,
    kept_query,
    parse_path,
    parse_reload,
    render_media,
)
from lalmesh.runtime.ownership import HlsOwner
from lalmesh.runtime.sessions import codecs_of
from lalmesh.runtime.storage import Storage
from services.hls import layout
from services.hls.answer import Answer, file_answer, refusal, unavailable, with_codecs
from services.hls.cleanup import SETTLED_S
from services.hls.hosting import Cleanup
from services.hls.kept import KeptSegments
from services.hls.layout import StoredState
from services.hls.naming import StreamNames
from services.hls.owners import Owners
from services.hls.playlists import live_answer
from services.hls.rendition import Format
from services.hls.store import read_state
from services.hls.waits import ANSWER_S, waiting_answer_s
from services.hls.worker import Worker
from services.hls.workers import Workers

log = logging.getLogger(__name__)

PROMPT_S = 1.0  #: for storage to give a file before its owner is asked too: what is new is in memory there
SUCCESSION_S = 3.0  #: that a request waits where the owner has died: the scheduler names another after a good second
SUCCESSION_PAUSE_S = 0.2
MAX_QUERY_FIELDS = 100  #: parameters of one request
_US = 1_000_000


class OwnerLost(Unavailable):
    """The node that segments the stream did not answer, or says that it is another."""


class Peers(Protocol):
    """The other hls nodes."""

    async def fetch(self, owner: HlsOwner, path: str, query: str, deadline_s: float) -> Answer:
        """What `owner`'s node answers.

        Raises:
            OwnerLost: it cannot be reached, does not answer in `deadline_s`, or is not the owner.
        """
        ...


class HlsService:
    """Answers for every stream of the cluster."""

    def __init__(self, workers: Workers, storage: Storage, peers: Peers, keys: tuple[bytes, ...], names: StreamNames) -> None:
        """Answer.

        Args:
            workers: of this node.
            storage: of all nodes.
            peers: the other nodes.
            keys: of the cluster, that assignments may be signed with.
            names: tells which stream a URL names.
        """
        self._workers = workers
        self._storage = storage
        self._kept = KeptSegments(storage)
        self._peers = peers
        self._keys = keys
        self._names = names
        self._owners = Owners(workers)
        self._waiting_answer_s = waiting_answer_s(workers.settings.wait_s, workers.settings.cuts.max_target_s)

    async def answer(self, path: str, query: str) -> Answer:
        """The answer to a GET of `path` with `query`, both percent-encoded as they came. Never raises."""
        try:
            found, stream = await self._names.resolve(path)
            reload = parse_reload(dict(parse_qsl(query, max_num_fields=MAX_QUERY_FIELDS)))
            return await self._answer(found, stream, reload, path, query)
        except InvalidName as error:
            return refusal(400, str(error))
        except RemoteProtocolError as error:
            return refusal(400 if error.section else 404, error.reason)
        except Unavailable as error:
            return unavailable(error)
        except ValueError:
            return refusal(400, "too many parameters")

    async def answer_as_owner(self, owner: HlsOwner, path: str, query: str) -> Answer | None:
        """The same for another node, which was told that this one is the owner; None where it is not.

        Raises:
            NotAuthorized: the assignment is not signed.
        """
        owner.verify(self._keys)
        if owner.worker.node != self._workers.node.node:
            raise NotAuthorized("the assignment is for another node or another start of this one")
        try:
            await self._workers.let_go(owner.stream)
            worker = self._workers.assigned(owner)
            if worker is None:
                return None
            found = parse_path(path)
            reload = parse_reload(dict(parse_qsl(query, max_num_fields=MAX_QUERY_FIELDS)))
            return await self._from_worker(worker, found, reload, query) or refusal(404, "no such file")
        except (InvalidName, RemoteProtocolError, ValueError) as error:
            return refusal(400, str(error))
        except Unavailable as error:  # storage is, or the scheduler; this node is the owner all the same
            return refusal(503, str(error))

    async def _answer(self, found: HlsPath, stream: StreamKey, reload: ReloadRequest, path: str, query: str) -> Answer:
        if found.resource is PlaylistName.RECORD:
            return await self._kept.answer(found, stream, query)
        await self._workers.let_go(stream)
        worker = self._workers.get(stream)
        if worker is not None:
            answer = await self._from_worker(worker, found, reload, query)
            if answer is not None:
                return answer
        if isinstance(found.resource, PlaylistName):
            return await self._from_owner(found, stream, reload, path, query)
        if worker is not None:
            return await self._stored_file(stream, found.resource) or refusal(404, "no such file")
        return await self._file(stream, found.resource, lambda: self._from_owner(found, stream, reload, path, query))

    async def _file(self, stream: StreamKey, name: FileName, ask_owner: Callable[[], Awaitable[Answer]]) -> Answer:
        """A file from storage; from its owner's memory where it is not stored yet, or storage fails or hangs."""
        reading = asyncio.ensure_future(self._stored_file(stream, name))
        try:
            await asyncio.wait([reading], timeout=PROMPT_S)
            is_known = reading.done() and reading.exception() is None
            stored = reading.result() if is_known else None
            if stored is not None:
                return stored
            try:
                answer = await ask_owner()
            except Unavailable as error:
                answer = unavailable(error)
            return answer if is_known or answer.status == 200 else await reading or answer
        finally:
            reading.cancel()  # asyncio does not miss its error then either, if it failed after the owner was asked

    async def _from_worker(self, worker: Worker, found: HlsPath, reload: ReloadRequest, query: str) -> Answer | None:
        if isinstance(found.resource, PlaylistName):
            playlist = await worker.playing.playlist(found.resource, reload, kept_query(query), found.folder(worker.stream))
            return with_codecs(playlist, codecs_of(worker.tracks), worker.publication)
        return await worker.playing.file(found.resource)

    async def _stored_file(self, stream: StreamKey, name: FileName) -> Answer | None:
        if isinstance(name, PartName):
            return None
        data = await self._storage.get(layout.file_path(stream, str(name)))
        return None if data is None else file_answer(name, data)

    # the owner

    async def _from_owner(self, found: HlsPath, stream: StreamKey, reload: ReloadRequest, path: str, query: str) -> Answer:
        owner = await self._owners.find(stream)
        clock, end_s = asyncio.get_running_loop().time, float("inf")
        while True:
            if owner is None:
                return await self._from_the_past(found, stream, reload, query)
            if not _may_have(owner, found):
                return refusal(404, "no such file")
            try:
                return await self._ask(owner, found, reload, path, query)
            except OwnerLost as error:
                log.info("owner of the segments lost: %s", error, extra={"stream_key": str(stream)})
                end_s = min(end_s, clock() + SUCCESSION_S)
                successor = await self._owners.find_after(owner)
                if successor is not None and successor.epoch == owner.epoch:  # it is not given up yet
                    if clock() > end_s:
                        return refusal(503, "the owner of the stream cannot be reached")
                    await asyncio.sleep(SUCCESSION_PAUSE_S)
                owner = successor

    async def _ask(self, owner: HlsOwner, found: HlsPath, reload: ReloadRequest, path: str, query: str) -> Answer:
        """What the owner answers.

        Raises:
            OwnerLost: it does not.
        """
        if owner.worker.node != self._workers.node.node:
            return await self._fetched(owner, found, path, query)
        worker = self._workers.assigned(owner)
        if worker is None:
            raise OwnerLost("given back already", retry_after_s=1.0)
        return await self._from_worker(worker, found, reload, query) or refusal(404, "no such file")

    async def _fetched(self, owner: HlsOwner, found: HlsPath, path: str, query: str) -> Answer:
        """What the owner's node answers; a machine that has vanished says nothing, so its successor is looked for meanwhile.

        Raises:
            OwnerLost: it does not answer, or another is the owner by now.
        """
        deadline_s = ANSWER_S if isinstance(found.resource, SegmentName | InitName) else self._waiting_answer_s
        fetching = asyncio.ensure_future(self._peers.fetch(owner, path, query, deadline_s))
        succeeded = asyncio.ensure_future(self._owners.succeeded(owner))
        try:
            await asyncio.wait([fetching, succeeded], return_when=asyncio.FIRST_COMPLETED)
            if fetching.done():
                return fetching.result()
            raise OwnerLost(f"{owner.worker.node.name} has a successor", retry_after_s=1.0)
        finally:
            fetching.cancel()
            succeeded.cancel()

    def learn_owner(self, owner: HlsOwner) -> None:
        """The scheduler says that `owner` segments its stream now, whoever was remembered."""
        self._owners.learn(owner)

    # streams that are over

    async def _from_the_past(self, found: HlsPath, stream: StreamKey, reload: ReloadRequest, query: str) -> Answer:
        """A stream that nobody publishes: its last playlist for as long as its segments are there."""
        over = self._workers.over(stream)
        if over is not None:
            return await self._from_worker(over, found, reload, query) or refusal(404, "no such file")
        if isinstance(found.resource, PlaylistName):
            state = await read_state(self._storage, stream)
            if state is not None and self._is_kept(state):
                answer = _ended_playlist(state, found, stream, query)
                if answer is not None:
                    return answer
        return refusal(404, f"{stream}: nobody publishes it")

    def _is_kept(self, state: StoredState) -> bool:
        """Whether a stream is over, and its segments are kept still: its state stays when they go.

        One whose worker died with its publisher has not been ended by anybody. Once no worker would go on with it, it is over.
        """
        settings = self._workers.settings
        age_s = (time.time_ns() // 1000 - state.stored_us) / _US
        kept_s = settings.linger_s if state.ended else settings.useful_s + SETTLED_S
        is_over = state.ended or age_s > settings.resumable_s
        return is_over and (settings.cleanup is Cleanup.NEVER or age_s < kept_s)


def _may_have(owner: HlsOwner, found: HlsPath) -> bool:
    """Whether the owner can have what storage has not: what it made itself, or makes again for the worker before."""
    match found.resource:
        case PlaylistName() | PartName():
            return True
        case SegmentName(term, revision):
            return (term, revision) <= owner.epoch
        case InitName(term, revision):
            return (term, revision) == owner.epoch
        case _:
            assert_never(found.resource)


def _ended_playlist(state: StoredState, found: HlsPath, stream: StreamKey, query: str) -> Answer | None:
    kind = Format.TS if found.resource is PlaylistName.PLAYLIST else Format.FMP4
    try:
        window = PlaylistWindow.from_state(state.renditions[kind.value]["window"])
        if not window.playlist.ended:
            window.end()
    except (LalmeshError, KeyError, TypeError):
        return None
    text = render_media(window.playlist, query=kept_query(query), base=found.folder(stream))
    return live_answer(window.playlist, text, blocked=False)
