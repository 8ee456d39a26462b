"""Streams as lal's API is asked for them: by name, which the application is no part of."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from lalmesh.errors import InvalidName
from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.asked_once import AskedOnce
from lalmesh.runtime.scheduling.model import MAX_ITEMS
from lalmesh.runtime.sessions import ALL, MAX_PAGE, Session, SessionDirectory, SessionFilter
from services.scheduler.lal_api._errors import GROUP_NOT_FOUND, PARAM_MISSING, LalError
from services.scheduler.lal_api._models import GroupList, GroupsReply, StatGroup
from services.scheduler.lal_api._objects import AT_ONCE, stat_group
from services.scheduler.peers import Peers
from services.scheduler.service import SchedulerService

MAX_GROUPS = 10_000  #: of one answer, which has no pages: some 10 MB; /v1/streams has them
MAX_SESSIONS = 20_000  #: of one answer, which is written in one go: 50 ms
SESSIONS_S = 5.0  #: for the session directory to give them
REMEMBERED_S = 1.0  #: that the answer of all streams is given again


class Groups:
    """The streams of the cluster."""

    def __init__(self, service: SchedulerService, peers: Peers, sessions: SessionDirectory, *, match_app: bool = True) -> None:
        """Look into `service`, what nodes report to its `peers`, and `sessions`; without `match_app` applications mean nothing."""
        self.match_app = match_app
        self._service = service
        self._peers = peers
        self._sessions = sessions
        self._asked = AskedOnce(self._show)  # however many ask at the same time
        self._all: list[StatGroup] = []
        self._all_until_s = 0.0
        self._written = AskedOnce(self._write)
        self._text: tuple[list[StatGroup], bytes] | None = None  # the answer of all streams, as it is sent, and what it is of
        self._describing = asyncio.Lock()  # however many streams are asked for, some sessions of one have their turn

    async def named(self, name: str, app: str = "") -> list[StreamKey]:
        """The streams that are meant, by application and name: one with its application is itself, whether it is there or not.

        Raises:
            LalError: nothing is named, or what cannot be.
        """
        if not name:
            raise LalError(PARAM_MISSING, "param missing: stream_name")
        path = f"{app}/{name}" if app else name
        try:
            if not self.match_app:
                return [StreamKey.of(ANY_APP, path.rpartition("/")[2])]
            return [StreamKey.parse(path)] if "/" in path else await self._by_name(name)
        except InvalidName as exc:
            raise LalError(GROUP_NOT_FOUND, f"group not found: {exc}") from exc

    async def one(self, name: str, app: str = "") -> StreamKey:
        """The stream that is meant, and is there.

        Raises:
            LalError: none is, or several applications have one of that name.
            Unavailable: it is not known yet.
        """
        found = [stream for stream in await self.named(name, app) if self.has(stream)]
        if not found:
            raise LalError(GROUP_NOT_FOUND, "group not found")
        if len(found) > 1:
            raise LalError(PARAM_MISSING, f"param missing: app_name, one of {', '.join(stream.app for stream in found)}")
        return found[0]

    async def _by_name(self, name: str) -> list[StreamKey]:
        return list((await self._service.find_streams([name], SESSIONS_S))[0].streams)

    def has(self, stream: StreamKey) -> bool:
        """Whether the stream is there."""
        return self._service.directory.is_published(stream)

    async def show(self, stream: StreamKey) -> StatGroup:
        """One stream.

        Raises:
            Unavailable: the session directory does not answer.
        """
        return (await self._asked.get(stream))[0]

    async def show_all(self) -> list[StatGroup]:
        """All streams, at most `MAX_GROUPS`, as they are or were less than `REMEMBERED_S` ago.

        Raises:
            Unavailable: the session directory does not answer.
        """
        if asyncio.get_running_loop().time() >= self._all_until_s:
            await self._asked.get(None)
        return self._all

    async def written_all(self) -> bytes:
        """What `show_all` gives, as it is sent: it is written once, and what else there is to do is done meanwhile.

        Raises:
            Unavailable: the session directory does not answer.
        """
        return await self._written.get(None)

    async def _write(self, _: None) -> bytes:
        groups = await self.show_all()
        if self._text is None or self._text[0] is not groups:
            self._text = groups, await _written(groups)
        return self._text[1]

    async def _show(self, stream: StreamKey | None) -> list[StatGroup]:
        """One stream, or all of them."""
        if stream is not None:
            return await self._described([stream], await self.sessions(SessionFilter(stream=stream)))
        streams = sorted(self._service.directory.streams())[:MAX_GROUPS]
        self._all = await self._described(streams, await self.sessions(ALL)) if streams else []
        self._all_until_s = asyncio.get_running_loop().time() + REMEMBERED_S
        return self._all

    async def sessions(self, wanted: SessionFilter) -> list[Session]:
        """Those that are wanted, at most `MAX_SESSIONS`; what else there is to do is done between pages."""
        found: list[Session] = []
        cursor = ""
        async with asyncio.timeout(SESSIONS_S):
            while len(found) < MAX_SESSIONS:
                page = await self._sessions.page(wanted, cursor=cursor, limit=MAX_PAGE)
                found += page.sessions
                cursor = page.cursor
                if not cursor:
                    break
                await asyncio.sleep(0)
        return found[:MAX_SESSIONS]

    async def find(self, session_id: str) -> list[Session]:
        """The sessions of an id; see `SessionDirectory.find`."""
        return await self._sessions.find(session_id)

    async def _described(self, streams: Sequence[StreamKey], sessions: Sequence[Session]) -> list[StatGroup]:
        of: dict[StreamKey, list[Session]] = defaultdict(list)
        for session in sessions:
            of[session.stream].append(session)
        made: list[StatGroup] = []
        for start in range(0, len(streams), MAX_ITEMS):
            some = streams[start : start + MAX_ITEMS]
            for stream, figures in zip(some, await self._peers.of(some), strict=True):
                claim, group = self._service.directory.claim(stream), self._service.directory.group(stream)
                source = figures.at(claim.edge if claim else None) or figures.at(group.origin if group else None)
                async with self._describing:
                    made.append(await stat_group(stream, source, of[stream]))
        return made


async def _written(groups: Sequence[StatGroup]) -> bytes:
    """The reply that lists them. Of many sessions some at a time are written."""
    if not groups:
        return GroupsReply(data=GroupList(groups=None)).model_dump_json().encode()
    texts, since = list[str](), 0
    for group in groups:
        texts.append(group.model_dump_json())
        since += 1 + len(group.subs or ())
        if since >= AT_ONCE:
            since = 0
            await asyncio.sleep(0)
    empty = GroupsReply(data=GroupList(groups=[])).model_dump_json()
    begin, _, end = empty.rpartition("]")
    return f"{begin}{','.join(texts)}]{end}".encode()
