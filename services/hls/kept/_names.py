"""What a kept segment is called, and where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from lalmesh.media import TICKS_PER_SECOND
from lalmesh.names import StreamKey
from lalmesh.protocol.hls import Segment
from lalmesh.runtime.ownership import Epoch

ROOT = "record-hls"  #: in shared storage: ``APP/NAME/FILE`` below it
_MS_TICKS = TICKS_PER_SECOND // 1000
_FILE = re.compile(r"(\d{16})-(\d{1,19})\.(\d{1,19})-(\d{1,16})-(\d{1,9})-(\d{1,5})(d?)\.ts", re.ASCII)


@dataclass(slots=True, frozen=True, kw_only=True)
class KeptName:
    """The name of a kept segment; in text they are ordered by number."""

    number: int  #: media sequence number
    epoch: Epoch  #: of the worker
    begun_ms: int  #: Unix time of its first picture
    duration: int  #: ticks
    target_s: int  #: TARGETDURATION of its playlist
    discontinuity: bool = False

    def __str__(self) -> str:
        """The last part of its path."""
        mark = "d" if self.discontinuity else ""
        term, revision = self.epoch
        return f"{self.number:016d}-{term}.{revision}-{self.begun_ms}-{self.duration}-{self.target_s}{mark}.ts"

    @classmethod
    def of(cls, segment: Segment, target_s: int, epoch: Epoch) -> KeptName:
        """The name that `segment` of a live playlist is kept under."""
        return cls(
            number=segment.number,
            epoch=epoch,
            begun_ms=segment.program_date_time_us // 1000,
            duration=segment.duration,
            target_s=target_s,
            discontinuity=segment.discontinuity,
        )

    @classmethod
    def parse(cls, file: str) -> KeptName | None:
        """The name that is written as `file`, None where it is not one."""
        found = _FILE.fullmatch(file)
        if found is None:
            return None
        number, term, revision, begun_ms, duration, target_s = map(int, found.groups()[:-1])
        return cls(
            number=number,
            epoch=Epoch(term, revision),
            begun_ms=begun_ms,
            duration=duration,
            target_s=target_s,
            discontinuity=bool(found[7]),
        )

    @property
    def end_ms(self) -> int:
        """Unix time of its end."""
        return self.begun_ms + self.duration // _MS_TICKS


def kept_path(stream: StreamKey, file: str) -> str:
    """Where in storage a kept segment is."""
    return f"{kept_folder(stream)}/{file}"


def kept_folder(stream: StreamKey) -> str:
    """Where in storage the kept segments of `stream` are."""
    return f"{ROOT}/{stream.quoted()}"


def one_of_each_number(names: Iterable[KeptName]) -> Iterator[KeptName]:
    """Of several with one number that of the highest epoch: the others are of workers that did not finish it for all.

    Args:
        names: sorted by number.
    """
    for _, same in groupby(names, lambda name: name.number):
        yield max(same, key=lambda name: name.epoch)
