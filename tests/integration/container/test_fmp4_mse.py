"""Chromium's Media Source Extensions take what the fMP4 muxer writes, a fragment a unit, and play it without a hole."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright
from support.media import media

from lalmesh.container.flv import BodyDemuxer, TagReader
from lalmesh.container.fmp4 import TIME_OFFSET, FragmentBuilder, fragment, init_segment, mime_type
from lalmesh.media import TICKS_PER_SECOND, AccessUnit, Kind, TrackSet

UNITS = 250  #: of each stream: some seconds
PLAYED_S = 1.0
CHROMIUM = shutil.which("chromium")

#: Appends the init segment, then each fragment, plays from the start for some time, and says what came of it.
PLAY = """async ({mime, init, fragments, playedS}) => {
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const video = document.createElement('video');
  video.muted = true;
  document.body.replaceChildren(video);
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise(resolve => source.addEventListener('sourceopen', resolve, {once: true}));
  const buffer = source.addSourceBuffer(mime);
  for (const piece of [init, ...fragments]) {
    await new Promise((resolve, reject) => {
      buffer.addEventListener('updateend', resolve, {once: true});
      buffer.addEventListener('error', () => reject(new Error('refused: ' + video.error?.message)), {once: true});
      buffer.appendBuffer(bytes(piece));
    });
  }
  const ranges = [...Array(buffer.buffered.length).keys()].map(i => [buffer.buffered.start(i), buffer.buffered.end(i)]);
  const begin = ranges[0][0];
  video.currentTime = begin;
  await video.play();
  while (video.currentTime < begin + playedS) {
    if (video.error) throw new Error(video.error.message);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  return {ranges, width: video.videoWidth, frames: video.getVideoPlaybackQuality().totalVideoFrames};
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser.new_page()
        browser.close()


def stream(file: Path) -> tuple[TrackSet, list[AccessUnit]]:
    """Audio and video of the beginning of an FLV file."""
    demuxer, units = BodyDemuxer(), list[AccessUnit]()
    for tag in TagReader().feed(file.read_bytes()):
        units += [one for one in demuxer.demux(tag.type_id, tag.timestamp_ms, tag.body) if isinstance(one, AccessUnit)]
    tracks = TrackSet(tuple(track for track in demuxer.tracks.tracks if track.kind is not Kind.DATA))
    return tracks, [unit for unit in units if tracks.get(unit.track_id)][:UNITS]


def base64_of(*parts: bytes | memoryview) -> str:
    return base64.b64encode(b"".join(parts)).decode()


@pytest.mark.parametrize("name", ["h264_b3_aac", "av1_opus", "aac", "h264"])
def test_a_browser_plays_a_fragment_a_unit_without_a_hole(name: str, page: Page) -> None:
    tracks, units = stream(media(name))
    builder, fragments = FragmentBuilder(), list[str]()
    for number, unit in enumerate(units, 1):
        builder.add(unit, tracks)
        fragments.append(base64_of(*fragment(number, builder.take(), tracks)))
    sent = {"mime": mime_type(tracks), "init": base64_of(init_segment(tracks)), "fragments": fragments, "playedS": PLAYED_S}
    got = page.evaluate(PLAY, sent)
    ((begin, end),) = got["ranges"]
    offset_s = TIME_OFFSET / TICKS_PER_SECOND
    assert begin == pytest.approx(offset_s + min(unit.pts for unit in units) / TICKS_PER_SECOND, abs=0.1)
    assert end == pytest.approx(offset_s + units[-1].dts / TICKS_PER_SECOND, abs=0.2)
    if tracks.has_video:
        assert got["width"] == 320
        assert got["frames"] > 10
