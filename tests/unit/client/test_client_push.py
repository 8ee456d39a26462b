"""How far a publisher looks ahead before it dials."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from lalmesh.client import RtmpPublisher, RtspPublisher, open_publisher
from lalmesh.client._frames import TagKind, TagSorter
from lalmesh.client._push import LOOK_AHEAD_MS, _beginning
from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, Tag, TagReader
from lalmesh.media import Codec, TrackSet

H264 = Path(__file__).parents[2] / "captures" / "flv" / "h264-aac-bframes.flv"


def tags_of(path: Path) -> list[Tag]:
    return list(TagReader().feed(path.read_bytes()))


async def sorted_tags(tags: Sequence[Tag]) -> AsyncGenerator[tuple[TagKind, Tag], None]:
    sorter = TagSorter()
    for tag in tags:
        yield sorter.sort(tag), tag


async def test_one_tag_is_enough_where_nothing_is_described() -> None:
    given, _ = await _beginning(sorted_tags(tags_of(H264)), whole=False)
    assert [tag for _, tag in given] == tags_of(H264)[:1]


async def test_both_tracks_are_known_before_they_are_described() -> None:
    given, tracks = await _beginning(sorted_tags(tags_of(H264)), whole=True)
    assert {Codec.H264, Codec.AAC} <= {track.codec for track in tracks.tracks}
    assert len(given) < len(tags_of(H264))


async def test_a_stream_of_pictures_only_is_described_after_a_second_of_them() -> None:
    pictures = [tag for tag in tags_of(H264) if tag.type_id == TAG_VIDEO]
    header, first = pictures[:2]
    later = [Tag(TAG_VIDEO, first.timestamp_ms + 40 * number, first.body) for number in range(100)]
    given, tracks = await _beginning(sorted_tags([header, *later]), whole=True)
    assert [track.codec for track in tracks.tracks] == [Codec.H264]
    assert given[-1][1].timestamp_ms - first.timestamp_ms == LOOK_AHEAD_MS


async def test_a_file_that_ends_before_is_described_as_it_is() -> None:
    sound = [tag for tag in tags_of(H264) if tag.type_id == TAG_AUDIO][:3]
    given, tracks = await _beginning(sorted_tags(sound), whole=True)
    assert len(given) == 3
    assert [track.codec for track in tracks.tracks] == [Codec.AAC]


@pytest.mark.parametrize(("scheme", "kind"), [("rtmp", RtmpPublisher), ("RTSP", RtspPublisher), ("rtsps", RtspPublisher)])
def test_the_scheme_tells_the_publisher(scheme: str, kind: type) -> None:
    assert isinstance(open_publisher(f"{scheme}://host/live/a", TrackSet()), kind)
