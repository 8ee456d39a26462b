"""Who has a port, as far as this user may see."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from services.standalone.workers.supervisor import PROGRAM

Kind: TypeAlias = Literal["tcp", "udp"]

UNSEEN = "by whom this user cannot see"
LOOK = "if it is not the node itself: run this as root to see who it is"

_LISTENS = "0A"  # proc(5), /proc/net/tcp


@dataclass(slots=True, frozen=True)
class Owner:
    """Who has a port."""

    pid: int
    command: str

    @property
    def program(self) -> str:
        """What runs."""
        return Path(self.command.partition(" ")[0]).name or "?"

    @property
    def name(self) -> str:
        """As people are told of it."""
        return f"{'lalmesh' if self.is_ours else self.program}, process {self.pid}"

    @property
    def is_ours(self) -> bool:
        """Whether it is a lalmesh, a worker too."""
        words = self.command.split()
        return PROGRAM[-1] in words or any(Path(word).name.startswith("lalmesh") for word in words)


def owner_of(ports: Collection[int], kind: Kind = "tcp") -> Owner | None:
    """Who listens on one of these TCP ports, or has one of these UDP ports; None where that cannot be seen."""
    sockets = {f"socket:[{inode}]" for table in (kind, f"{kind}6") for inode in _having(Path("/proc/net", table), kind, ports)}
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        try:
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                return Owner(int(process.name), command.strip())
        except OSError:  # it has ended, or is another user's
            continue
    return None


def _having(table: Path, kind: Kind, ports: Collection[int]) -> Iterator[str]:
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return
    for row in rows:
        fields = row.split()
        if (kind == "udp" or fields[3] == _LISTENS) and int(fields[1].rpartition(":")[2], 16) in ports:
            yield fields[9]
