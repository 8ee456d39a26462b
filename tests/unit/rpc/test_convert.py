from __future__ import annotations

import contextlib
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import RemoteProtocolError, UnsupportedError
from lalmesh.media import Codec, Track, TrackSet
from lalmesh.names import StreamKey
from lalmesh.rpc import convert
from lalmesh.rpc.lalmesh.v1 import media_pb2, origin_pb2, scheduler_pb2
from lalmesh.runtime.ownership import Epoch, Grant, Location, NodeAddress, NodeId, Place, UnitName
from lalmesh.runtime.scheduling import (
    AskedUrl,
    Capacity,
    Claim,
    Drain,
    Endpoint,
    Evicted,
    GroupMoved,
    Held,
    HeldStream,
    Joined,
    Load,
    Move,
    NodeCommand,
    NodeReport,
    ReclaimWanted,
    Refusal,
    Refused,
    Released,
    Role,
    StreamFenced,
    StreamState,
    Wanted,
    command_wire,
    report_wire,
    wire,
)
from lalmesh.runtime.scheduling.control import MAX_VIA

UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
NAMES = st.text("abcäß.-_ 1", min_size=1, max_size=12).filter(lambda text: text not in (".", ".."))
STREAMS = st.builds(StreamKey.of, NAMES, NAMES)
EPOCHS = st.builds(Epoch, UINT64, UINT64)
PLACES = st.builds(Place, UINT64, UINT64, st.booleans())
PUBLICATIONS = st.binary(min_size=16, max_size=16)
NODE_IDS = st.builds(NodeId, NAMES, st.binary(min_size=8, max_size=8))
NODES = st.builds(NodeAddress, NODE_IDS, st.sampled_from(["", "h:1", "[::1]:2"]))
GRANTS = st.builds(
    Grant,
    stream=STREAMS,
    epoch=EPOCHS,
    publication=PUBLICATIONS,
    edge=NODES,
    origin=NODES,
    heir=st.none() | NODES,
    place=PLACES,
    signature=st.binary(max_size=32),
)
LOCATIONS = st.builds(Location, stream=STREAMS, place=PLACES, origin=NODES, heir=st.none() | NODES)
RATES = st.none() | st.builds(Fraction, st.integers(1, 2**31), st.integers(1, 2**31))
TRACKS = st.builds(
    Track,
    track_id=st.integers(1, 2**32 - 1),
    codec=st.sampled_from(Codec),
    version=UINT32,
    configuration=st.binary(max_size=20),
    width=UINT32,
    height=UINT32,
    frame_rate=RATES,
    reorder_depth=UINT32,
    profile=NAMES,
    sample_rate_hz=UINT32,
    channels=UINT32,
    video_metadata=st.binary(max_size=20),
)
TRACK_SETS = st.builds(TrackSet, st.lists(TRACKS, max_size=3, unique_by=lambda track: track.track_id).map(tuple), UINT32)
HELD = st.builds(
    HeldStream,
    stream=STREAMS,
    epoch=EPOCHS,
    place=PLACES,
    publication=st.just(b"") | PUBLICATIONS,
    state=st.sampled_from(StreamState),
    tracks=TRACK_SETS,
    players=UINT32,
    bitrate_bps=UINT64,
    units=UINT64,
    missing=UINT64,
    published=st.booleans(),
)
REPORTS = st.builds(
    NodeReport,
    node=NODES,
    role=st.sampled_from(Role),
    zone=NAMES,
    machine=NAMES,
    endpoints=st.lists(st.builds(Endpoint, NAMES, NAMES, st.integers(0, 65535)), max_size=2).map(tuple),
    capacity=st.builds(
        Capacity, egress_bps=UINT64, sessions=UINT32, streams=UINT32, memory_bytes=UINT64, cpu_fraction=st.floats(0, 1)
    ),
    load=st.builds(Load, ingress_bps=UINT64, egress_bps=UINT64, hls_egress_bps=UINT64, cpu_fraction=st.floats(0, 1)),
    draining=st.booleans(),
    leaving=st.booleans(),
    streams=st.lists(HELD, max_size=2).map(tuple),
    version=NAMES,
)
REFUSED = st.builds(Refused, st.sampled_from(Refusal), NAMES, st.integers(0, 100_000).map(lambda ms: ms / 1000))
COMMANDS = (
    st.builds(Joined, UINT64)
    | st.builds(GroupMoved, LOCATIONS, st.none() | GRANTS)
    | st.builds(ReclaimWanted, st.lists(STREAMS, max_size=3).map(tuple))
    | st.builds(Drain, st.integers(0, 100_000).map(lambda ms: ms / 1000), st.booleans())
    | st.builds(StreamFenced, STREAMS, EPOCHS)
    | st.builds(Evicted, NAMES)
)
HELD_CLAIMS = st.builds(Held, epoch=EPOCHS, place=PLACES, origin=NODES, heir=st.none() | NODES)
ASKED = st.builds(AskedUrl, st.text(max_size=40), st.text(max_size=80))
CLAIMS = st.builds(
    Claim, stream=STREAMS, publication=PUBLICATIONS, take_over=st.booleans(), held=st.none() | HELD_CLAIMS, asked=ASKED
)
MOVES = st.builds(
    Move,
    stream=STREAMS,
    epoch=EPOCHS,
    place=PLACES,
    publication=PUBLICATIONS,
    avoid=st.lists(NAMES, max_size=3).map(tuple),
    at=st.none() | NODE_IDS,
)
RELEASED = st.builds(Released, stream=STREAMS, epoch=EPOCHS, publication=st.just(b"") | PUBLICATIONS, place=PLACES)


