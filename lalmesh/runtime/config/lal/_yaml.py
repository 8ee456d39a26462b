"""A converted file as YAML, for whoever goes on with that."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lalmesh.runtime.config._keys import Key, all_keys
from lalmesh.runtime.config.lal._made import Conversion

MISSING_FILE = "REPLACE-ME"  #: there is none, and a configuration that names it is refused


def lal_yaml(made: Conversion, secrets: Path | None = None) -> str:
    """The values of `made` that are not the default, as a file that ``--config`` takes.

    Args:
        made: what was converted.
        secrets: folder that each secret is written to, in a file for its owner alone; None: the file that a key names is missing,
            so that nothing starts with less than lal protects.

    Raises:
        OSError: a secret cannot be written.
    """
    tree: dict[str, Any] = {}
    for key, value in _said(made):
        *parents, name = key.path.split(".")
        section = tree
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = _secret(key, str(value), secrets) if key.secret else json.dumps(value, ensure_ascii=False)
    return "\n".join(_lines(tree, "")) + "\n"


def _said(made: Conversion) -> Iterator[tuple[Key, object]]:
    for path, key in all_keys().items():
        if path in made.values and made.values[path] != key.default:
            yield key, made.values[path]


def _secret(key: Key, secret: str, folder: Path | None) -> Path | None:
    """Where a secret was written to; None where it was not."""
    if folder is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / key.path
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(secret + "\n")
    return path.absolute()


def _lines(tree: Mapping[str, Any], indent: str, path: str = "") -> Iterator[str]:
    for name, value in tree.items():
        below = f"{path}.{name}" if path else name
        match value:
            case dict():
                yield f"{indent}{name}:"
                yield from _lines(value, indent + "  ", below)
            case Path():
                yield f"{indent}{name}_file: {json.dumps(str(value))}"
            case None:
                yield f"{indent}# a secret of lal's file: name a file with it here, or set {all_keys()[below].env} without this"
                yield f"{indent}{name}_file: {MISSING_FILE}"
            case _:
                yield f"{indent}{name}: {value}"
