"""Write what is generated of the Helm chart: ``values.schema.json``, and of the configuration its defaults and its secrets.

``python -m tools.chart`` writes them below ``charts/lalmesh``; ``--check`` only says whether they are as they should be.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lalmesh.runtime.config import config_schema
from lalmesh.runtime.config._keys import Section, all_keys, root
from tools.chart_values import ChartValues

CHART = Path(__file__).resolve().parent.parent / "charts" / "lalmesh"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
WRITTEN_BY = "# Written by `make docs` from the models in lalmesh/runtime/config; do not edit.\n"

ROLES = ["edge", "origin", "scheduler", "hls"]
#: Which roles read the secrets below a path, the first that fits; of others all do. What a pod does not need it does not get.
READERS: dict[str, list[str]] = {
    "edge.": ["edge"],
    "auth.": ["edge", "hls"],
    "hls.session.": ["edge", "hls"],
    "hls.": ["hls"],
    "scheduler.": ["scheduler"],
    "notify.": ["scheduler"],
}


@cache
def values_schema() -> dict[str, Any]:
    """The schema of the chart's values; what stands below ``config`` is that of the configuration file, without secrets.

    Not to be changed: it is the same for all.
    """
    schema, config = ChartValues.model_json_schema(), config_schema()
    ours, theirs = schema.pop("$defs"), config.pop("$defs")
    if clashes := ours.keys() & theirs.keys():
        raise ValueError(f"two models of one name: {clashes}")
    definitions = {**theirs, **ours}
    del config["$schema"]
    schema["properties"] = {"config": config, **schema["properties"]}
    return {"$schema": DIALECT, **_without_titles(schema), "$defs": {name: _refusing(it) for name, it in definitions.items()}}


def _refusing(definition: dict[str, Any]) -> dict[str, Any]:
    """`definition` with no secret in it: values are kept by Helm, and in repositories."""
    plain = _without_titles(definition)
    for name, key in plain.get("properties", {}).items():
        if key.get("format") == "password":
            words = f"{key['description']} Never here: a key of the Secret (docs/kubernetes.md)."
            plain["properties"][name] = {"description": words, "const": ""}
    return plain


def _without_titles(node: dict[str, Any]) -> dict[str, Any]:
    """pydantic's titles are the names over again; properties may be called so, and stay."""
    return {
        name: {key: _cleaned(value) for key, value in it.items()} if name == "properties" else _cleaned(it)
        for name, it in node.items()
        if not (name == "title" and isinstance(it, str))
    }


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_titles(value)
    return [_cleaned(item) for item in value] if isinstance(value, list) else value


def defaults() -> dict[str, Any]:
    """Every key of the configuration with its default: what templates go by where values say nothing."""
    return _defaults(root())


def _defaults(section: Section) -> dict[str, Any]:
    return {key.name: key.default for key in section.keys} | {below.name: _defaults(below) for below in section.sections}


def secrets() -> list[dict[str, Any]]:
    """Every secret of the configuration: its key in the Secret, the environment variable, who gets it."""
    return [{"key": key.path, "env": key.env, "roles": list(_readers(key.path))} for key in all_keys().values() if key.secret]


def _readers(path: str) -> list[str]:
    return next((roles for start, roles in READERS.items() if path.startswith(start)), ROLES)


def generated() -> dict[Path, str]:
    """The texts of all generated files."""
    return {
        CHART / "values.schema.json": json.dumps(values_schema(), indent=2) + "\n",
        CHART / "files" / "defaults.yaml": WRITTEN_BY + yaml.safe_dump(defaults(), sort_keys=False, width=130),
        CHART / "files" / "secrets.yaml": WRITTEN_BY + yaml.safe_dump(secrets(), sort_keys=False, width=130),
    }


def main() -> None:
    """Write the files, or with ``--check`` exit with 1 where one is not as it should be."""
    outdated = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    for path in outdated:
        print(f"{path}: " + ("outdated, run `make docs`" if "--check" in sys.argv else "written"))
        if "--check" not in sys.argv:
            path.write_text(generated()[path])
    sys.exit("--check" in sys.argv and bool(outdated))


if __name__ == "__main__":
    main()
