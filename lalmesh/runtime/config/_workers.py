"""How many processes a node is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from lalmesh.runtime.config._base import Allowed

MAX_WORKERS = 64  #: of one node: each is a process of some 100 MB, and as many gRPC ports follow each other
AUTO: Literal["auto"] = "auto"


def _known(value: object) -> object:
    """Refuse all else in words of its own: of two kinds, each would say what it is not."""
    text = isinstance(value, str)
    if text and str(value).isascii() and str(value).isdigit():  # as the environment and the command line have it
        value = int(str(value))
    if value != AUTO and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_WORKERS):
        raise ValueError("neither a number of processes nor auto")
    return value


Workers = Annotated[
    Annotated[int, Field(ge=1, le=MAX_WORKERS)] | Literal["auto"],
    BeforeValidator(_known),
    Allowed(f"auto, or an integer from 1 to {MAX_WORKERS}"),
]
