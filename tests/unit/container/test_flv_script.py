import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.amf import AmfValue, EcmaArray, parse_amf0, serialize_amf0, serialize_amf3
from lalmesh.container.flv import MAX_METADATA_BYTES, BodyDemuxer
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import AccessUnit, Codec, PassedOver, TracksChanged

METADATA = serialize_amf0("onMetaData", EcmaArray(width=96.0, encoder="x"))


def configuration(demuxer: BodyDemuxer) -> bytes:
    track = demuxer.tracks.get(3)
    assert track is not None
    return track.configuration


@pytest.mark.parametrize(
    ("type_id", "body"),
    [
        (18, METADATA),
        (18, serialize_amf0("@setDataFrame") + METADATA),
        (15, b"\x00" + serialize_amf0("@setDataFrame") + METADATA),
        (15, b"\x00" + serialize_amf0("onMetaData") + b"\x11" + serialize_amf3(EcmaArray(width=96.0, encoder="x"))),
        (18, METADATA + serialize_amf0(None)),
    ],
)
def test_on_meta_data_is_the_configuration_of_the_script_track(type_id: int, body: bytes) -> None:
    demuxer = BodyDemuxer()
    [event] = demuxer.demux(type_id, 0, body)
    assert isinstance(event, TracksChanged)
    assert [(track.track_id, track.codec, track.configuration) for track in event.tracks.tracks] == [(3, Codec.SCRIPT, METADATA)]


def test_the_same_metadata_again_changes_nothing_and_other_is_a_new_version() -> None:
    demuxer = BodyDemuxer()
    demuxer.demux(18, 0, METADATA)
    assert demuxer.demux(18, 0, serialize_amf0("@setDataFrame") + METADATA) == []
    demuxer.demux(18, 0, serialize_amf0("onMetaData", EcmaArray()))
    assert [track.version for track in demuxer.tracks.tracks] == [1]


@pytest.mark.parametrize("type_id", [15, 18])
def test_other_script_data_is_a_unit_of_the_script_track(type_id: int) -> None:
    demuxer, body = BodyDemuxer(), serialize_amf0("onTextData", {"text": "hello"})
    changed, unit = demuxer.demux(type_id, 40, serialize_amf0("@setDataFrame") + body)
    assert isinstance(changed, TracksChanged)
    assert unit == AccessUnit(3, 3600, 0, False, body)
    assert demuxer.demux(type_id, 80, body) == [AccessUnit(3, 7200, 0, False, body)]
    assert configuration(demuxer) == b""


def test_bytes_that_only_amf3_knows_pass_through_amf0() -> None:
    body = b"\x00" + serialize_amf0("onBlob") + b"\x11" + serialize_amf3(b"\x01\x02")
    assert BodyDemuxer().demux(15, 0, body)[1] == AccessUnit(3, 0, 0, False, body[1:])


@pytest.mark.parametrize(
    "values",
    [
        (1.0,),
        ("@setDataFrame",),
        ("onMetaData",),
        ("onMetaData", "x"),
        ("@clearDataFrame", "onMetaData"),
        ("|RtmpSampleAccess", True, True),
        ("onMetaData", {"x": "y" * MAX_METADATA_BYTES}),
    ],
)
def test_what_is_not_supported_is_counted_and_gives_nothing(values: tuple[AmfValue, ...]) -> None:
    demuxer = BodyDemuxer()
    assert demuxer.demux(18, 0, serialize_amf0(*values)) == []
    assert (demuxer.counters.unsupported, demuxer.tracks.tracks) == (1, ())


def test_metadata_that_players_could_not_read_is_not_supported() -> None:
    name = b"\xff" * 6000  # no UTF-8: each byte becomes a character of three bytes
    body = serialize_amf0("onMetaData") + b"\x03" + len(name).to_bytes(2, "big") + name + serialize_amf0(1.0) + b"\x00\x00\x09"
    demuxer = BodyDemuxer()
    assert demuxer.demux(18, 0, body) == []
    assert (demuxer.counters.unsupported, demuxer.tracks.tracks) == (1, ())
    assert demuxer.counters.examples[PassedOver.OTHER].startswith("onMetaData that cannot be read again: AMF name size")


@given(st.dictionaries(st.binary(max_size=40), st.binary(max_size=40), max_size=4))
def test_metadata_that_is_taken_can_be_read_by_players(members: dict[bytes, bytes]) -> None:
    def sized(text: bytes) -> bytes:
        return len(text).to_bytes(2, "big") + text

    pairs = b"".join(sized(key) + b"\x02" + sized(value) for key, value in members.items() if key)
    demuxer = BodyDemuxer()
    assert demuxer.demux(18, 0, serialize_amf0("onMetaData") + b"\x03" + pairs + b"\x00\x00\x09")
    assert parse_amf0(configuration(demuxer))[0] == "onMetaData"


def test_other_message_types_are_counted() -> None:
    demuxer = BodyDemuxer()
    assert demuxer.demux(22, 0, b"x") == []
    assert demuxer.counters.reasons == {"message type 22": 1}


@pytest.mark.parametrize("type_id", [15, 18])
def test_what_is_malformed_is_refused(type_id: int) -> None:
    with pytest.raises(RemoteProtocolError):
        BodyDemuxer().demux(type_id, 0, METADATA[:-5])
