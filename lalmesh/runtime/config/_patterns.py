"""Patterns of streams that can match none, because applications mean nothing (`cluster.match_app`): each stream is ``-/NAME`` then.

A rule that matches nothing guards nothing, so it is refused where it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from lalmesh.names import ANY_APP


def can_match(pattern: str, app: str) -> bool:
    """Whether streams of `app` can be among those whose ``app/name`` matches `pattern`."""
    head = pattern.partition("/")[0]
    if "[" in head and "]" not in head:
        return True  # the slash is one of a set
    before, star, _ = head.partition("*")
    return fnmatchcase(app, f"{before}*") if star else "/" in pattern and fnmatchcase(app, head)


def idle_patterns(rules: Iterable[tuple[str, Iterable[str]]], limits: Iterable[str]) -> Iterator[str]:
    """What is wrong with each of the rules and limits that can match nothing.

    Args:
        rules: by the path of their key, the patterns of ``app/name`` that they have.
        limits: patterns of applications alone.
    """
    for key, patterns in rules:
        for pattern in patterns:
            if not can_match(pattern, ANY_APP):
                yield f"{key}: {pattern[:50]!r} matches no stream {_WHY}"
    for pattern in limits:
        if not fnmatchcase(ANY_APP, pattern):
            yield f"auth.limits: {pattern[:50]!r} is no application {_WHY}"


_WHY = f"where cluster.match_app is false: each is {ANY_APP}/NAME"
