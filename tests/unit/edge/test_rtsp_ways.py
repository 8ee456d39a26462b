"""Which choices of channels and tracks players may have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from lalmesh.errors import Unavailable
from lalmesh.media import Codec, Track, TrackSet
from lalmesh.remux import Channels, RtpStream, plain_channels
from services.edge.relay import Relay
from services.edge.rtsp_ways import (
    MAX_CHANNEL_MAPS,
    MAX_LATE_CHANNEL_MAPS,
    MAX_TRACK_CHOICES,
    _ChannelMap,
    _check_room,
    has_room_for_channels,
)

SECTION = b"m=application 0 RTP/AVP 98\r\na=rtpmap:98 x/90000\r\n"
STREAM = RtpStream(
    TrackSet(tuple(Track(track_id=number + 1, codec=Codec.OPAQUE, configuration=SECTION) for number in range(16)), 1),
    Random(1).randbytes,
)
PLAIN = plain_channels(STREAM)


def wants(*tracks: int, first_channel: int = 0) -> _ChannelMap:
    moved: Channels = tuple(
        (pair[0] + first_channel, pair[1] + first_channel) if pair is not None and index in tracks else None
        for index, pair in enumerate(PLAIN)
    )
    return _ChannelMap(STREAM, moved, False)


def played(*maps: _ChannelMap) -> Relay:
    return cast(Relay, SimpleNamespace(outputs=SimpleNamespace(keys=set(maps))))


def test_who_wants_some_of_the_tracks_has_a_fan_out_of_its_own_and_those_are_counted() -> None:
    maps = [wants(*tracks) for tracks in combinations(range(16), 2)]
    relay = played(*maps[:MAX_TRACK_CHOICES])
    with pytest.raises(Unavailable, match="too many choices of tracks"):
        _check_room(relay, maps[MAX_TRACK_CHOICES])
    _check_room(relay, maps[0])  # which others have
    _check_room(played(*maps[: MAX_TRACK_CHOICES - 1]), maps[-1])


@pytest.mark.parametrize("tracks", [range(16), [0], [1], [15]])
def test_who_wants_all_or_the_picture_alone_or_the_sound_alone_is_let_in_whatever_others_want(tracks: Sequence[int]) -> None:
    moved = (wants(track, first_channel=2 * number) for track in range(16) for number in range(1, 9))
    _check_room(played(*(wants(*others) for others in combinations(range(16), 2)), *moved), wants(*tracks))
    assert has_room_for_channels(played(*(wants(track) for track in range(16)), wants(*range(16)), wants(1, 2)))


def test_other_channels_are_counted_for_themselves() -> None:
    maps = [wants(0, first_channel=2 * number) for number in range(1, MAX_LATE_CHANNEL_MAPS + 2)]
    assert not has_room_for_channels(played(*maps[:MAX_CHANNEL_MAPS]))
    with pytest.raises(Unavailable, match="too many choices of channels"):
        _check_room(played(*maps[:-1]), maps[-1])
    _check_room(played(*maps), wants(0, 1))
