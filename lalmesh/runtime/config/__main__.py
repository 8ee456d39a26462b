"""``python -m lalmesh.runtime.config [DIRECTORY]`` rewrites what is generated from the models, in a source tree (default: here)."""

from __future__ import annotations

import sys
from pathlib import Path

from lalmesh.runtime.config import reference_markdown, sample_yaml
from lalmesh.runtime.config.lal import lal_keys_markdown


def main(directory: Path) -> None:
    """Write ``lalmesh.sample.yaml``, ``docs/configuration.md`` and ``docs/lal-configuration.md`` below `directory`."""
    for name, text in (
        ("lalmesh.sample.yaml", sample_yaml()),
        ("docs/configuration.md", reference_markdown()),
        ("docs/lal-configuration.md", lal_keys_markdown()),
    ):
        (directory / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {directory / name}\n")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2]))
