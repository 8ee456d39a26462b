"""The reference of the configuration as Markdown, and its JSON schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lalmesh.runtime.config._config import Config
from lalmesh.runtime.config._keys import Key, Section, root
from lalmesh.runtime.config._render import bytes_in_words, yaml_value

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_INTRODUCTION = """\
# Configuration

<!-- Written by `python -m lalmesh.runtime.config` from the models in lalmesh/runtime/config; do not edit. -->

One tree serves all roles. A value comes from, the first that has it:

1. the command line: `--set edge.rtmp.port=1935`, as often as needed, the last one counts;
2. the environment: `LALMESH_EDGE__RTMP__PORT=1935`, the path in capitals, two underscores for each dot;
3. the YAML file given with `--config`; `lalmesh.sample.yaml` is one with every key and its default;
4. the default below.

On the command line and in the environment a list is written with commas: `LALMESH_CLUSTER__SCHEDULERS=a:50051,b:50051`.

A key that does not exist is refused, wherever it stands, with the nearest one that does. The variables that Kubernetes makes
for services, such as `LALMESH_EDGE_PORT_1935_TCP`, are let be. All problems are reported at once.

Secrets are never taken from the file or the command line, only from a file of their own (the key with `_file`) or the environment,
and are never shown. Blanks and line ends around a secret in a file are dropped. Relative file names start at the working directory.

A key that is *live* changes while a node runs: on SIGHUP, which has the file read again, and over the API (`PATCH /v1/settings`),
which stands above all of these. See [settings](settings.md).

The unit is part of the name: `_s` seconds, `_ms` milliseconds, `_bytes` bytes, `_bps` bits per second.

```text
lalmesh config check  --config lalmesh.yaml [--set KEY=VALUE ...] [--role edge]   # "ok", or every problem and exit status 1
lalmesh config show   --config lalmesh.yaml [--set KEY=VALUE ...]   # what is in force, and where it came from
lalmesh config schema                                               # JSON schema of the file
```
"""


def reference_markdown() -> str:
    """The text of ``docs/configuration.md``."""
    sections = ("\n".join(_section(section)) for section in root().walk() if section.path)
    return "\n".join([_INTRODUCTION, *sections])


def config_schema() -> dict[str, Any]:
    """The JSON schema of the configuration file."""
    return {"$schema": SCHEMA_DIALECT, **Config.model_json_schema()}


def _section(section: Section) -> Iterator[str]:
    yield f"{'#' * (2 + section.path.count('.'))} {section.path}"
    yield ""
    yield _cell(section.description)
    yield ""
    if section.keys:
        yield "| key | default | allowed | live | meaning |"
        yield "|---|---|---|---|---|"
        yield from (_row(key) for key in section.keys)
        yield ""


def _row(key: Key) -> str:
    words = bytes_in_words(key)
    default = f"`{yaml_value(key.default)}`" + (f" ({words})" if words else "")
    return f"| `{key.name}` | {default} | {_cell(key.allowed)} | {'yes' if key.live else ''} | {_cell(key.description)} |"


def _cell(text: str) -> str:
    """`text` with the marks escaped that Markdown would take for its own."""
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*").replace(" _ ", " \\_ ")
