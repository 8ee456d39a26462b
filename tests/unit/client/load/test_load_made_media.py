"""How much media is made, or read from a file, at most."""

import tracemalloc
from fractions import Fraction
from pathlib import Path

import pytest

from lalmesh.client.load import _media
from lalmesh.client.load._media import MAX_RUN_BYTES, MAX_SOUGHT_BYTES, MIN_RUN_S, made_media
from lalmesh.container.flv import TAG_AUDIO, flv_header, previous_tag_size, tag_header
from lalmesh.errors import RemoteProtocolError
from lalmesh.media import TICKS_PER_SECOND
from services.standalone import load_cli

FRAME_TICKS = Fraction(1024 * TICKS_PER_SECOND, 48_000)
TAG_BYTES, TAGS = 1 << 20, 32


def test_a_run_is_as_many_groups_of_pictures_as_sound_fits_best() -> None:
    gop_ticks = 50 * TICKS_PER_SECOND / Fraction(24_000, 1001)
    gops = _media._whole_gops(gop_ticks, FRAME_TICKS, 100_000)
    assert gops * gop_ticks >= MIN_RUN_S * TICKS_PER_SECOND
    frames = gops * gop_ticks / FRAME_TICKS
    assert abs(frames - round(frames)) < Fraction(1, 20)


@pytest.mark.parametrize(("bitrate_bps", "most_bytes"), [(2_600_000, MAX_SOUGHT_BYTES), (30_000_000, MAX_RUN_BYTES)])
def test_no_long_run_is_made_for_sound_that_fits_a_little_better(bitrate_bps: int, most_bytes: int) -> None:
    gop_ticks = 1439 * TICKS_PER_SECOND / Fraction(2997, 125)  # 60 s of 23.976 pictures
    gops = _media._whole_gops(gop_ticks, FRAME_TICKS, bitrate_bps // 8)
    assert gops >= 2
    assert gops * gop_ticks / TICKS_PER_SECOND * bitrate_bps / 8 <= most_bytes


def test_a_run_that_cannot_be_held_is_refused_before_it_is_made() -> None:
    for bitrate_bps, key_s in ((2_600_000_000, 2.0), (80_000_000, 60.0)):
        with pytest.raises(ValueError, match=f"bytes in .* s, limit {MAX_RUN_BYTES}"):
            made_media(bitrate_bps=bitrate_bps, frame_rate=Fraction(240), key_s=key_s, audio_bps=0)


def test_a_file_is_read_no_further_than_it_can_be_held(tmp_path: Path) -> None:
    file = tmp_path / "long.flv"
    body = b"\xaf\x01" + bytes(TAG_BYTES - 2)  # AAC that no configuration goes before
    tag = tag_header(TAG_AUDIO, 0, TAG_BYTES) + body + previous_tag_size(TAG_BYTES)
    file.write_bytes(flv_header(has_audio=True, has_video=True) + tag * TAGS)
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError, match="without a frame"):
            load_cli._Made(file, "2.6M", 30.0, 2.0, "128k").media()
        assert tracemalloc.get_traced_memory()[1] < TAGS * TAG_BYTES / 4
    finally:
        tracemalloc.stop()
