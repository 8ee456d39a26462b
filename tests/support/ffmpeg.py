"""ffmpeg as publisher and player: a current one (enhanced RTMP) and Debian's as the old client. Every run is bounded in time."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg

from support.process import Child, ProcessError

FFMPEG = Path(imageio_ffmpeg.get_ffmpeg_exe())  #: current, out of the imageio-ffmpeg wheel; it has no ffprobe
OLD_FFMPEG = Path(shutil.which("ffmpeg") or "/usr/bin/ffmpeg")  #: the system's, 5.1 on Debian 12: knows no enhanced RTMP
FFPROBE = Path(shutil.which("ffprobe") or "/usr/bin/ffprobe")

NETWORK_TIMEOUT_S = 30  #: after which a read or write on a socket fails inside ffmpeg; players may come long before a publisher
#: What a player looks at before it begins to write rows. ffmpeg's own 5 s would make every test as long.
PROBING = ("-analyzeduration", "1000000", "-fpsprobesize", "0")
#: Rows of every packet with the times that the wire carried: nothing shifted, nothing left out before a key frame.
FRAME_HASHES = (
    *("-map", "0", "-c", "copy", "-copyinkf", "-avoid_negative_ts", "disabled"),
    *("-flush_packets", "1", "-max_interleave_delta", "1"),  # each row at once: a player that is stopped has written all it got
    *("-f", "framemd5"),
)


def bounded(limit_s: float, command: Sequence[str | Path]) -> list[str]:
    """`command` under a hard limit: SIGTERM after `limit_s`, SIGKILL 2 s later. ffmpeg may ignore the first in a network read."""
    return ["timeout", "-k", "2", str(limit_s), *(str(part) for part in command)]


def quiet(ffmpeg: Path) -> list[str]:
    """The head of every ffmpeg command line."""
    return [str(ffmpeg), "-hide_banner", "-loglevel", "warning", "-nostdin"]


def network_options(url: str) -> list[str]:
    """What has to stand before a URL, so that a dead peer ends it and a test certificate is taken."""
    options = ["-rw_timeout", str(NETWORK_TIMEOUT_S * 1_000_000)]
    return [*options, "-tls_verify", "0"] if url.startswith(("rtmps:", "https:")) else options


def run(*args: str | Path, limit_s: float = 30, ffmpeg: Path = FFMPEG) -> str:
    """What ffmpeg prints on its standard output when run with `args`.

    Raises:
        ProcessError: it failed, or did not end within `limit_s`; with its error output.
    """
    done = subprocess.run(
        bounded(limit_s, [*quiet(ffmpeg), *args]), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s + 10, check=False
    )
    if done.returncode:
        raise ProcessError(f"ffmpeg {' '.join(str(arg) for arg in args)} ended with {done.returncode}:\n{done.stderr.decode()}")
    return done.stdout.decode()


class Publisher(Child):
    """ffmpeg that pushes a file in real time, packets untouched."""

    def __init__(self, file: Path, url: str, *, log: Path, loops: int = 0, limit_s: float = 150, ffmpeg: Path = FFMPEG) -> None:
        """Start it.

        Args:
            file: an FLV file; it is sent as it is.
            url: ``rtmp://`` or ``rtmps://``, application and stream name included.
            log: where its output goes.
            loops: how often to start again after the first run; -1 for ever.
            limit_s: it is ended after this at the latest.
            ffmpeg: which one.
        """
        head = [*quiet(ffmpeg), "-re", "-stream_loop", str(loops), "-i", str(file), "-map", "0", "-c", "copy"]
        tail = ["-f", "flv", "-flvflags", "no_duration_filesize", *network_options(url), url]
        super().__init__(bounded(limit_s, [*head, *tail]), log=log)


class Camera(Child):
    """ffmpeg that makes up pictures and sound in real time and pushes them: a stream that has no end for those who take long."""

    def __init__(self, url: str, *, log: Path, limit_s: float = 900) -> None:
        """Start it.

        Args:
            url: ``rtmp://``, application and stream name included.
            log: where its output goes.
            limit_s: it is ended after this at the latest.
        """
        sources = ("-re", "-f", "lavfi", "-i", "testsrc2=s=160x90:r=10", "-re", "-f", "lavfi", "-i", "sine=r=22050")
        pictures = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "10")
        tail = (*pictures, "-c:a", "aac", "-f", "flv", *network_options(url), url)
        super().__init__(bounded(limit_s, [*quiet(FFMPEG), *sources, *tail]), log=log)


class Player(Child):
    """ffmpeg that plays a URL and writes one row for each packet that it gets: times, size, hash."""

    def __init__(
        self, url: str, rows: Path, *, log: Path, limit_s: float = 150, ffmpeg: Path = FFMPEG, options: Sequence[str] = ()
    ) -> None:
        """Start it.

        Args:
            url: what to play.
            rows: where the rows go, to be read with `support.frames.read`.
            log: where its own messages go.
            limit_s: it is ended after this at the latest.
            ffmpeg: which one.
            options: more input options.
        """
        self.rows = rows
        rows.unlink(missing_ok=True)
        head = [*quiet(ffmpeg), "-copyts", *PROBING, *options, *network_options(url), "-i", url]
        super().__init__(bounded(limit_s, [*head, *FRAME_HASHES, str(rows)]), log=log)

    def row_count(self) -> int:
        """How many packets it has got so far."""
        if not self.rows.exists():
            return 0
        return sum(1 for line in self.rows.read_text().splitlines() if line and not line.startswith("#"))
