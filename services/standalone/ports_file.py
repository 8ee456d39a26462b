"""The file that says where a node listens, for whoever has started it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


def write_ports(path: Path, ports: Mapping[str, int]) -> None:
    """Write the file at once, so that who waits for it never reads half of it."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    made.write_text(f"{json.dumps(dict(ports))}\n")
    os.replace(made, path)
