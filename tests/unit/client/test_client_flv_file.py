"""FLV files that are whole at every moment."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lalmesh.client import FlvWriter, read_tags
from lalmesh.client._flv_file import MAX_HELD_BYTES, MAX_HELD_MS
from lalmesh.container.flv import TAG_AUDIO, TAG_SCRIPT, TAG_VIDEO, Tag, TagReader, flv_header
from lalmesh.errors import RemoteProtocolError

CAPTURES = Path(__file__).parents[2] / "captures" / "flv"
AUDIO, VIDEO, SCRIPT = (Tag(type_id, 0, b"\xaf\x01body") for type_id in (TAG_AUDIO, TAG_VIDEO, TAG_SCRIPT))


class Pipe(io.BytesIO):
    """Cannot be sought in, and says so."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise AssertionError("seek in a pipe")


class FullDisk(io.BytesIO):
    """Takes half of a write once, and then no more."""

    room = 200

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        if len(self.getvalue()) >= self.room:
            raise OSError("no space left")
        return super().write(bytes(data[: self.room - len(self.getvalue())]))


def written(tags: list[Tag]) -> bytes:
    file = io.BytesIO()
    writer = FlvWriter(file, seekable=True)
    for tag in tags:
        writer.write(tag)
    writer.close()
    return file.getvalue()


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.flv")), ids=lambda path: path.stem)
def test_a_file_is_copied_tag_by_tag(path: Path) -> None:
    tags = list(TagReader().feed(path.read_bytes()))
    assert list(TagReader().feed(written(tags))) == tags


@pytest.mark.parametrize("tags", [[AUDIO], [VIDEO], [SCRIPT, AUDIO, VIDEO], [SCRIPT]])
def test_the_header_says_which_tracks_there_are(tags: list[Tag]) -> None:
    assert written(tags)[:13] == flv_header(AUDIO in tags, VIDEO in tags)


def test_nothing_makes_an_empty_file() -> None:
    assert written([]) == b""


def test_the_header_waits_for_the_second_track_for_a_while() -> None:
    file = io.BytesIO()
    writer = FlvWriter(file, seekable=True)
    writer.write(AUDIO)
    writer.write(Tag(TAG_AUDIO, MAX_HELD_MS - 1, b"\xaf\x01"))
    assert not file.getvalue()
    writer.write(Tag(TAG_AUDIO, MAX_HELD_MS, b"\xaf\x01"))
    assert file.getvalue().startswith(flv_header(True, False))
    writer.write(VIDEO)
    assert file.getvalue().startswith(flv_header(True, True))
    assert len(list(TagReader().feed(file.getvalue()))) == 4


def test_what_waits_is_bounded() -> None:
    writer = FlvWriter(io.BytesIO(), seekable=True)
    writer.write(Tag(TAG_SCRIPT, 0, bytes(MAX_HELD_BYTES // 2)))
    assert not writer.opened
    writer.write(Tag(TAG_SCRIPT, 0, bytes(MAX_HELD_BYTES // 2)))
    assert writer.opened


def test_a_pipe_is_not_mended() -> None:
    pipe = Pipe()
    writer = FlvWriter(pipe, seekable=False)
    for tag in (AUDIO, Tag(TAG_AUDIO, MAX_HELD_MS, b"\xaf\x01"), VIDEO):
        writer.write(tag)
    assert pipe.getvalue().startswith(flv_header(True, False))
    assert len(list(TagReader().feed(pipe.getvalue()))) == 3


def test_a_full_disk_leaves_whole_tags() -> None:
    disk = FullDisk()
    writer = FlvWriter(disk, seekable=True)
    writer.write(AUDIO)
    writer.write(VIDEO)
    whole = len(disk.getvalue())
    with pytest.raises(OSError, match="no space"):
        writer.write(Tag(TAG_VIDEO, 40, bytes(1000)))
    assert len(disk.getvalue()) == whole


async def test_a_file_that_is_cut_off_gives_its_whole_tags(tmp_path: Path) -> None:
    data = (CAPTURES / "h264-aac-bframes.flv").read_bytes()
    (tmp_path / "cut.flv").write_bytes(data[:5000])
    tags = list(TagReader().feed(data))
    read = [tag async for tag in read_tags(tmp_path / "cut.flv")]
    assert 0 < len(read) < len(tags)
    assert read == tags[: len(read)]


async def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"RIFF and so on")
    with pytest.raises(RemoteProtocolError, match="FLV stream starts with"):
        [tag async for tag in read_tags(tmp_path / "other")]
