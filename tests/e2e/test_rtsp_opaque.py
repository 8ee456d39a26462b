"""What has no payload format here goes from an RTSP publisher to RTSP players as it is: VP8 and L16, by ffmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from e2e.test_frames import Run, into
from e2e.test_rtsp_play import SERVERS
from support import ffmpeg, frames

STREAM = "opaque"
TRANSPORTS = ("tcp", "udp")
SAMPLE_BYTES, LEAST_S, RATE_HZ = 2, 2, 48_000
FILM = (
    *("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", f"anoisesrc=r={RATE_HZ}:seed=1", "-t", "8"),
    *("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k", "-g", "25"),
    *("-c:a", "pcm_s16be", "-ac", "1"),
)
SAMPLES = ("-map", "0:a", "-c:a", "copy", "-f", "s16be")
PICTURES = ("-map", "0:v", "-c:v", "copy", "-f", "framemd5")
HELD_BACK_BYTES = 1400  #: of samples, that ffmpeg gathers for its next packet


@pytest.fixture(scope="module", params=SERVERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The film, and what players got of it."""
    folder = tmp_path_factory.mktemp(request.param)
    film = folder / "film.mkv"
    ffmpeg.run("-y", *FILM, film)
    ffmpeg.run("-y", "-i", film, *SAMPLES, folder / "film.raw")
    with ExitStack() as stack:
        ingest, egress, api_url = into(folder, request.param, stack, {})
        run = Run(folder, stack)
        send = ["-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp", ingest.rtsp_url(f"live/{STREAM}")]
        run.publish(STREAM, film, run.command("push", *ffmpeg.quiet(ffmpeg.FFMPEG), "-re", "-i", film, *send))
        run.wait_live(api_url)
        for transport in TRANSPORTS:
            rows, raw = folder / f"{transport}.md5", folder / f"{transport}.raw"
            read = [*ffmpeg.quiet(ffmpeg.FFMPEG), "-copyts", "-rtsp_transport", transport, "-i", egress.rtsp_url(f"live/{STREAM}")]
            run.record(transport, rows, run.command(f"play.{transport}", *read, *PICTURES, rows, *SAMPLES, raw))
        run.finish()
        for transport in TRANSPORTS:
            assert (folder / f"{transport}.md5").exists(), run.explain()
        yield folder


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_pictures_come_as_they_were_sent(folder: Path, transport: str) -> None:
    sent = frames.of_file(folder / "film.mkv").track("video")
    got = frames.read(folder / f"{transport}.md5").track("video")
    assert len(got) > LEAST_S * 25
    assert [frame.md5 for frame in got] == [frame.md5 for frame in sent[-len(got) :]]
    late_ms = [after.pts / 90 - before.pts for before, after in zip(sent[-len(got) :], got, strict=True)]
    assert max(late_ms) - min(late_ms) <= 2


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_samples_come_as_they_were_sent(folder: Path, transport: str) -> None:
    sent, got = (folder / "film.raw").read_bytes(), (folder / f"{transport}.raw").read_bytes()
    assert len(got) > LEAST_S * RATE_HZ * SAMPLE_BYTES
    begin = sent.find(got)
    assert begin >= 0
    assert len(sent) - begin - len(got) <= HELD_BACK_BYTES
