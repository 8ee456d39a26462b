"""One thing done with each of many: what goes wrong with one keeps it from no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

log = logging.getLogger(__name__)

TRACEBACKS = 10  #: of one call: what is wrong with one client may be so with thousands, each second

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def for_each_alone(items: Iterable[_Item], act: Callable[[_Item], _Result], failure: str) -> list[_Result]:
    """Call `act` with each of `items`, which may change meanwhile; gives the results, in order, of those with which it went well.

    Where it fails with one, by a bug of ours, the log says `failure` and has the traceback.
    """
    all_items, results, failed = list(items), list[_Result](), 0
    for item in all_items:
        try:
            results.append(act(item))
        except Exception:
            failed += 1
            if failed <= TRACEBACKS:
                log.exception(failure)
    if failed > TRACEBACKS:
        log.error("%s: %d of %d", failure, failed, len(all_items))
    return results
