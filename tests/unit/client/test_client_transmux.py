"""What tags are, and HEVC from one form into the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from lalmesh.amf import parse_amf0
from lalmesh.client import HevcTransmuxer
from lalmesh.client._frames import Counts, TagKind, TagSorter
from lalmesh.container.flv import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, BodyDemuxer, HevcForm, Tag, TagReader
from lalmesh.media import AccessUnit

CAPTURES = Path(__file__).parents[2] / "captures" / "flv"


def tags_of(name: str) -> list[Tag]:
    return list(TagReader().feed((CAPTURES / f"{name}.flv").read_bytes()))


def converted(tags: list[Tag], form: HevcForm) -> list[Tag]:
    transmuxer = HevcTransmuxer(form)
    return [out for tag in tags for out in transmuxer.convert(tag)]


def units_of(tags: list[Tag]) -> list[AccessUnit]:
    demuxer = BodyDemuxer()
    events = [event for tag in tags for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body)]
    return [event for event in events if isinstance(event, AccessUnit)]


@pytest.mark.parametrize("name", ["h264-aac-bframes", "vp9-flac-enhanced", "mp3", "h264-multitrack"])
def test_what_is_not_hevc_stays_as_it_is(name: str) -> None:
    assert converted(tags_of(name), "legacy") == tags_of(name)


def test_hevc_there_and_back_is_the_same_media() -> None:
    there = converted(tags_of("hevc-aac-enhanced"), "legacy")
    assert {tag.body[0] & 0x8F for tag in there if tag.type_id == TAG_VIDEO} == {12}
    assert units_of(there) == units_of(tags_of("hevc-aac-enhanced"))
    back = converted(there, "enhanced")
    assert {tag.body[1:5] for tag in back if tag.type_id == TAG_VIDEO} == {b"hvc1"}
    assert units_of(back) == units_of(there)


def test_the_metadata_tells_the_new_form() -> None:
    script = [tag for tag in converted(tags_of("hevc-aac-enhanced"), "legacy") if tag.type_id == TAG_SCRIPT]
    members = parse_amf0(script[-1].body)[1]
    assert isinstance(members, dict)
    assert members["videocodecid"] == 12.0


def test_the_end_of_hevc_is_carried_over() -> None:
    end = Tag(TAG_VIDEO, 1000, b"\x92hvc1")
    assert converted([*tags_of("hevc-aac-enhanced"), end], "legacy")[-1] == Tag(TAG_VIDEO, 1000, b"\x1c\x02\0\0\0")


def test_tags_are_sorted() -> None:
    sorter, counts = TagSorter(), Counts()
    kinds = []
    for tag in tags_of("h264-aac-bframes"):
        kinds.append(sorter.sort(tag))
        counts.add(kinds[-1], tag)
    assert kinds[:3] == [TagKind.OTHER, TagKind.CONFIGURATION, TagKind.CONFIGURATION]
    assert kinds.count(TagKind.END) == 1
    assert (counts.video_frames, counts.audio_frames) == (kinds.count(TagKind.VIDEO), kinds.count(TagKind.AUDIO)) == (15, 45)
    assert "15 pictures" in str(counts)


def test_a_configuration_said_again_is_one() -> None:
    sorter, tags = TagSorter(), tags_of("h264-aac-bframes")
    assert [sorter.sort(tags[1]), sorter.sort(tags[1])] == [TagKind.CONFIGURATION, TagKind.CONFIGURATION]


def test_what_cannot_be_read_counts_as_a_frame_of_its_type() -> None:
    sorter = TagSorter()
    assert sorter.sort(Tag(TAG_AUDIO, 0, b"\xb2speex")) is TagKind.AUDIO
    assert sorter.sort(Tag(TAG_VIDEO, 0, b"\x17\x00broken")) is TagKind.VIDEO
    assert sorter.sort(Tag(42, 0, b"what")) is TagKind.OTHER
