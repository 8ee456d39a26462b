"""Tracks learnt from parameter sets."""

from __future__ import annotations

import pytest

from lalmesh.codec.nalu import MAX_PARAMETER_SET_BYTES
from lalmesh.codec.nalu_codecs import H264, H265
from lalmesh.codec.parameter_sets import ParameterSetStore
from lalmesh.errors import RemoteProtocolError

# parameter sets of ffmpeg 9.0 with libx264 and libx265, 320x180
SPS, PPS = bytes.fromhex("6764000dacd941419f9f011000000300100000030320f1429960"), bytes.fromhex("68efbcb0")
VPS_265 = bytes.fromhex("40010c01ffff016000000300900000030000030078959409")
SPS_265 = bytes.fromhex("42010101600000030090000003000003003ca00a080c1f3e595952930bc05a020000030002000003003210")
PPS_265 = bytes.fromhex("4401c073c189")
OTHER_SPS = bytes.fromhex("6742c01ed900a02ff970110000030001000003003c0f162e48")


def known() -> ParameterSetStore:
    store = ParameterSetStore(3, H264)
    store.learn([SPS, PPS])
    return store


def test_the_track_is_known_with_the_last_set_that_it_needs() -> None:
    store = ParameterSetStore(3, H264)
    assert store.learn([SPS]) is None
    track = store.learn([PPS])
    assert track is not None
    assert track is store.track
    assert (track.track_id, track.width, track.height) == (3, 320, 180)


def test_what_is_said_again_changes_nothing() -> None:
    store = known()
    assert store.learn([SPS, PPS]) is None
    assert store.learn([PPS]) is None
    assert store.track is not None


def test_an_sps_replaces_the_former_sets_and_a_pps_is_added() -> None:
    store = known()
    more = store.learn([b"\x68\x4f\xbc"])
    assert more is not None
    assert H264.parameter_sets(more.configuration) == (SPS, PPS, b"\x68\x4f\xbc")
    other = store.learn([OTHER_SPS, PPS])
    assert other is not None
    assert H264.parameter_sets(other.configuration) == (OTHER_SPS, PPS)


def test_broken_sets_end_the_track_until_there_are_others() -> None:
    store = known()
    with pytest.raises(RemoteProtocolError):
        store.learn([b"\x67\x64"])
    assert store.track is None
    assert store.learn([PPS]) is None  # the SPS is forgotten
    assert store.learn([SPS]) is not None


def test_sets_over_their_bound_are_left_out() -> None:
    store = known()
    assert store.learn([b"\x68" * (MAX_PARAMETER_SET_BYTES + 1)]) is None
    assert store.track is not None


def test_h265_does_without_a_vps() -> None:
    store = ParameterSetStore(1, H265)
    assert store.learn([PPS_265, SPS_265]) is not None
    track = store.learn([VPS_265])
    assert track is not None
    assert H265.parameter_sets(track.configuration) == (VPS_265, SPS_265, PPS_265)
