"""HTTP of an hls node: everything under ``/hls/``, and recordings under ``/record/``."""

from __future__ import annotations

import gzip
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import web

from lalmesh.errors import InvalidName, RemoteProtocolError, Unavailable
from lalmesh.protocol.hls import PlaylistName
from lalmesh.runtime.asked_once import AskedOnce
from lalmesh.runtime.http_gate import answer_with, waiting_for_answer
from lalmesh.runtime.record_paths import RECORDINGS
from lalmesh.runtime.secrets_in_urls import without_secrets
from lalmesh.runtime.threads import Threads
from services.hls.answer import PLAYLIST_TYPE, UNCACHED, Answer, refusal
from services.hls.bytes_cache import BytesCache
from services.hls.guard import LetIn, as_it_came
from services.hls.metrics import HlsMetrics
from services.hls.naming import StreamNames
from services.hls.record_http import RecordHttp
from services.hls.service import HlsService
from services.hls.sessions import PARAMETER, HlsClient, Players, SessionIds

GZIP_FROM_BYTES = 1000  #: smaller playlists fit one packet as they are
GZIP_LEVEL = 5  #: a playlist of 5 KB takes 0.1 ms and becomes a fifth
ZIPPED_AT_ONCE_BYTES = 64 << 10  #: these take 0.3 ms; a larger one, as of a recording, would hold up the loop: threads zip it
MAX_URL_CHARS = 1000  #: of what is told of a player; UTF-8 makes four times as many bytes of them
MAX_AGENT_CHARS = 250
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
        with waiting_for_answer(request):
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
            self._metrics.sent_bytes.inc(len(answer.body))
        answer = await self._zipped.encoded(answer, request.headers.get("Accept-Encoding", ""))  # nobody holds the other meanwhile
        return await answer_with(request, answer.status, answer.headers, answer.body)

    async def _counted(self, request: web.Request, path: str, let_in: LetIn, ids: SessionIds) -> Answer:
        """The answer to a player that is counted.

        A first playlist is asked for again with a session id. An id that was never given is not found where files need one too, and
        is no id otherwise: the keys of the cluster may have changed.
        """
        query = let_in.query
        try:
            found, stream = await self._names.resolve(path)
        except (InvalidName, RemoteProtocolError, Unavailable):
            return await self._service.answer(path, query)  # which says so
        session_id, is_playlist = _session_id(query), isinstance(found.resource, PlaylistName)
        if session_id and not ids.is_good(session_id, stream):
            if ids.on_files:
                return refusal(404, "unknown session")
            session_id = ""
        if not session_id and is_playlist:
            where = f"{path}?{_joined(_without_id(query), f'{PARAMETER}={ids.make(stream)}')}"
            return Answer(302, b"", {"Location": where, "Cache-Control": UNCACHED})
        if session_id and self._players.is_kicked(session_id):
            return refusal(410, "the session was ended")
        names_files = found.resource is not PlaylistName.INDEX
        answer = await self._service.answer(path, _without_id(query) if names_files and not ids.on_files else query)
        if session_id and answer.status == 200 and request.method == "GET":
            self._players.saw(stream, session_id, _client(request, let_in), len(answer.body), is_media=not is_playlist)
        return answer


def _client(request: web.Request, let_in: LetIn) -> HlsClient:
    """Who asks, in the words of whoever passed the request on where it came by an edge."""
    return HlsClient(
        peer=let_in.address,
        protocol="https-hls" if let_in.base.startswith("https:") else "hls",
        url=f"{let_in.base}{request.path}"[:MAX_URL_CHARS],
        query=without_secrets(let_in.query)[:MAX_URL_CHARS],
        user_agent=request.headers.get("User-Agent", "")[:MAX_AGENT_CHARS],
    )


def _session_id(query: str) -> str:
    return dict(parse_qsl(query)).get(PARAMETER, "")


def _without_id(query: str) -> str:
    return "&".join(item for item in query.split("&") if item and unquote_plus(item.partition("=")[0]) != PARAMETER)


def _joined(query: str, added: str) -> str:
    return f"{query}&{added}" if query else added


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
