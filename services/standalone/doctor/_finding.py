"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    SKIPPED = "skipped"  #: it could not be told
    WARNING = "warning"  #: it works, and will not always
    FAILED = "failed"  #: it does not work


@dataclass(slots=True, frozen=True)
class Finding:
    """One thing that was looked at."""

    status: Status
    subject: str  #: what was looked at: a listener, a host, a file
    found: str  #: what there is
    remedy: str = ""  #: what to do about it; empty where nothing is to be done


def ok(subject: str, found: str) -> Finding:
    """All is well."""
    return Finding(Status.OK, subject, found)


def skipped(subject: str, found: str, remedy: str = "") -> Finding:
    """It could not be told."""
    return Finding(Status.SKIPPED, subject, found, remedy)


def warning(subject: str, found: str, remedy: str) -> Finding:
    """It works, and will not always."""
    return Finding(Status.WARNING, subject, found, remedy)


def failed(subject: str, found: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(Status.FAILED, subject, found, remedy)
