"""HTTP of an hls node: everything under ``/hls/``, and recordings under ``/record/``."""

from __future__ import annotations

import gzip
from dataclasses import replace

from aiohttp import web

from lalmesh.errors import InvalidName, RemoteProtocolError, Unavailable
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import HlsPath, PlaylistName, with_query
from lalmesh.runtime import telemetry
from lalmesh.runtime.asked_once import AskedOnce
from lalmesh.runtime.hls_answers import CODECS_HEADER, PUBLICATION_HEADER, Played, codecs_in
from lalmesh.runtime.hls_sessions import HlsPlayer, Players, SessionIds, session_in, with_session
from lalmesh.runtime.http_gate import WaitingForAnswer, answer_with
from lalmesh.runtime.record_paths import RECORDINGS
from lalmesh.runtime.threads import Threads
from services.hls.answer import PLAYLIST_TYPE, UNCACHED, Answer, refusal
from services.hls.bytes_cache import BytesCache
from services.hls.guard import LetIn, as_it_came
from services.hls.metrics import TO_EDGE, TO_PLAYER, HlsMetrics
from services.hls.naming import StreamNames
from services.hls.record_http import RecordHttp
from services.hls.service import HlsService

FOR_EDGES = (CODECS_HEADER, PUBLICATION_HEADER)  #: headers that are for who counts a player, not for the player
GZIP_FROM_BYTES = 1000  #: smaller playlists fit one packet as they are
GZIP_LEVEL = 5  #: a playlist of 5 KB takes 0.1 ms and becomes a fifth
ZIPPED_AT_ONCE_BYTES = 64 << 10  #: these take 0.3 ms; a larger one, as of a recording, would hold up the loop: threads zip it
THREADS = 2  #: that zip: more would take turns with the loop
MAX_ZIPPED_BYTES = 32 << 20  #: of playlists that are kept zipped, and as they were: thousands of live ones, or some recordings
MAX_ZIPPED_BODY_BYTES = 8 << 20  #: of one: the longest recording without a query has half of it


class HlsHttp:
    """What an hls node answers to a GET or HEAD, on any of its ports."""

    def __init__(
        self,
        service: HlsService,
        names: StreamNames,
        records: RecordHttp,
        players: Players,
        metrics: HlsMetrics,
        ids: SessionIds | None = None,
    ) -> None:
        """Answer with `service` and `records`; count `players` of the streams that `names` tells where they get `ids`."""
        self._service = service
        self._names = names
        self._players = players
        self._metrics = metrics
        self._records = records
        self._ids = ids
        self._zipped = ZippedPlaylists()

    async def answer(self, request: web.Request, let_in: LetIn | None = None) -> web.StreamResponse:
        """Answer one that was `let_in`, by default as it came; who leaves while he waits is not waited for."""
        let_in = let_in or as_it_came(request)
        with WaitingForAnswer(request):
            if request.path.startswith(RECORDINGS):
                response = await self._records.get(request)
            else:
                response = await self._hls(request, let_in)
        self._metrics.requests.labels(str(response.status)).inc()
        return response

    async def _hls(self, request: web.Request, let_in: LetIn) -> web.StreamResponse:
        path = request.rel_url.raw_path
        if self._ids is None:
            answer = await self._service.answer(path, let_in.query)
        else:
            answer = await self._counted(request, path, let_in, self._ids)
        if request.method == "GET":
            self._metrics.sent_bytes.labels(TO_EDGE if let_in.is_by_edge else TO_PLAYER).inc(len(answer.body))
        if CODECS_HEADER in answer.headers and not let_in.is_counted:
            answer = replace(answer, headers={name: text for name, text in answer.headers.items() if name not in FOR_EDGES})
        answer = await self._zipped.encoded(answer, request.headers.get("Accept-Encoding", ""))  # nobody holds the other meanwhile
        return await answer_with(request, answer.status, answer.headers, answer.body)

    async def _counted(self, request: web.Request, path: str, let_in: LetIn, ids: SessionIds) -> Answer:
        """The answer to a player that is counted, here or by the edge that it asks.

        A first playlist is asked for again with a session id. An id that was never given is not found where files need one too, and
        is no id otherwise: the keys of the cluster may have changed. There no edge can count: each line has to carry the id.
        """
        query = let_in.query
        if let_in.is_counted and not ids.on_files:
            return await self._service.answer(path, query)
        try:
            found, stream = await self._names.resolve(path)
        except (InvalidName, RemoteProtocolError, Unavailable):
            return await self._service.answer(path, query)  # which says so
        session_id, rest = session_in(query)
        if session_id and not (self._players.knows(stream, session_id) or ids.is_good(session_id, stream)):
            if ids.on_files:
                return refusal(404, "unknown session")
            session_id = ""
        if not session_id and isinstance(found.resource, PlaylistName):
            where = f"{path}?{telemetry.with_context(with_session(rest, ids.make(stream)), let_in.traceparent)}"
            return Answer(302, b"", {"Location": where, "Cache-Control": UNCACHED})
        if session_id and self._players.is_kicked(session_id):
            return refusal(410, "the session was ended")
        if ids.on_files or not session_id:
            answer = await self._service.answer(path, query if ids.on_files else rest)
        else:
            answer = _for_player(await self._service.answer(path, rest), found, session_id)
        if session_id and answer.status == 200 and request.method == "GET":
            self._saw(request, let_in, found, stream, session_id, answer)
        return answer

    def _saw(self, request: web.Request, let_in: LetIn, found: HlsPath, stream: StreamKey, session_id: str, answer: Answer) -> None:
        """Count a player, as it is in the words of whoever passed its request on where it came by an edge."""
        agent = request.headers.get("User-Agent", "")
        self._players.saw(
            stream,
            session_id,
            lambda: HlsPlayer.asking(let_in.peer, let_in.base, request.path, let_in.query, agent, let_in.trace, let_in.asked_us),
            len(answer.body),
            is_media=found.resource is not PlaylistName.INDEX,  # the others are answered once they name media
            codecs=codecs_in(answer.headers.get(CODECS_HEADER, "")),
            played=Played.parse(answer.headers.get(PUBLICATION_HEADER, "")),
        )


