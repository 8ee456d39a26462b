"""The console where it is built, and where it cannot be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

from services.scheduler.console import INDEX, PLAYER, built

ROOT = Path(__file__).parents[2]
FILES = "services/scheduler/console_files/"
PACKED = ("LICENSE", "README.md", "pyproject.toml")


def wheel(root: Path, into: Path) -> set[str]:
    """Names of the files in the wheel of a checkout."""
    (made,) = WheelBuilder(str(root)).build(directory=str(into), versions=["standard"])
    with ZipFile(made) as packed:
        return set(packed.namelist())


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What wheels are made of, without the console."""
    for name in PACKED:
        shutil.copy(ROOT / name, tmp_path)
    for package in ("lalmesh", "services"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def build_into(folder: Path) -> None:
    (folder / "assets").mkdir(parents=True)
    for name in (INDEX, f"{INDEX}.gz", PLAYER, "assets/index-1.js", "assets/index-1.js.gz", "assets/a-2.svg", ".built"):
        (folder / name).touch()


def test_a_wheel_carries_the_console_where_the_scheduler_looks_for_it(checkout: Path, tmp_path: Path) -> None:
    without = wheel(checkout, tmp_path / "without")
    assert not any(name.startswith(FILES) for name in without)
    build_into(checkout / "console" / "dist")
    found = wheel(checkout, tmp_path / "with") - without
    assert found == {
        FILES + name for name in (INDEX, f"{INDEX}.gz", PLAYER, "assets/index-1.js", "assets/index-1.js.gz", "assets/a-2.svg")
    }
    assert {name.partition("/")[0] for name in without if ".dist-info" not in name} == {"lalmesh", "services"}


def test_all_that_is_built_for_the_console_is_served() -> None:
    dist = ROOT / "console" / "dist"
    if not (dist / INDEX).exists():
        pytest.skip("npm is not installed")
    unpacked = {
        str(path.relative_to(dist)) for path in dist.rglob("*") if path.suffix != ".gz" and path.name[0] != "." and path.is_file()
    }
    assert set(built([dist])) == unpacked


def test_without_npm_the_console_is_left_out(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tmp_path / "console").mkdir()
    shutil.copy(ROOT / "tools" / "console.sh", tools)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    done = subprocess.run(
        [programs / "bash", tools / "console.sh"],
        env={"PATH": str(programs)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "console" / "dist").exists()
