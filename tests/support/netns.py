"""Network namespaces on one bridge: each process has an address of its own and is cut off as a machine would be. Needs root.

A wire that is unplugged carries nothing either way. A cut between two addresses is a route of one of them to a device that leads
nowhere: what it sends vanishes silently, as on a broken way, and what it is sent still arrives.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

COMMAND_LIMIT_S = 10.0
PREFIX = "lmc"  #: of all names here; the process id of the owner follows
NETWORK = "198.18"  #: for benchmarks, so that no machine has it (RFC 2544); the third byte is the owner's


def can_make_namespaces() -> bool:
    """Whether this process may: root with the right to change the network, with the programs that do so."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        return False
    probe = f"{PREFIX}{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0
    if made:
        _ip("netns", "del", probe)
    return made


class Namespace:
    """One machine on the network."""

    def __init__(self, network: Network, number: int) -> None:
        """Make it, with the address that has `number` at its end."""
        self.address = f"{network.prefix}.{number}"
        self.name = f"{network.tag}-{number}"
        self._network = network
        _ip("netns", "add", self.name)
        _batch(
            "",
            f"link add {self.name} type veth peer name eth0 netns {self.name}",
            f"link set {self.name} master {network.tag} up",
        )
        _batch(
            self.name,
            "link set lo up",
            f"addr add {self.address}/24 dev eth0",
            "link set eth0 up",
            "link add nowhere type veth peer name nobody",  # a device that takes everything and leads nowhere
            "link set nowhere arp off up",
            "link set nobody arp off up",
        )

    @property
    def inside(self) -> tuple[str, ...]:
        """The command that runs what follows in it, and becomes it."""
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def unplug(self) -> None:
        """Nothing goes in or out."""
        _ip("link", "set", self.name, "down")

    def plug(self) -> None:
        """The wire is whole again."""
        _ip("link", "set", self.name, "up")

    def lose(self, *others: Namespace) -> None:
        """What it sends to `others` vanishes; what they send still comes."""
        _batch(self.name, *(f"route replace {other.address}/32 dev nowhere src {self.address}" for other in others))

    def find(self, *others: Namespace) -> None:
        """What it sends to `others` arrives again."""
        _batch(self.name, *(f"route del {other.address}/32 dev nowhere" for other in others))


class Network:
    """A bridge in the namespace of this process, which has the address 1 on it. A context manager."""

    def __init__(self) -> None:
        """Describe it; entering the block makes it."""
        self.tag = f"{PREFIX}{os.getpid()}"
        self.prefix = f"{NETWORK}.{os.getpid() % 254 + 1}"
        self.namespaces: list[Namespace] = []

    def add(self) -> Namespace:
        """One more machine."""
        namespace = Namespace(self, len(self.namespaces) + 2)
        self.namespaces.append(namespace)
        return namespace

    @staticmethod
    def cut(one: Namespace, *others: Namespace) -> None:
        """Nothing goes between `one` and `others`, either way."""
        one.lose(*others)
        for other in others:
            other.lose(one)

    @staticmethod
    def heal(one: Namespace, *others: Namespace) -> None:
        """What `cut` did is over."""
        one.find(*others)
        for other in others:
            other.find(one)

    def __enter__(self) -> Self:
        _sweep()
        _batch("", f"link add {self.tag} type bridge", f"addr add {self.prefix}.1/24 dev {self.tag}", f"link set {self.tag} up")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _remove(self.tag)


def _sweep() -> None:
    """Remove what owners left that were killed."""
    names = [path.name for path in Path("/run/netns").glob(f"{PREFIX}*")] if Path("/run/netns").exists() else []
    for tag in {name.partition("-")[0] for name in names}:
        if not Path(f"/proc/{tag.removeprefix(PREFIX)}").exists():
            _remove(tag)


def _remove(tag: str) -> None:
    """All namespaces of one owner, what runs in them, and its bridge."""
    for path in Path("/run/netns").glob(f"{tag}-*"):
        listed = subprocess.run(["ip", "netns", "pids", path.name], capture_output=True, text=True, check=False)
        for pid in listed.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for command in (["link", "del", path.name], ["netns", "del", path.name]):
            subprocess.run(["ip", *command], capture_output=True, check=False, timeout=COMMAND_LIMIT_S)
    subprocess.run(["ip", "link", "del", tag], capture_output=True, check=False, timeout=COMMAND_LIMIT_S)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _batch(namespace: str, *lines: str) -> None:
    """Several commands by one process, in `namespace`, or in that of this process where it is empty."""
    inside = ["-n", namespace] if namespace else []
    text = "\n".join(lines) + "\n"
    command = ["ip", *inside, "-batch", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S)
    if done.returncode:
        raise RuntimeError(f"ip, {namespace or 'here'}: {done.stderr.strip()} in {text}")
