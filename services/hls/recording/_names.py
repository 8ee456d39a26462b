"""The names of recordings: ``APP/NAME/<UTC start>-<term>.<revision>-<n>.<ext>``, the stream's parts percent-encoded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch
from services.hls.recording._rules import RecordFormat

RECORD_FOLDER = "record"  #: in shared storage, and the first part of the URL

_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)
_FILE = re.compile(r"(\d{8}T\d{6}\.\d{3})Z-(\d{1,20})\.(\d{1,20})-(\d{1,9})\.(flv|ts|mp4)", re.ASCII)
_TIME = "%Y%m%dT%H%M%S.%f"


@dataclass(slots=True, frozen=True, kw_only=True)
class RecordingName:
    """The name of one file. Names are ordered by the start of their files, in text too."""

    stream: StreamKey
    started_us: int  #: Unix time in microseconds of its first unit at the publishing edge; the name tells milliseconds
    epoch: Epoch  #: of whoever recorded it: no two nodes write under one name
    number: int  #: of the files under that epoch, from 0
    format: RecordFormat

    @property
    def file(self) -> str:
        """The last part."""
        moment = _EPOCH_START + timedelta(milliseconds=self.started_us // 1000)
        term, revision = self.epoch
        return f"{moment.strftime(_TIME)[:-3]}Z-{term}.{revision}-{self.number}.{self.format.value}"

    @property
    def path(self) -> str:
        """Within the spool, and within `RECORD_FOLDER` of shared storage: ``APP/NAME/FILE``."""
        return f"{self.stream.quoted()}/{self.file}"

    @classmethod
    def parse(cls, path: str) -> RecordingName:
        """The name that is written as `path`, ``APP/NAME/FILE``.

        Raises:
            InvalidName: it is not one.
        """
        folder, _, file = path.rpartition("/")
        found = _FILE.fullmatch(file)
        if found is None or folder.count("/") != 1:
            raise InvalidName("not the name of a recording")
        time, term, revision, number, extension = found.groups()
        stream = StreamKey.from_quoted(folder)
        if stream.quoted() != folder:
            raise InvalidName("not the name of a recording")
        epoch = Epoch(int(term), int(revision))
        return cls(stream=stream, started_us=_unix_us(time), epoch=epoch, number=int(number), format=RecordFormat(extension))


def _unix_us(time: str) -> int:
    try:
        moment = datetime.strptime(time, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidName("not the name of a recording") from None
    return (moment - _EPOCH_START) // timedelta(microseconds=1)


def stored_path(path: str) -> str:
    """Where in shared storage the recording `path` is."""
    return f"{RECORD_FOLDER}/{path}"
