from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import RemoteProtocolError
from lalmesh.protocol.rtsp._fields import (
    MediaRange,
    RtpInfo,
    SessionId,
    parse_range,
    parse_rtp_info,
    parse_session_id,
    serialize_rtp_info,
)
from lalmesh.protocol.rtsp._transport import Transport, parse_transports, serialize_transports


def only(header: str) -> Transport:
    (transport,) = parse_transports(header)
    return transport


def test_the_alternatives_of_rfc_2326_are_read_in_order() -> None:
    # RFC 2326 §12.39
    header = 'RTP/AVP;multicast;ttl=127;mode="PLAY", RTP/AVP;unicast;client_port=3456-3457;mode="PLAY"'
    multicast, unicast = parse_transports(header)
    assert not any((multicast.is_unicast, multicast.is_udp, multicast.is_tcp))
    assert unicast == Transport(client_port=(3456, 3457), mode="play")
    assert unicast.is_udp


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        # ffmpeg, GStreamer, live555, VLC over TCP
        ("RTP/AVP/TCP;unicast;interleaved=0-1", Transport(protocol="RTP/AVP/TCP", interleaved=(0, 1))),
        ("RTP/AVP/TCP;interleaved=2-3", Transport(protocol="RTP/AVP/TCP", interleaved=(2, 3))),
        ("rtp/avp/tcp;unicast", Transport(protocol="RTP/AVP/TCP")),
        # answers of cameras
        (
            "RTP/AVP;unicast;destination=10.0.0.9;source=10.0.0.2;client_port=50000-50001;server_port=8000-8001;ssrc=4f3d2a1b",
            Transport(
                client_port=(50_000, 50_001),
                server_port=(8_000, 8_001),
                ssrc=0x4F3D2A1B,
                source="10.0.0.2",
                destination="10.0.0.9",
            ),
        ),
        ("RTP/AVP/UDP; unicast; client_port=5000", Transport(protocol="RTP/AVP/UDP", client_port=(5_000, 5_001))),
        ("RTP/AVP;unicast;interleaved=4;ssrc= zzz", Transport(interleaved=(4, 5))),
        # publishers
        ("RTP/AVP/TCP;unicast;interleaved=0-1;mode=record", Transport(protocol="RTP/AVP/TCP", interleaved=(0, 1), mode="record")),
        ("RTP/AVP;unicast;client_port=6-7;mode=receive", Transport(client_port=(6, 7), mode="record")),
        ('RTP/AVP;unicast;client_port=6-7;mode="PLAY,RECORD"', Transport(client_port=(6, 7), mode="play,record")),
    ],
)
def test_transports_of_clients_and_servers_are_read(header: str, expected: Transport) -> None:
    assert only(header) == expected


def test_channels_mean_tcp_whatever_the_protocol_says() -> None:
    assert only("RTP/AVP;unicast;interleaved=0-1").is_tcp
    assert not only("RTP/AVP;unicast;client_port=1-2").is_tcp


@pytest.mark.parametrize("header", ["RTP/SAVP;unicast;client_port=1-2", "RAW/RAW/UDP;unicast;client_port=1-2", "RTP/AVP", "", "x"])
def test_other_ways_are_neither_tcp_nor_udp(header: str) -> None:
    assert not any(transport.is_tcp or transport.is_udp for transport in parse_transports(header))