def node(name: str = "n", incarnation: bytes = b"12345678", address: str = "") -> origin_pb2.NodeRef:
    return origin_pb2.NodeRef(node=name, incarnation=incarnation, address=address)


@given(EPOCHS, PLACES, NODES, st.builds(UnitName, PUBLICATIONS, UINT64))
def test_names_and_numbers_survive_the_wire(epoch: Epoch, place: Place, address: NodeAddress, unit: UnitName) -> None:
    assert convert.parse_epoch(convert.serialize_epoch(epoch)) == epoch
    assert convert.parse_place(convert.serialize_place(place)) == place
    assert convert.parse_node(convert.serialize_node(address)) == address
    assert convert.parse_unit_name(convert.serialize_unit_name(unit)) == unit


@given(GRANTS, LOCATIONS)
def test_grants_and_locations_survive_the_wire(grant: Grant, location: Location) -> None:
    sent = origin_pb2.Grant.FromString(convert.serialize_grant(grant).SerializeToString())
    assert convert.parse_grant(sent) == grant
    assert convert.parse_location(convert.serialize_location(location)) == location


@given(GRANTS)
def test_a_grant_that_crossed_the_wire_still_verifies(grant: Grant) -> None:
    convert.parse_grant(convert.serialize_grant(grant.signed(b"key"))).verify((b"key",))


@given(TRACK_SETS)
def test_track_sets_survive_the_wire(tracks: TrackSet) -> None:
    sent = media_pb2.TrackSet.FromString(convert.serialize_track_set(tracks).SerializeToString())
    assert convert.parse_track_set(sent) == tracks


def test_every_codec_has_a_number() -> None:
    tracks = TrackSet(tuple(Track(track_id=n, codec=codec) for n, codec in enumerate(Codec, 1)))
    assert convert.parse_track_set(convert.serialize_track_set(tracks)) == tracks


def test_a_codec_of_a_newer_version_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="codec number 0"):
        convert.parse_track(media_pb2.Track(track_id=1))


@pytest.mark.parametrize(
    "tracks",
    [[media_pb2.Track(codec="CODEC_AAC")], [media_pb2.Track(codec="CODEC_AAC", track_id=1)] * 2],
    ids=["without an id", "two of one id"],
)
def test_tracks_that_nobody_could_name_are_refused(tracks: list[media_pb2.Track]) -> None:
    with pytest.raises(RemoteProtocolError):
        convert.parse_track_set(media_pb2.TrackSet(tracks=tracks))


@pytest.mark.parametrize(
    "message",
    [node(""), node("n" * 300), node("a\nb"), node(incarnation=b""), node(incarnation=b"123456789"), node(address="h" * 400)],
)
def test_nodes_that_are_none_are_refused(message: origin_pb2.NodeRef) -> None:
    with pytest.raises(RemoteProtocolError):
        convert.parse_node(message)


