"""What spans are called and what they say, in one place: the table of docs/telemetry.md and dashboards are checked against this."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SERVICE_NAME = "lalmesh-{role}"  #: ``service.name`` of a process


class SpanName(Enum):
    """Every kind of span there is."""

    ROUTE = "scheduler.route"
    PUBLISH = "edge.publish"
    CLAIM = "edge.claim"
    SCHEDULER_CLAIM = "scheduler.claim"
    LINK_PUBLISH = "edge.link_publish"
    ORIGIN_PUBLISH = "origin.publish"
    FIRST_UNIT = "edge.first_unit"
    ORIGIN_FIRST_UNIT = "origin.first_unit"
    RELAY = "edge.relay"
    PLAY = "edge.play"
    FIRST_FRAME = "edge.first_frame"
    SEGMENTER = "hls.segmenter"
    SEGMENT = "hls.segment"
    PUBLISHER = "edge.publisher"
    HLS_PLAY = "hls.play"
    HLS_FIRST_FRAME = "hls.first_frame"
    WEBHOOK = "scheduler.webhook"


class Attribute(Enum):
    """Every attribute of a span."""

    STREAM = "lalmesh.stream"
    PUBLICATION = "lalmesh.publication"
    SESSION = "lalmesh.session_id"
    PROTOCOL = "lalmesh.protocol"
    ROLE = "lalmesh.role"
    REASON = "lalmesh.reason"
    EPOCH = "lalmesh.epoch"
    ORIGIN = "lalmesh.origin"
    EDGE = "lalmesh.edge"
    HEIR = "lalmesh.as_heir"
    RESULT = "lalmesh.result"
    CHOICE = "lalmesh.choice"
    PURPOSE = "lalmesh.purpose"
    NUMBER = "lalmesh.segment"
    DURATION = "lalmesh.duration_s"
    BYTES = "lalmesh.bytes"
    EVENT = "lalmesh.event"
    RECEIVER = "lalmesh.receiver"
    ATTEMPTS = "lalmesh.attempts"


@dataclass(slots=True, frozen=True)
class SpanKind:
    """A row of the table."""

    role: str  #: of the node that makes it
    text: str  #: from when to when
    parent: str
    attributes: tuple[Attribute, ...]
    links: str = ""


_STREAM = (Attribute.STREAM, Attribute.PUBLICATION)
SPANS: dict[SpanName, SpanKind] = {
    SpanName.ROUTE: SpanKind(
        "scheduler",
        "the answer to a question where to go",
        "the asker's `traceparent`; else none",
        (Attribute.STREAM, Attribute.PROTOCOL, Attribute.PURPOSE, Attribute.EDGE, Attribute.CHOICE),
    ),
    SpanName.PUBLISH: SpanKind(
        "edge",
        "from the request of a publisher or the first media of a pull until it is let in or refused",
        "the client's `traceparent`: its own, or that of `scheduler.route`; else none",
        (*_STREAM, Attribute.PROTOCOL, Attribute.EPOCH, Attribute.ORIGIN),
    ),
    SpanName.CLAIM: SpanKind(
        "edge",
        "from the question to the scheduler for the stream to its answer",
        "`edge.publish`",
        (*_STREAM, Attribute.RESULT),
    ),
    SpanName.SCHEDULER_CLAIM: SpanKind(
        "scheduler", "the scheduler's part of that", "`edge.claim`", (Attribute.STREAM, Attribute.RESULT)
    ),
    SpanName.LINK_PUBLISH: SpanKind(
        "edge",
        "from opening the publication at an origin to its answer; one an origin, so a failover adds one",
        "`edge.publish`",
        (*_STREAM, Attribute.ORIGIN, Attribute.HEIR),
    ),
    SpanName.ORIGIN_PUBLISH: SpanKind(
        "origin", "the origin takes the publication in, or refuses it", "`edge.link_publish`", (*_STREAM, Attribute.RESULT)
    ),
    SpanName.FIRST_UNIT: SpanKind(
        "edge", "from the end of `edge.publish` to the publisher's first unit", "`edge.publish`", _STREAM
    ),
    SpanName.ORIGIN_FIRST_UNIT: SpanKind(
        "origin", "from the opening of the publication to its first unit at the origin", "`edge.link_publish`", _STREAM
    ),
    SpanName.RELAY: SpanKind(
        "edge",
        "from when a playing edge began to look for the stream, or the publication began if that was later, to the "
        "publication's first unit there; one an edge",
        "`edge.publish`",
        _STREAM,
    ),
    SpanName.PLAY: SpanKind(
        "edge",
        "from a player's request to its first media, or to why there was none; where its client brought a `traceparent`",
        "the client's `traceparent`: its own, or that of `scheduler.route`",
        (Attribute.STREAM, Attribute.PROTOCOL, Attribute.SESSION, Attribute.REASON),
        "`edge.publish` of what it plays",
    ),
    SpanName.FIRST_FRAME: SpanKind(
        "edge",
        "from a player's request to its first media, in the trace of what it plays; one a player. One that waited for its "
        "publisher has asked before that came",
        "`edge.publish`",
        (*_STREAM, Attribute.PROTOCOL, Attribute.SESSION),
        "`edge.play`",
    ),
    SpanName.SEGMENTER: SpanKind(
        "hls",
        "from when a node was told to segment the stream, or the publication began if that was later, to the publication's first "
        "unit there; one a node",
        "`edge.publish`",
        _STREAM,
    ),
    SpanName.SEGMENT: SpanKind(
        "hls",
        "from the wall clock of a segment's first unit until it is in storage; one a segment, in the trace of the publication of "
        "its last unit",
        "`edge.publish`",
        (*_STREAM, Attribute.NUMBER, Attribute.DURATION),
    ),
    SpanName.PUBLISHER: SpanKind(
        "edge",
        "the whole session of a publisher; known when it has ended",
        "`edge.publish`",
        (*_STREAM, Attribute.PROTOCOL, Attribute.ROLE, Attribute.SESSION, Attribute.REASON, Attribute.BYTES),
    ),
    SpanName.HLS_PLAY: SpanKind(
        "hls",
        "`edge.play` of a player of HLS that the hls node counts: one that asks it directly, or with an id on every line",
        "the client's `traceparent`: its own, or that of `scheduler.route`",
        (Attribute.STREAM, Attribute.PROTOCOL, Attribute.SESSION, Attribute.REASON),
        "`edge.publish` of what it plays",
    ),
    SpanName.HLS_FIRST_FRAME: SpanKind(
        "hls",
        "`edge.first_frame` of such a player",
        "`edge.publish`",
        (*_STREAM, Attribute.PROTOCOL, Attribute.SESSION),
        "`hls.play`",
    ),
    SpanName.WEBHOOK: SpanKind(
        "scheduler",
        "from what happened until a receiver has taken the event, or it was given up; one an event and receiver. It is the "
        "`traceparent` of the request",
        "of events of a publication `edge.publish`; of those of a player its `edge.play` or `edge.first_frame`, before its first "
        "media `edge.publish`",
        (Attribute.STREAM, Attribute.EVENT, Attribute.RECEIVER, Attribute.ATTEMPTS),
    ),
}
