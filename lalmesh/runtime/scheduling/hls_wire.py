"""What hls nodes ask and hear, as messages: the part of `wire.py` that is about HLS.

Pairs of ``parse_x`` and ``serialize_x``; parsers raise `RemoteProtocolError` for what a peer must not send.
"""

from __future__ import annotations

from lalmesh.errors import LimitExceeded, RemoteProtocolError
from lalmesh.rpc.convert import parse_epoch, parse_node, parse_stream, serialize_epoch, serialize_node
from lalmesh.rpc.lalmesh.v1 import hls_pb2, scheduler_pb2
from lalmesh.runtime.ownership import HlsOwner
from lalmesh.runtime.recording import MAX_RULES, RecordFormat, RecordRule, make_rule
from lalmesh.runtime.scheduling.hls import HlsEndpoint, HlsLimit, HlsReleased, HlsWanted, NamedStreams, RecordingRules

MAX_PORT = (1 << 16) - 1
MAX_NUMBER = (1 << 53) - 1  #: a media sequence number: what JSON and players' JavaScript keep exactly
MAX_TEXT_BYTES = 253  #: host, name of a node: a DNS name at the longest

_FORMATS = frozenset(made.value for made in RecordFormat)


def parse_hls_owner(message: hls_pb2.HlsOwner) -> HlsOwner:
    """Who segments a stream, as it was signed. Its signature is not checked here: `HlsOwner.verify` does."""
    return HlsOwner(
        stream=parse_stream(message.app, message.name),
        epoch=parse_epoch(message.epoch),
        worker=parse_node(message.worker),
        limit=_number(message.limit),
        exact=message.exact,
        signature=message.signature,
    )


def serialize_hls_owner(owner: HlsOwner) -> hls_pb2.HlsOwner:
    """Who segments a stream as a message, with its signature."""
    return hls_pb2.HlsOwner(
        app=owner.stream.app,
        name=owner.stream.name,
        epoch=serialize_epoch(owner.epoch),
        worker=serialize_node(owner.worker),
        limit=owner.limit,
        exact=owner.exact,
        signature=owner.signature,
    )


def parse_hls_endpoint(message: scheduler_pb2.HlsEndpoint) -> HlsEndpoint:
    """Where an hls node answers HTTP."""
    if not 0 < message.port <= MAX_PORT:
        raise RemoteProtocolError(f"hls node at port {message.port}")
    return HlsEndpoint(_text(message.node, "node name"), _text(message.host, "host"), message.port)


def serialize_hls_endpoint(endpoint: HlsEndpoint) -> scheduler_pb2.HlsEndpoint:
    """Where an hls node answers HTTP, as a message."""
    return scheduler_pb2.HlsEndpoint(node=endpoint.node, host=endpoint.host, port=endpoint.port)


def parse_hls_wanted(message: scheduler_pb2.HlsWanted) -> HlsWanted:
    """A stream whose owner is wanted."""
    after = parse_epoch(message.after) if message.HasField("after") else None
    return HlsWanted(parse_stream(message.app, message.name), after)


def serialize_hls_wanted(wanted: HlsWanted) -> scheduler_pb2.HlsWanted:
    """A stream whose owner is wanted, as a message."""
    after = None if wanted.after is None else serialize_epoch(wanted.after)
    return scheduler_pb2.HlsWanted(app=wanted.stream.app, name=wanted.stream.name, after=after)


def parse_hls_limit(message: scheduler_pb2.HlsLimit) -> HlsLimit:
    """A limit that is to be raised."""
    return HlsLimit(parse_stream(message.app, message.name), parse_epoch(message.epoch), _number(message.limit))


def serialize_hls_limit(limit: HlsLimit) -> scheduler_pb2.HlsLimit:
    """A limit that is to be raised, as a message."""
    epoch = serialize_epoch(limit.epoch)
    return scheduler_pb2.HlsLimit(app=limit.stream.app, name=limit.stream.name, epoch=epoch, limit=limit.limit)


def parse_hls_released(message: scheduler_pb2.HlsReleased) -> HlsReleased:
    """What an owner hands over."""
    return HlsReleased(parse_stream(message.app, message.name), parse_epoch(message.epoch), _number(message.next_number))


def serialize_hls_released(released: HlsReleased) -> scheduler_pb2.HlsReleased:
    """What an owner hands over, as a message."""
    return scheduler_pb2.HlsReleased(
        app=released.stream.app,
        name=released.stream.name,
        epoch=serialize_epoch(released.epoch),
        next_number=released.next_number,
    )


def parse_recording_rules(message: scheduler_pb2.RecordingRules) -> RecordingRules:
    """All rules of recording; formats that only a newer version knows are passed over."""
    if len(message.rules) > MAX_RULES:
        raise LimitExceeded("rules of recording", len(message.rules), MAX_RULES)
    rules = tuple(rule for rule in map(_recording_rule, message.rules) if rule is not None)
    return RecordingRules(rules)


def _recording_rule(message: scheduler_pb2.RecordingRule) -> RecordRule | None:
    formats = [name for name in message.formats if name in _FORMATS]
    if not formats:
        return None
    limits = {name: getattr(message, name) for name in ("segment_s", "segment_bytes", "keep_s", "keep_bytes")}
    try:
        return make_rule(message.pattern, formats, limits)
    except ValueError as exc:
        raise RemoteProtocolError(f"rule of recording: {exc}") from exc


def serialize_recording_rules(rules: RecordingRules) -> scheduler_pb2.RecordingRules:
    """All rules of recording as a message."""
    return scheduler_pb2.RecordingRules(
        rules=[
            scheduler_pb2.RecordingRule(
                pattern=rule.pattern,
                formats=[made.value for made in rule.formats],
                segment_s=rule.segment_s,
                segment_bytes=rule.segment_bytes,
                keep_s=rule.keep_s,
                keep_bytes=rule.keep_bytes,
            )
            for rule in rules.rules
        ]
    )


def _number(value: int) -> int:
    if value > MAX_NUMBER:
        raise LimitExceeded("number", value, MAX_NUMBER)
    return value


def _text(value: str, what: str) -> str:
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise LimitExceeded(f"{what} bytes", len(value.encode()), MAX_TEXT_BYTES)
    return value


def serialize_named_streams(found: NamedStreams) -> scheduler_pb2.FoundStreams:
    """To protobuf."""
    fetched_app = found.fetched.app if found.fetched is not None else None
    return scheduler_pb2.FoundStreams(apps=[stream.app for stream in found.streams], fetched_app=fetched_app)


def parse_named_streams(name: str, found: scheduler_pb2.FoundStreams) -> NamedStreams:
    """From protobuf, of the streams called `name`; raises `RemoteProtocolError`."""
    fetched = parse_stream(found.fetched_app, name) if found.HasField("fetched_app") else None
    return NamedStreams(tuple(parse_stream(app, name) for app in found.apps), fetched)
