"""A publisher that dies and comes back within the grace time, as another picture: players stay on their connection."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import wire
from support.cluster import Cluster, Node, Standalone
from support.ffmpeg import Publisher
from support.frames import of_file

from lalmesh.container.flv import TAG_AUDIO, TAG_VIDEO, BodyDemuxer, Tag
from lalmesh.media import Kind, TracksChanged

Media = Callable[[str], Path]

PICTURES = 50  #: of each publisher: two seconds
LIMIT_S = 40.0
FIRST, SECOND = (320, 180), (640, 360)


@pytest.fixture(params=["standalone", "cluster"])
def edges(
    request: pytest.FixtureRequest, start_standalone: Callable[..., Standalone], start_cluster: Callable[..., Cluster]
) -> tuple[Node, Node, Node]:
    """The edge of the first publisher, the one of the second, and the players'."""
    if request.param == "cluster":
        cluster = start_cluster()
        return cluster.edges[0], cluster.edges[1], cluster.edges[1]
    node = start_standalone()
    return node, node, node


async def test_a_player_sees_both_sizes_on_one_connection_with_time_going_on(
    edges: tuple[Node, Node, Node], media: Media, stack: ExitStack, tmp_path: Path
) -> None:
    def publish(name: str, node: Node) -> Publisher:
        log = tmp_path / f"push.{name}.log"
        return stack.enter_context(Publisher(media(name), node.rtmp_url("live/cam"), log=log, loops=-1))

    first_edge, second_edge, player_edge = edges
    publisher = publish("h264_aac", first_edge)
    async with wire.flv(player_edge.flv_url("live/cam")) as player:
        assert player.answer.status == 200
        tags = await wire.collect(player, lambda got: len(wire.pictures(got)) >= PICTURES, LIMIT_S)
        publisher.kill()
        publish("h264_large_aac", second_edge)
        tags += await wire.collect(player, lambda got: len(pictures_of(got, SECOND)) >= PICTURES, LIMIT_S)
    check_times(tags)
    check_sizes(tags)
    check_payloads(tags, media)
    seen_by_ffmpeg = of_file(wire.file_of_tags(tags, tmp_path / "both.flv")).track("video")
    assert [frame.md5 for frame in seen_by_ffmpeg] == [frame.md5 for frame in wire.recording(tags).track("video")]


def check_times(tags: Sequence[Tag]) -> None:
    for type_id in (TAG_VIDEO, TAG_AUDIO):
        times = [tag.timestamp_ms for tag in tags if tag.type_id == type_id and not wire.is_header(tag)]
        falls = [(old, new) for old, new in itertools.pairwise(times) if new <= old]
        assert not falls, f"type {type_id}: {falls}"


def check_sizes(tags: Sequence[Tag]) -> None:
    """Two sizes, one after the other, the second one beginning at a key frame."""
    assert sizes(tags) == [FIRST, SECOND]
    change = tags.index([tag for tag in tags if tag.type_id == TAG_VIDEO and wire.is_header(tag)][-1])
    assert wire.is_key(wire.pictures(tags[change:])[0])


def check_payloads(tags: Sequence[Tag], media: Media) -> None:
    """Under each configuration the pictures of its own publisher, from one of its key frames on without a hole."""
    for size, name in ((FIRST, "h264_aac"), (SECOND, "h264_large_aac")):
        sent = [tag.body[5:] for tag in wire.pictures(wire.tags_of_file(media(name)))]
        got = [tag.body[5:] for tag in pictures_of(tags, size)]
        start = sent.index(got[0])
        assert got == [sent[(start + index) % len(sent)] for index in range(len(got))], f"pictures of {size}"


def sizes(tags: Sequence[Tag]) -> list[tuple[int, int]]:
    """The picture sizes that the sequence headers announce, in order."""
    seen: list[tuple[int, int]] = []
    for size, _ in sized(tags):
        if size not in seen[-1:]:
            seen.append(size)
    return seen


def pictures_of(tags: Sequence[Tag], size: tuple[int, int]) -> list[Tag]:
    """The pictures that come under a configuration of that size."""
    return [tag for under, tag in sized(tags) if under == size and wire.is_picture(tag)]


def sized(tags: Sequence[Tag]) -> Iterator[tuple[tuple[int, int], Tag]]:
    """Each tag with the picture size that holds when it comes, from the first configuration on."""
    demuxer, present = BodyDemuxer(), None
    for tag in tags:
        for event in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body):
            video = event.tracks.first(Kind.VIDEO) if isinstance(event, TracksChanged) else None
            present = (video.width, video.height) if video is not None else present
        if present is not None:
            yield present, tag
