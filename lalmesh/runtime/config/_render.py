"""The configuration as YAML: the commented sample, and what is in force with where it came from."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from lalmesh.runtime.config._keys import Key, Section, root, value_at
from lalmesh.runtime.config._load import Loaded

MASK = "********"  #: stands for every secret, whatever its length
WIDTH = 110  #: of comment lines

_SAMPLE_HEAD = """\
Every key of lalmesh with its default; docs/configuration.md lists the same keys.
Written by `python -m lalmesh.runtime.config`. Keep only the keys that you change.
`--set edge.rtmp.port=1935` beats the environment, LALMESH_EDGE__RTMP__PORT=1935, beats this file."""


def sample_yaml() -> str:
    """The reference file: every key, its default, what it takes and what it is for."""
    lines = [*_comment(_SAMPLE_HEAD, ""), ""]
    for section in root().sections:
        lines += [*_sample_section(section, ""), ""]
    return "\n".join(lines).rstrip() + "\n"


def show_yaml(loaded: Loaded) -> str:
    """The configuration in force; secrets masked; a comment says where each value that is not the default came from."""
    return "\n".join(line for section in root().sections for line in _shown_section(section, loaded, "")) + "\n"


def yaml_value(value: object) -> str:
    """`value` on one line; JSON is YAML too."""
    return json.dumps(value, ensure_ascii=False)


def bytes_in_words(key: Key) -> str:
    """The default of a key that counts bytes in binary units, empty where that says no more: ``8 MiB``."""
    value = key.default
    if not key.name.endswith("_bytes") or not isinstance(value, int):
        return ""
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return ""


def _sample_section(section: Section, indent: str) -> Iterator[str]:
    yield from _comment(section.description, indent)
    yield f"{indent}{section.name}:"
    for key in section.keys:
        yield from _comment(f"{key.description} Allowed: {key.allowed}.{_only_from(key)}", indent + "  ")
        words = bytes_in_words(key)
        yield f"{indent}  {key.name}: {yaml_value(key.default)}" + (f"  # {words}" if words else "")
    for below in section.sections:
        yield ""
        yield from _sample_section(below, indent + "  ")


def _only_from(key: Key) -> str:
    return f" Only by {key.name}_file or {key.env}; stays empty here." if key.secret else ""


def _shown_section(section: Section, loaded: Loaded, indent: str) -> Iterator[str]:
    yield f"{indent}{section.name}:"
    for key in section.keys:
        value = value_at(loaded.config, key.path)
        source = f"  # {loaded.sources[key.path]}" if value != key.default and key.path in loaded.sources else ""
        yield f"{indent}  {key.name}: {yaml_value(MASK if key.secret and value else value)}{source}"
    for below in section.sections:
        yield from _shown_section(below, loaded, indent + "  ")


def _comment(text: str, indent: str) -> Iterator[str]:
    prefix = f"{indent}# "
    for line in text.splitlines():
        yield from textwrap.wrap(
            line, WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False, break_on_hyphens=False
        )
