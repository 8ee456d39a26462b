"""The table of lal's keys as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from lalmesh.runtime.config.lal._row import Row
from lalmesh.runtime.config.lal._rows import ROWS

_HEAD = """\
# lal's configuration, key by key

<!-- Written by `python -m lalmesh.runtime.config` from the table in lalmesh/runtime/config/lal; do not edit. -->

What becomes of each key of `lalserver.conf.json`, given by `--lal-config FILE` or made YAML by `lalmesh config from-lal FILE`.
*Absent* is what lal takes where the file does not have the key, and so what is taken here. [Moving from lal](migration-from-lal.md)
has the rest.

| key of lal | absent | fate | keys here | |
|---|---|---|---|---|"""


def lal_keys_markdown() -> str:
    """The text of ``docs/lal-configuration.md``."""
    return "\n".join([_HEAD, *_rows()]) + "\n"


def _rows() -> Iterator[str]:
    for row in ROWS.values():
        ours = ", ".join(f"`{path}`" for path in row.ours)
        says = row.says.replace("|", "\\|").replace("*", "\\*")
        yield f"| `{row.key}` | {_absent(row)} | {row.fate.value} | {ours} | {says} |"


def _absent(row: Row) -> str:
    match row.absent:
        case bool():
            return str(row.absent).lower()
        case tuple():
            return "none"
        case _:
            return f"`{row.absent}`" if row.absent != "" else ""
