"""How many cores a process may use: those that it may run on, or fewer where its control group grants it less than their time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from lalmesh.runtime.load import usable_cores

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
_OWN_IN_V1 = "cpu"  #: the controller, whose groups have a folder of that name


def granted_cores(*, cores: Callable[[], int] = usable_cores, groups: Path = CONTROL_GROUPS, own: Path = OWN_GROUPS) -> int:
    """Whole cores, at least one: of a quota of two and a half, two.

    Args:
        cores: gives those that the process may run on.
        groups: where control groups are mounted, of version 1 or 2.
        own: says which of them this process is in.
    """
    return max(1, int(min([float(cores()), *_quotas(groups, own)])))


def _quotas(groups: Path, own: Path) -> Iterator[float]:
    """Cores that the groups of this process are granted, and all groups above them, each by itself; none: no limit."""
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _of_folders(groups, path, _quota_v2)
        elif _OWN_IN_V1 in controllers.split(","):
            yield from _of_folders(groups / _OWN_IN_V1, path, _quota_v1)


def _of_folders(root: Path, path: str, quota: Callable[[Path], float | None]) -> Iterator[float]:
    own = PurePosixPath(path.lstrip("/"))
    for folder in dict.fromkeys((own, *own.parents, PurePosixPath())):  # in a container the own one may be seen as the root
        if (found := quota(root / folder)) is not None:
            yield found


def _quota_v2(folder: Path) -> float | None:
    return _cores(*_text(folder / "cpu.max").split()[:2])


def _quota_v1(folder: Path) -> float | None:
    return _cores(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _cores(quota_us: str = "", period_us: str = "") -> float | None:
    """What two numbers make, None where the first says that there is no limit, or they are none."""
    with contextlib.suppress(ValueError, ZeroDivisionError):
        cores = int(quota_us) / int(period_us)
        return cores if cores > 0 else None
    return None


def _text(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeError):
        return file.read_text()
    return ""
