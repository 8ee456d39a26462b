"""One attempt at a pull: the stream of a URL, published here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from lalmesh.client import Source, TimedOut, open_source
from lalmesh.errors import StreamNotFound
from lalmesh.media import MediaEvent
from lalmesh.names import ANY_APP
from lalmesh.runtime.relay_rules import RAW_SCHEMES
from lalmesh.runtime.scheduling import NOT_ASKED, AskedUrl, RelayJob
from lalmesh.runtime.sessions import SessionRole
from services.edge.publishing import Publishing
from services.edge.relaying._edge import RelayingEdge, Started, client_at
from services.edge.relaying._reasons import shown, shown_reason


async def pull(edge: RelayingEdge, job: RelayJob, url: str, started: Started) -> str:
    """Fetch the stream of `job` from `url` and publish it, until that ends. Gives why it ended.

    Nothing is claimed before media have come, and nobody is replaced: who publishes the stream here keeps it.

    Raises:
        LalmeshError: it could not be fetched, or not be published.
        OSError: a file that the job names cannot be read.
    """
    limit_s = edge.start_timeout_s(job)
    try:
        async with asyncio.timeout(limit_s) as limit, open_source(url, edge.options(job)) as source:
            first = await source.take()
            if not first:
                raise StreamNotFound(f"nothing came: {source.end_reason}")
            limit.reschedule(None)
            return await _publish(edge, job, url, source, first, started)
    except TimeoutError:
        raise TimedOut("media", limit_s) from None


async def _publish(
    edge: RelayingEdge, job: RelayJob, url: str, source: Source, first: Sequence[MediaEvent], started: Started
) -> str:
    stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def stop(reason: str) -> None:
        if not stopped.done():
            stopped.set_result(reason)

    publishing = await edge.publishers.start(job.stream, stop, _asked(job, url), take_over=False)
    session = edge.sessions.open(client_at(url, job), SessionRole.RELAY_PULL, job.stream, stop, publishing.trace)
    session.bytes_moved = lambda: publishing.core.counters.payload_bytes
    session.media = publishing.media
    session.facts = lambda: _facts(source)
    reason = "the edge ends it"
    try:
        started(session)
        feeding = asyncio.ensure_future(_feed(source, publishing, first))
        try:
            await asyncio.wait({feeding, stopped}, return_when=asyncio.FIRST_COMPLETED)
            reason = stopped.result() if stopped.done() else feeding.result()
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        return reason
    except Exception as error:
        reason = shown_reason(error)
        raise
    finally:
        publishing.close()
        edge.sessions.closed(session, shown(reason, job, url))


def _asked(job: RelayJob, url: str) -> AskedUrl:
    """Where applications mean nothing here, what the source calls it goes on to those that it is sent to."""
    if job.stream.app != ANY_APP:
        return NOT_ASKED
    parts = urlsplit(url, allow_fragments=False)
    app = parts.path.strip("/").rpartition("/")[0]
    return AskedUrl(app if parts.scheme in RAW_SCHEMES else unquote(app))


async def _feed(source: Source, publishing: Publishing, first: Sequence[MediaEvent]) -> str:
    events = first
    while events:
        publishing.feed(events, time.time_ns() // 1000)
        events = await source.take()
    return source.end_reason


def _facts(source: Source) -> dict[str, object]:
    return {"ignored_messages": dict(source.passed_over)} if source.passed_over else {}
