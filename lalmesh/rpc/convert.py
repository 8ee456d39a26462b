"""Converters between the messages of `proto/` and the dataclasses of `lalmesh.media` and `lalmesh.runtime.ownership`.

They come in pairs, ``parse_x`` and ``serialize_x``. Every parser raises `RemoteProtocolError` for what a peer must not send, and
no other error, unless its docstring says so. Runs of access units are converted by the link, which owns their batching.
"""

from __future__ import annotations

from fractions import Fraction

from lalmesh.errors import InvalidName, LimitExceeded, RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec, Track, TrackSet
from lalmesh.names import StreamKey
from lalmesh.rpc.lalmesh.v1 import media_pb2, origin_pb2, scheduler_pb2
from lalmesh.runtime.ownership import (
    INCARNATION_BYTES,
    PUBLICATION_BYTES,
    Epoch,
    Grant,
    Location,
    NodeAddress,
    NodeId,
    Place,
    UnitName,
)

MAX_NODE_NAME_BYTES = 253  #: UTF-8 bytes: the longest DNS name, which is what pods are called
MAX_UINT32 = (1 << 32) - 1  #: what a number of a message holds
MAX_ADDRESS_BYTES = 300  #: UTF-8 bytes of ``host:port``: a DNS name, brackets, a port, and some room

_CODECS = {
    Codec.H264: media_pb2.CODEC_H264,
    Codec.H265: media_pb2.CODEC_H265,
    Codec.AV1: media_pb2.CODEC_AV1,
    Codec.VP9: media_pb2.CODEC_VP9,
    Codec.AAC: media_pb2.CODEC_AAC,
    Codec.OPUS: media_pb2.CODEC_OPUS,
    Codec.PCMA: media_pb2.CODEC_PCMA,
    Codec.PCMU: media_pb2.CODEC_PCMU,
    Codec.MP3: media_pb2.CODEC_MP3,
    Codec.AC3: media_pb2.CODEC_AC3,
    Codec.EAC3: media_pb2.CODEC_EAC3,
    Codec.FLAC: media_pb2.CODEC_FLAC,
    Codec.MP2: media_pb2.CODEC_MP2,
    Codec.SCRIPT: media_pb2.CODEC_SCRIPT,
    Codec.OPAQUE: media_pb2.CODEC_OPAQUE,
}
_CODECS_BACK = {number: codec for codec, number in _CODECS.items()}


def parse_stream(app: str, name: str) -> StreamKey:
    """The checked stream name; a name that is not allowed is a `RemoteProtocolError` here."""
    try:
        return StreamKey.of(app, name)
    except InvalidName as exc:
        raise RemoteProtocolError(str(exc)) from exc


def parse_publication(value: bytes) -> bytes:
    """A publication id of the right length."""
    if len(value) != PUBLICATION_BYTES:
        raise RemoteProtocolError(f"publication id of {len(value)} bytes, not {PUBLICATION_BYTES}")
    return value


def parse_epoch(message: media_pb2.Epoch) -> Epoch:
    """The epoch; one that was left out is `NO_EPOCH`."""
    return Epoch(message.term, message.revision)


def serialize_epoch(epoch: Epoch) -> media_pb2.Epoch:
    """The epoch as a message."""
    return media_pb2.Epoch(term=epoch.term, revision=epoch.revision)


def parse_place(message: media_pb2.Place) -> Place:
    """The place; one that was left out is `NO_PLACE`."""
    return Place(message.term, message.revision, message.heir)


def serialize_place(place: Place) -> media_pb2.Place:
    """The place as a message."""
    return media_pb2.Place(term=place.term, revision=place.revision, heir=place.heir)


def parse_unit_name(message: media_pb2.UnitName) -> UnitName:
    """The name of a unit."""
    return UnitName(parse_publication(message.publication), message.seq)


def serialize_unit_name(name: UnitName) -> media_pb2.UnitName:
    """The name of a unit as a message."""
    return media_pb2.UnitName(publication=name.publication, seq=name.seq)


def parse_node_id(name: str, incarnation: bytes) -> NodeId:
    """A node under its incarnation, from the two fields that name it in `NodeRef` and `LinkHello`."""
    size = len(name.encode())
    if not size:
        raise RemoteProtocolError("node without a name")
    if size > MAX_NODE_NAME_BYTES:
        raise LimitExceeded("node name bytes", size, MAX_NODE_NAME_BYTES)
    if not name.isprintable():
        raise RemoteProtocolError("node name with a control character")
    if len(incarnation) != INCARNATION_BYTES:
        raise RemoteProtocolError(f"incarnation of {len(incarnation)} bytes, not {INCARNATION_BYTES}")
    return NodeId(name, incarnation)


def parse_node(message: origin_pb2.NodeRef) -> NodeAddress:
    """A node and its address, which may be empty."""
    size = len(message.address.encode())
    if size > MAX_ADDRESS_BYTES:
        raise LimitExceeded("node address bytes", size, MAX_ADDRESS_BYTES)
    return NodeAddress(parse_node_id(message.node, message.incarnation), message.address)


