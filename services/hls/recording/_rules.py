"""The rules of recording are the scheduler's too, and stand where both reach them."""

from __future__ import annotations

from lalmesh.runtime.recording import MAX_FILE_S, RecordFormat, RecordRule, RecordRules

__all__ = ["MAX_FILE_S", "RecordFormat", "RecordRule", "RecordRules"]
