"""Recording: from units to files in the spool, from there to shared storage, and what is kept and shown of them.

| part | what it does |
|---|---|
| `Recorder` | the core: runs in, commands for one file after the other out |
| `StreamRecording` | its shell: the commands go to the disk in the executor |
| `recover` | finishes what a crash left in the spool |
| `Uploader` | stores finished files, and keeps the spool within its bound |
| `sweep` | removes from shared storage what the rules let go |
| `Catalogue`, `answer_range` | what ``/record/`` shows |
"""

from __future__ import annotations

from services.hls.recording._catalogue import Catalogue, RecordingPage, StoredFile
from services.hls.recording._events import EndReason, RecordingDropped, RecordingFinished, RecordingStored
from services.hls.recording._names import RECORD_FOLDER, RecordingName, stored_path
from services.hls.recording._ranges import ByteRange, RangeAnswer, Unsatisfiable, answer_range, parse_range
from services.hls.recording._recorder import FileLimits, Recorder
from services.hls.recording._recovery import recover
from services.hls.recording._retention import StoredRecording, outdated, sweep
from services.hls.recording._rules import RecordFormat, RecordRule, RecordRules
from services.hls.recording._spool import Spool
from services.hls.recording._upload import UploadCounters, Uploader
from services.hls.recording._writing import RecordingCounters, StreamRecording

__all__ = [
    "RECORD_FOLDER",
    "ByteRange",
    "Catalogue",
    "EndReason",
    "FileLimits",
    "RangeAnswer",
    "RecordFormat",
    "RecordRule",
    "RecordRules",
    "Recorder",
    "RecordingCounters",
    "RecordingDropped",
    "RecordingFinished",
    "RecordingName",
    "RecordingPage",
    "RecordingStored",
    "Spool",
    "StoredFile",
    "StoredRecording",
    "StreamRecording",
    "Unsatisfiable",
    "UploadCounters",
    "Uploader",
    "answer_range",
    "outdated",
    "parse_range",
    "recover",
    "stored_path",
    "sweep",
]