def _for_player(answer: Answer, found: HlsPath, session_id: str) -> Answer:
    """What all players are answered, for one: a multivariant playlist names others, which it is to ask for with its id."""
    if found.resource is not PlaylistName.INDEX or answer.status != 200:
        return answer
    return replace(answer, body=with_query(answer.body.decode(), with_session("", session_id)).encode())


class ZippedPlaylists:
    """Playlists as players that take gzip get them: zipped once for all who get the same."""

    def __init__(self) -> None:
        """Start with none."""
        self._threads = Threads(THREADS, "zip")
        self._zipped: BytesCache[bytes] = BytesCache(MAX_ZIPPED_BYTES)
        self._zipping = AskedOnce(self._zip_in_thread)

    async def encoded(self, answer: Answer, accepted: str) -> Answer:
        """The answer as a player gets it that takes what its Accept-Encoding (`accepted`) says."""
        if len(answer.body) < GZIP_FROM_BYTES or answer.headers.get("Content-Type") != PLAYLIST_TYPE:
            return answer
        headers = {**answer.headers, "Vary": "Accept-Encoding"}
        if not _takes_gzip(accepted):
            return Answer(answer.status, answer.body, headers)
        return Answer(answer.status, await self._zip(answer.body), {**headers, "Content-Encoding": "gzip"})

    async def _zip(self, body: bytes) -> bytes:
        zipped = self._zipped.get(body)
        if zipped is None:
            zipped = _gzipped(body) if len(body) <= ZIPPED_AT_ONCE_BYTES else await self._zipping.get(body)
            if len(body) <= MAX_ZIPPED_BODY_BYTES:
                self._zipped.put(body, zipped, key_bytes=len(body))
        return zipped

    async def _zip_in_thread(self, body: bytes) -> bytes:
        return await self._threads.call(_gzipped, body)


def _gzipped(body: bytes) -> bytes:
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def _takes_gzip(accepted: str) -> bool:
    """Whether gzip is named, and not to be refused (RFC 9110 §12.5.3)."""
    for item in accepted.lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
