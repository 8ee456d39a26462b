"""Write the dashboards: ``python -m tools.dashboards`` into ``charts/lalmesh/dashboards``, a file each."""

from __future__ import annotations

import json
from pathlib import Path

from tools.dashboards import cluster, control_plane, edge, hls, origin, stream, traces

FOLDER = Path(__file__).resolve().parents[2] / "charts" / "lalmesh" / "dashboards"
MODULES = (cluster, stream, edge, origin, control_plane, hls, traces)


def generated() -> dict[Path, str]:
    """The texts of all files."""
    return {FOLDER / _file(module.__name__): json.dumps(module.DASHBOARD.to_json(), indent=1) + "\n" for module in MODULES}


def _file(module: str) -> str:
    return f"{module.rpartition('.')[2].replace('_', '-')}.json"


def main() -> None:
    """Write them, and remove what is none of them."""
    texts = generated()
    FOLDER.mkdir(exist_ok=True)
    for path in set(FOLDER.glob("*.json")) - texts.keys():
        path.unlink()
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
