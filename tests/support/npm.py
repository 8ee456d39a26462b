"""Programs from npm, each in the versions that a lock file in the repository names, below `.tools`."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / ".tools"
INSTALL_S = 300
LOCK = "package-lock.json"


def available() -> bool:
    """Whether node and npm are installed."""
    return bool(shutil.which("node") and shutil.which("npm"))


def install(locked: Path, into: Path) -> None:
    """Bring the packages that the lock file in `locked` names into the folder `into`; nothing if they are there.

    No script of theirs runs. Safe to call from several processes at once.
    """
    lock, stamp = locked / LOCK, into / "installed.json"
    into.mkdir(parents=True, exist_ok=True)
    with (into / "install.lock").open("w") as only_one:
        fcntl.flock(only_one, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
            return
        for name in ("package.json", LOCK):
            shutil.copy(locked / name, into / name)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--omit=peer"]
        subprocess.run(npm, cwd=into, stdin=subprocess.DEVNULL, check=True, timeout=INSTALL_S)
        shutil.copy(lock, stamp)
