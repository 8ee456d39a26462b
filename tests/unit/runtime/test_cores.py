"""How many cores a process may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from lalmesh.runtime.cores import granted_cores


class Machine:
    """Eight cores, and control groups as files."""

    def __init__(self, root: Path, own: str) -> None:
        self._root = root
        (root / "own").write_text(own)

    def write(self, path: str, text: str) -> None:
        file = self._root / "groups" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def cores(self) -> int:
        return granted_cores(cores=lambda: 8, groups=self._root / "groups", own=self._root / "own")


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 8), ("", 8), ("x y", 8)]
)
def test_a_quota_grants_whole_cores_and_at_least_one(tmp_path: Path, quota: str, cores: int) -> None:
    machine = Machine(tmp_path, "0::/\n")
    machine.write("cpu.max", f"{quota}\n")
    assert machine.cores() == cores


def test_the_smallest_quota_of_all_groups_above_counts(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/pods/one/box\n")
    for path, quota in (("pods", 300_000), ("pods/one", 600_000), ("pods/one/box", 400_000)):
        machine.write(f"{path}/cpu.max", f"{quota} 100000\n")
    assert machine.cores() == 3


def test_groups_of_version_one_say_it_in_two_files(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "9:memory:/x\n4:cpu,cpuacct:/box\n0::/\n")
    machine.write("cpu/box/cpu.cfs_quota_us", "400000\n")
    machine.write("cpu/box/cpu.cfs_period_us", "100000\n")
    assert machine.cores() == 4
    machine.write("cpu/box/cpu.cfs_quota_us", "-1\n")
    assert machine.cores() == 8


def test_where_nothing_is_said_all_cores_are_there(tmp_path: Path) -> None:
    assert granted_cores(cores=lambda: 8, groups=tmp_path, own=tmp_path / "none") == 8