@pytest.mark.parametrize("publication", [b"", b"x" * 15, b"x" * 17])
def test_a_publication_id_has_its_length(publication: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        convert.parse_unit_name(media_pb2.UnitName(publication=publication))


def test_a_stream_name_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        convert.parse_location(scheduler_pb2.Location(app="live", name=".."))


@given(st.binary(max_size=80))
def test_any_grant_bytes_give_a_grant_or_the_documented_error(data: bytes) -> None:
    try:
        message = origin_pb2.Grant.FromString(data)
    except Exception:  # protobuf's own refusal
        return
    with contextlib.suppress(RemoteProtocolError):
        convert.parse_grant(message)


VIA = st.lists(st.text(max_size=40), max_size=MAX_VIA).map(tuple)
WANTED = st.builds(Wanted, STREAMS, st.none() | PLACES, st.none() | NODE_IDS, st.booleans(), VIA, ASKED)


def test_who_wants_a_stream_says_no_more_than_is_taken() -> None:
    for said in ({"query": "x" * 5000}, {"via": ["x" * 300]}):
        with pytest.raises(RemoteProtocolError):
            wire.parse_wanted(scheduler_pb2.Wanted(app="live", name="cam", **said))
    with pytest.raises(RemoteProtocolError):
        wire.parse_claim(scheduler_pb2.Claim(app="live", name="cam", publication=b"p" * 16, asked_query="x" * 5000))
    many = wire.parse_wanted(scheduler_pb2.Wanted(app="live", name="cam", via=[str(number) for number in range(100)]))
    assert len(many.via) == MAX_VIA


def test_a_query_that_no_url_has_room_for_is_not_told_and_the_stream_is_asked_for_all_the_same() -> None:
    stream, asked = StreamKey.of("live", "cam"), AskedUrl("studio", "x" * 5000)
    assert wire.parse_wanted(wire.serialize_wanted(Wanted(stream, asked=asked))).asked == AskedUrl("studio")
    claim = Claim(stream=stream, publication=b"p" * 16, asked=asked)
    assert wire.parse_claim(wire.serialize_claim(claim)).asked == AskedUrl("studio")


@given(CLAIMS, MOVES, RELEASED, WANTED)
def test_questions_survive_the_wire(claim: Claim, move: Move, released: Released, wanted: Wanted) -> None:
    assert wire.parse_claim(wire.serialize_claim(claim)) == claim
    assert wire.parse_move(wire.serialize_move(move)) == move
    assert wire.parse_released(wire.serialize_released(released)) == released
    assert wire.parse_wanted(wire.serialize_wanted(wanted)) == wanted


@given(GRANTS | REFUSED, LOCATIONS | REFUSED)
def test_answers_survive_the_wire(granted: Grant | Refused, located: Location | Refused) -> None:
    assert wire.parse_claim_result(wire.serialize_claim_result(granted)) == granted
    assert wire.parse_locate_result(wire.serialize_locate_result(located)) == located


@given(REPORTS, COMMANDS)
def test_reports_and_commands_survive_the_wire(report: NodeReport, command: NodeCommand) -> None:
    sent = scheduler_pb2.NodeReport.FromString(report_wire.serialize_report(report).SerializeToString())
    streams = tuple(replace(held, tracks=described(held.tracks)) for held in report.streams)
    assert report_wire.parse_report(sent) == replace(report, streams=streams)
    assert command_wire.parse_command(command_wire.serialize_command(command)) == command


def described(tracks: TrackSet) -> TrackSet:
    """Without what only decoders need."""
    return TrackSet(tuple(replace(track, configuration=b"", video_metadata=b"") for track in tracks.tracks), tracks.version)


def test_a_report_is_no_longer_for_what_decoders_need() -> None:
    script = Track(track_id=3, codec=Codec.SCRIPT, configuration=bytes(240_000), video_metadata=bytes(1000))
    held = HeldStream(stream=StreamKey.of("live", "cam"), tracks=TrackSet((script,)))
    assert report_wire.serialize_held(held).ByteSize() < 200


def test_a_command_of_a_newer_version_is_passed_over() -> None:
    assert command_wire.parse_command(scheduler_pb2.NodeCommand()) is None


def test_answers_without_content_are_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        wire.parse_claim_result(scheduler_pb2.ClaimResult())
    with pytest.raises(RemoteProtocolError):
        wire.parse_locate_result(scheduler_pb2.LocateResult())


def test_a_report_without_a_role_or_with_too_much_in_it_is_refused() -> None:
    endpoints = [scheduler_pb2.Endpoint()] * 65
    for report in (
        scheduler_pb2.NodeReport(node=node()),
        scheduler_pb2.NodeReport(node=node(), role="ROLE_EDGE", zone="z" * 300),
        scheduler_pb2.NodeReport(node=node(), role="ROLE_EDGE", endpoints=endpoints),
    ):
        with pytest.raises(RemoteProtocolError):
            report_wire.parse_report(report)


def test_a_report_with_a_codec_of_a_newer_version_still_counts() -> None:
    held = scheduler_pb2.HeldStream(app="live", name="cam", tracks=media_pb2.TrackSet(tracks=[media_pb2.Track(track_id=1)]))
    report = report_wire.parse_report(scheduler_pb2.NodeReport(node=node(), role="ROLE_EDGE", streams=[held]))
    assert report.streams[0].tracks == TrackSet()


def test_a_frame_rate_beyond_32_bits_goes_as_unknown() -> None:
    track = Track(track_id=1, codec=Codec.H264, frame_rate=Fraction(1, 1 << 33))
    assert convert.parse_track(convert.serialize_track(track)).frame_rate is None
