"""What GStreamer pushes by RTSP comes out of every output, as what ffmpeg does (`test_rtsp`).

It stamps packets by when its threads get to run, and begins with whichever track does first: others must not have the processor.
"""

from __future__ import annotations

import subprocess
from fractions import Fraction

import pytest
from e2e.test_rtsp import SERVERS, Case, Tables, compared, other_sound, rows
from support.shown_times import check_times

pytestmark = [
    pytest.mark.timeout(300),  # the first test of a server waits for all that is pushed
    pytest.mark.skipif(
        subprocess.run(["gst-inspect-1.0", "--exists", "rtspclientsink"], check=False, capture_output=True).returncode != 0,
        reason="gstreamer1.0-rtsp is not installed",
    ),
]

#: GStreamer reports after 3.1 s at the latest (RFC 3550 §6.2), until when its sound lies as it arrived; then it takes parts back.
#: And its own stamps of the first two of pictures that refer forward are off by what their track began later than the sound.
REPORTED_S = Fraction(35, 10)
#: GStreamer sends sound from when that flows on, which may be before its first picture: as long as one of its threads has waited.
AHEAD_S = Fraction(1)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return Tables(tmp_path_factory)


@pytest.mark.parametrize(("server", "case", "output"), rows("gstreamer"))
def test_every_frame_comes_out(tables: Tables, server: str, case: Case, output: str) -> None:
    sent, got = compared(tables.of(server, case.program), case, output)
    check_times(sent, got, after_s=REPORTED_S, kinds=["video"] if other_sound(case, output) else None, join_s=AHEAD_S)


@pytest.mark.parametrize("server", SERVERS)
def test_sessions_end_with_their_publishers(tables: Tables, server: str) -> None:
    assert tables.of(server, "gstreamer").sessions_are_over
