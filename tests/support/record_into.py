"""Record a made-up stream into a folder, as a process of its own: for disks that are full and processes that are killed.

``python -m support.record_into FOLDER FORMAT GOPS``: records so many groups of pictures, and prints a line for each file that is
complete, ``PATH REASON MISSING``, and in the end the units that were given and that were lost.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from services.hls.recording import EndReason, FileLimits, Recorder, RecordFormat, RecordingFinished, Spool, StreamRecording
from services.hls.recording import _writing as writing
from support.recordings import AV, EPOCH, STREAM, pictures, run, with_audio

GOP = 25
PICTURE_BYTES = 250
GIVEN_EVERY_S = 0.01  #: a GOP, so a hundred times as fast as live


def tell(finished: RecordingFinished) -> None:
    print(finished.path, finished.reason.value.replace(" ", "-"), finished.missing, flush=True)


async def record(folder: Path, record_format: RecordFormat, gops: int) -> None:
    writing.WRITE_S = 0.02
    recording = StreamRecording(Recorder(STREAM, record_format, FileLimits(), EPOCH), Spool(folder), tell)
    task = asyncio.create_task(recording.run())
    given = 0
    for gop in range(gops):
        units = with_audio(pictures(gop * GOP, (gop + 1) * GOP, size=PICTURE_BYTES))
        given += len(units)
        recording.receive(run(units, AV))
        await asyncio.sleep(GIVEN_EVERY_S)
    recording.close(EndReason.ENDED)
    await task
    print("given", given, "lost", recording.counters.lost_units, flush=True)


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1]), RecordFormat(sys.argv[2]), int(sys.argv[3])))