def serialize_node(node: NodeAddress) -> origin_pb2.NodeRef:
    """A node and its address as a message."""
    return origin_pb2.NodeRef(node=node.node.name, incarnation=node.node.incarnation, address=node.address)


def parse_grant(message: origin_pb2.Grant) -> Grant:
    """The grant as it was signed. Its signature is not checked here: `Grant.verify` does."""
    return Grant(
        stream=parse_stream(message.app, message.name),
        epoch=parse_epoch(message.epoch),
        publication=parse_publication(message.publication),
        edge=parse_node(message.edge),
        origin=parse_node(message.origin),
        heir=parse_node(message.heir) if message.HasField("heir") else None,
        place=parse_place(message.place),
        signature=message.signature,
    )


def serialize_grant(grant: Grant) -> origin_pb2.Grant:
    """The grant as a message, with its signature."""
    return origin_pb2.Grant(
        app=grant.stream.app,
        name=grant.stream.name,
        epoch=serialize_epoch(grant.epoch),
        publication=grant.publication,
        edge=serialize_node(grant.edge),
        origin=serialize_node(grant.origin),
        heir=serialize_node(grant.heir) if grant.heir else None,
        place=serialize_place(grant.place),
        signature=grant.signature,
    )


def parse_location(message: scheduler_pb2.Location) -> Location:
    """Where a stream can be read."""
    return Location(
        stream=parse_stream(message.app, message.name),
        place=parse_place(message.place),
        origin=parse_node(message.origin),
        heir=parse_node(message.heir) if message.HasField("heir") else None,
    )


def serialize_location(location: Location) -> scheduler_pb2.Location:
    """Where a stream can be read, as a message."""
    return scheduler_pb2.Location(
        app=location.stream.app,
        name=location.stream.name,
        place=serialize_place(location.place),
        origin=serialize_node(location.origin),
        heir=serialize_node(location.heir) if location.heir else None,
    )


def parse_source_lost(message: origin_pb2.SourceLost) -> Location:
    """Where an origin says that a stream is."""
    return Location(
        stream=parse_stream(message.app, message.name),
        place=parse_place(message.place),
        origin=parse_node(message.origin),
        heir=parse_node(message.heir) if message.HasField("heir") else None,
    )


def serialize_source_lost(location: Location) -> origin_pb2.SourceLost:
    """What an origin says of where a stream is, as a message."""
    return origin_pb2.SourceLost(
        app=location.stream.app,
        name=location.stream.name,
        place=serialize_place(location.place),
        origin=serialize_node(location.origin),
        heir=serialize_node(location.heir) if location.heir else None,
    )


def parse_track(message: media_pb2.Track) -> Track:
    """One track.

    Raises:
        RemoteProtocolError: the track has no id.
        UnsupportedError: a codec that this version does not know.
    """
    codec = _CODECS_BACK.get(message.codec)
    if codec is None:
        raise UnsupportedError(f"codec number {message.codec}")
    if message.track_id == 0:
        raise RemoteProtocolError("track without an id")
    rate = (message.frame_rate_numerator, message.frame_rate_denominator)
    return Track(
        track_id=message.track_id,
        codec=codec,
        version=message.version,
        configuration=message.configuration,
        width=message.width,
        height=message.height,
        frame_rate=Fraction(*rate) if all(rate) else None,
        reorder_depth=message.reorder_depth,
        profile=message.profile,
        sample_rate_hz=message.sample_rate_hz,
        channels=message.channels,
        video_metadata=message.video_metadata,
    )


def serialize_track(track: Track, *, is_whole: bool = True) -> media_pb2.Track:
    """One track as a message; without what only decoders need, which may be 400 KB of a stream, where it is not to be whole."""
    rate = track.frame_rate or Fraction(0)
    if max(rate.numerator, rate.denominator) > MAX_UINT32:  # a rate that no display knows: better none than no stream
        rate = Fraction(0)
    return media_pb2.Track(
        track_id=track.track_id,
        version=track.version,
        codec=_CODECS[track.codec],
        configuration=track.configuration if is_whole else b"",
        width=track.width,
        height=track.height,
        frame_rate_numerator=rate.numerator,
        frame_rate_denominator=rate.denominator if rate else 0,
        reorder_depth=track.reorder_depth,
        profile=track.profile,
        sample_rate_hz=track.sample_rate_hz,
        channels=track.channels,
        video_metadata=track.video_metadata if is_whole else b"",
    )


def parse_track_set(message: media_pb2.TrackSet) -> TrackSet:
    """All tracks of a stream.

    Raises:
        RemoteProtocolError: two tracks share an id, or as `parse_track`.
        UnsupportedError: as `parse_track`.
    """
    tracks = tuple(parse_track(track) for track in message.tracks)
    if len({track.track_id for track in tracks}) != len(tracks):
        raise RemoteProtocolError("two tracks of one id in a track set")
    return TrackSet(tracks, message.version)


def serialize_track_set(tracks: TrackSet, *, is_whole: bool = True) -> media_pb2.TrackSet:
    """All tracks of a stream as a message, see `serialize_track`."""
    return media_pb2.TrackSet(version=tracks.version, tracks=[serialize_track(track, is_whole=is_whole) for track in tracks.tracks])
