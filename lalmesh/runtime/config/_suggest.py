"""The nearest known key to one that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from lalmesh.runtime.config._keys import all_keys, all_sections

MIN_LIKENESS = 0.6  #: below it a suggestion misleads more than it helps


def unknown_key(path: str) -> str:
    """What to say of the unknown key at `path`: the nearest known one, else what its section has."""
    if path in all_sections():
        return f"a section, not a key; it has {_contents(path)}"
    near = nearest(path)
    if near is not None:
        return f"unknown key, did you mean {near}?"
    section = path
    while section not in all_sections():
        section = section.rpartition(".")[0]
    return f"unknown key, {section or 'the configuration'} has {_contents(section)}"


def nearest(path: str) -> str | None:
    """The known key or section that `path` was probably meant to be, None where none is much like it.

    One in the same section is preferred, then one of the same last name elsewhere; the whole path counts only where its
    section does not exist either.
    """
    parent, _, name = path.rpartition(".")
    known = [*all_keys(), *(section for section in all_sections() if section)]
    siblings = {_name(other): other for other in known if other.rpartition(".")[0] == parent}
    namesakes = [other for other in known if _name(other) == name]
    return (
        siblings.get(_closest(name, siblings) or "")
        or _closest(path, namesakes)
        or (None if parent in all_sections() else _closest(path, known))
    )


def _closest(text: str, among: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(text, list(among), n=1, cutoff=MIN_LIKENESS)), None)


def _name(path: str) -> str:
    return path.rpartition(".")[2]


def _contents(section: str) -> str:
    found = all_sections()[section]
    return ", ".join([*(key.name for key in found.keys), *(below.name for below in found.sections)])
