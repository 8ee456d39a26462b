"""One attempt at a push: a stream of the cluster, published elsewhere."""

from __future__ import annotations

from lalmesh.remux import RtmpPackager
from lalmesh.runtime.following import Demand
from lalmesh.runtime.scheduling import RelayJob
from lalmesh.runtime.sessions import SessionRole, codecs_of
from services.edge.outputs import OutputFormat
from services.edge.push_fanout import PushFanOut
from services.edge.relay import Relay
from services.edge.relaying._edge import RelayingEdge, Started, client_at
from services.edge.relaying._reasons import shown, shown_reason
from services.edge.relaying._writing import RtmpWriter, RtspWriter, Writer, is_rtsp, left_out_by_flv, left_out_by_rtp
from services.edge.session import SessionMedia

PUBLISHER_S = 10.0  #: for the stream to be there: it is published, or was a moment ago


async def push(edge: RelayingEdge, job: RelayJob, url: str, started: Started) -> str:
    """Send the stream of `job` to `url`, until that ends. Gives why it ended.

    Raises:
        LalmeshError: the stream is not there, or the target does not take it.
        OSError: a file that the job names cannot be read.
    """
    relay = await edge.relays.acquire(job.stream, PUBLISHER_S, Demand(job.via))
    with relay.given_back_unless_taken():
        await relay.settled()
        form = _format(edge, job, url)
        fanout = PushFanOut(edge.settings.fanout, left_out_by_rtp if is_rtsp(url) else left_out_by_flv)
        relay.outputs.open(form, fanout)
        try:
            return await _send(edge, job, url, relay, fanout, started)
        finally:
            relay.left(form.key)


def _format(edge: RelayingEdge, job: RelayJob, url: str) -> OutputFormat:
    """What the target is among the outputs of the relay: one of its own, named in logs after its protocol."""
    name = f"{url.partition(':')[0].lower()} push"
    return OutputFormat(key=("push", job.id), name=name, packager=lambda: RtmpPackager(edge.body_muxer(), chunk_size=4096))


async def _send(edge: RelayingEdge, job: RelayJob, url: str, relay: Relay, fanout: PushFanOut, started: Started) -> str:
    options = edge.options(job)
    writer: Writer = RtspWriter(url, options, relay.tracks) if is_rtsp(url) else RtmpWriter(url, options, edge.body_muxer())
    async with writer.publisher:
        session = edge.sessions.open(client_at(url, job), SessionRole.RELAY_PUSH, job.stream, fanout.dismiss)
        session.bytes_moved = lambda: fanout.counters.sent_bytes
        session.media = lambda: SessionMedia(codecs_of(relay.tracks), session.opened_us, skips=fanout.counters.skips)
        session.facts = lambda: {"skips": fanout.counters.skips} if fanout.counters.skips else {}
        reason = "the edge ends it"
        try:
            started(session)
            reason = await _write(writer, fanout)
            return reason
        except Exception as error:
            reason = shown_reason(error)
            raise
        finally:
            edge.sessions.closed(session, shown(reason, job, url))


async def _write(writer: Writer, fanout: PushFanOut) -> str:
    """Send what comes, as fast as the target takes it. Gives why nothing more comes."""
    counters = fanout.counters
    while True:
        run = fanout.read()
        if run is not None:
            sent = writer.send(run)
            counters.blocks += 1
            counters.block_bytes += sent
            counters.sent_bytes += sent
        elif fanout.ended:
            return fanout.ended
        else:
            await fanout.wait()
        await writer.publisher.drain()  # also where nothing was sent: it raises once the target has gone
