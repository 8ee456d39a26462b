"""What hls nodes say to edges in the headers of their answers."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.runtime import telemetry

#: of a 503: this node cannot tell who segments the stream, since no scheduler answers; another may know, or be the one
OWNER_HEADER = "X-Lalmesh-Owner"
OWNER_UNKNOWN = "unknown"
#: of a playlist for a player that an edge counts: what its stream is coded with, separated by commas
CODECS_HEADER = "X-Lalmesh-Codecs"
#: ... and which publication is in it: its id, and its `traceparent` behind a space where it has one
PUBLICATION_HEADER = "X-Lalmesh-Publication"


@dataclass(slots=True, frozen=True)
class Played:
    """The publication that a player gets."""

    publication: str = ""  #: its id, hexadecimal; empty: not known
    trace: telemetry.TraceContext | None = None  #: its span; None: it has none

    @classmethod
    def of(cls, publication: bytes) -> Played:
        """What is known of a publication here."""
        return cls(publication.hex(), telemetry.of_publication(publication))

    @classmethod
    def parse(cls, text: str) -> Played:
        """What the header `PUBLICATION_HEADER` says; nothing where there is none."""
        publication, _, traceparent = text.partition(" ")
        return cls(publication, telemetry.TraceContext.parse(traceparent))

    def __str__(self) -> str:
        """As the header says it."""
        return f"{self.publication} {self.trace or ''}".rstrip()


NOT_KNOWN = Played()


def codecs_in(text: str) -> tuple[str, ...]:
    """What the header `CODECS_HEADER` says; empty where there is none."""
    return tuple(text.split(",")) if text else ()
