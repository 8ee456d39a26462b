"""What is wrong with a configuration, and the error that carries all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lalmesh.errors import LalmeshError


@dataclass(slots=True, frozen=True)
class Problem:
    """One thing that is wrong."""

    key: str  #: full path of the key or section, or what was given where there is none
    text: str  #: what is wrong and what would be right
    source: str = ""  #: where it was given: file and line, environment variable, ``--set``

    def __str__(self) -> str:
        """``edge.rtmp.prot: unknown key, did you mean edge.rtmp.port? (lalmesh.yaml line 3)``."""
        text = f"{self.key}: {self.text}" + (f" ({self.source})" if self.source else "")
        return text.encode(errors="backslashreplace").decode()  # halves of characters, which no terminal takes


class ConfigError(LalmeshError):
    """The configuration cannot be used; the text has one line for each problem."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep all `problems`."""
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))
