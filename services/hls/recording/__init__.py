"""Recording: from units to files in the spool, from there to shared storage, and what is kept and shown of them.

| part | what it does |
|---|---|
| `Recordings` | all of a node: puts together what follows |
| `Recorder` | the core: runs in, commands for one file after the other out |
| `StreamRecording` | its shell: the commands go to the disk in the executor |
| `recover` | finishes what a crash left in the spool |
| `Uploader` | stores finished files, and keeps the spool within its bound |
| `GrowingUploads`, `Rescue` | growing files go to shared storage in pieces; those of a lost machine are put together |
| `sweep`, `SweepTurn` | what the rules let go is removed from shared storage, by one node of all |
| `Catalogue`, `answer_range` | what ``/record/`` shows |
"""

from __future__ import annotations

from services.hls.recording._catalogue import Catalogue, RecordingPage, StoredFile
from services.hls.recording._events import EndReason, RecordingDropped, RecordingFinished, RecordingStored
from services.hls.recording._formats import carries
from services.hls.recording._growing import GROWING_FOLDER, GrowingUploads
from services.hls.recording._names import RECORD_FOLDER, RecordingName, stored_path
from services.hls.recording._ranges import ByteRange, RangeAnswer, Unsatisfiable, answer_range, parse_range
from services.hls.recording._recorder import FileLimits, Recorder
from services.hls.recording._recordings import RecordedStream, RecordingEvent, Recordings, RecordingSettings
from services.hls.recording._recovery import recover
from services.hls.recording._rescue import Rescue
from services.hls.recording._retention import StoredRecording, outdated, sweep
from services.hls.recording._rules import RecordFormat, RecordRule, RecordRules
from services.hls.recording._spool import Spool
from services.hls.recording._turn import SweepTurn
from services.hls.recording._upload import UploadCounters, Uploader
from services.hls.recording._writing import RecordingCounters, StreamRecording

__all__ = [
    "GROWING_FOLDER",
    "RECORD_FOLDER",
    "ByteRange",
    "Catalogue",
    "EndReason",
    "FileLimits",
    "GrowingUploads",
    "RangeAnswer",
    "RecordFormat",
    "RecordRule",
    "RecordRules",
    "RecordedStream",
    "Recorder",
    "RecordingCounters",
    "RecordingDropped",
    "RecordingEvent",
    "RecordingFinished",
    "RecordingName",
    "RecordingPage",
    "RecordingSettings",
    "RecordingStored",
    "Recordings",
    "Rescue",
    "Spool",
    "StoredFile",
    "StoredRecording",
    "StreamRecording",
    "SweepTurn",
    "Unsatisfiable",
    "UploadCounters",
    "Uploader",
    "answer_range",
    "carries",
    "outdated",
    "parse_range",
    "recover",
    "stored_path",
    "sweep",
]