@pytest.mark.parametrize("part", ["interleaved=256-257", "interleaved=x", "client_port=70000", "client_port=9-8", "server_port=-1"])
def test_ports_and_channels_that_are_none_are_an_error(part: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_transports(f"RTP/AVP;unicast;{part}")


def test_a_transport_is_written_as_rfc_2326_has_it() -> None:
    transport = Transport(client_port=(4588, 4589), server_port=(6256, 6257), ssrc=0xABC, mode="play", source="192.0.2.1")
    expected = "RTP/AVP;unicast;source=192.0.2.1;client_port=4588-4589;server_port=6256-6257;ssrc=00000ABC;mode=play"
    assert transport.serialize() == expected


pairs = st.none() | st.integers(0, 254).map(lambda first: (first, first + 1))
transports = st.builds(
    Transport,
    protocol=st.sampled_from(["RTP/AVP", "RTP/AVP/TCP", "RTP/AVP/UDP", "RTP/SAVP"]),
    is_unicast=st.booleans(),
    interleaved=pairs,
    client_port=pairs,
    server_port=pairs,
    ssrc=st.none() | st.integers(0, 0xFFFFFFFF),
    mode=st.sampled_from(["", "play", "record"]),
    source=st.sampled_from(["", "10.0.0.1", "fe80::1"]),
)


@given(st.lists(transports, max_size=4))
def test_any_transports_come_back(sent: list[Transport]) -> None:
    assert parse_transports(serialize_transports(sent)) == sent


def test_the_rtp_info_of_rfc_2326_is_read() -> None:
    # RFC 2326 §12.33; the second sequence number does not fit its 16 bits
    header = (
        "url=rtsp://foo.com/bar.avi/streamid=0;seq=45102,\n url=rtsp://foo.com/bar.avi/streamid=1;seq=30211000;rtptime=972948234"
    )
    assert parse_rtp_info(header) == [
        RtpInfo("rtsp://foo.com/bar.avi/streamid=0", 45_102),
        RtpInfo("rtsp://foo.com/bar.avi/streamid=1", None, 972_948_234),
    ]


def test_rtp_info_is_read_as_cameras_write_it() -> None:
    header = "url=trackID=1;rtptime=7; seq=1, url=rtsp://h/cam?a=1,b;c=2/trackID=2;seq=65536;rtptime=x"
    assert parse_rtp_info(header) == [RtpInfo("trackID=1", 1, 7), RtpInfo("rtsp://h/cam?a=1,b;c=2/trackID=2")]
    assert parse_rtp_info("") == []


@given(
    st.lists(
        st.builds(
            RtpInfo,
            st.sampled_from(["rtsp://h/a/trackID=0", "rtsp://h/a?x=1,2/1"]),
            st.none() | st.integers(0, 0xFFFF),
            st.none() | st.integers(0, 0xFFFFFFFF),
        ),
        max_size=4,
    )
)
def test_any_rtp_info_comes_back(infos: list[RtpInfo]) -> None:
    assert parse_rtp_info(serialize_rtp_info(infos)) == infos


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("12345678", SessionId("12345678", 60)),
        ("abc;timeout=30", SessionId("abc", 30)),
        (" abc ; Timeout = 90 ", SessionId("abc", 90)),
        ("abc;timeout=0", SessionId("abc", 60)),
        ("", SessionId("", 60)),
    ],
)
def test_a_session_has_a_time_out(header: str, expected: SessionId) -> None:
    assert parse_session_id(header) == expected
    assert parse_session_id(expected.serialize()) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("npt=now-", MediaRange("npt", "now")),
        ("npt=0.000-", MediaRange("npt", "0.000")),
        ("NPT = 10 - 15.5 ;time=19970123T153600Z", MediaRange("npt", "10", "15.5")),
        ("clock=19961108T142300Z-19961108T143520Z", MediaRange("clock", "19961108T142300Z", "19961108T143520Z")),
        ("smpte=10:12:33:20-", MediaRange("smpte", "10:12:33:20")),
        ("npt=-5", MediaRange("npt", "", "5")),
    ],
)
def test_ranges_are_read(header: str, expected: MediaRange) -> None:
    assert parse_range(header) == expected
    assert parse_range(expected.serialize()) == expected


@pytest.mark.parametrize("header", ["", "npt", "npt=1", "bytes=0-1", "=-"])
def test_what_is_no_range_is_none(header: str) -> None:
    assert parse_range(header) is None


@given(st.text(max_size=60))
def test_any_text_gives_headers_or_an_error(text: str) -> None:
    parse_range(text)
    parse_rtp_info(f"url={text}")
    assert parse_session_id(f"x;{text}").timeout_s > 0
    try:
        parse_transports(f"RTP/AVP;{text}")
    except RemoteProtocolError:
        return
