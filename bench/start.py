"""How long a node takes from exec until it is ready, and what of that are imports.

Each role is started as users start it, beside a scheduler with etcd where it needs one, and asked every few milliseconds. A warm
start finds all files in memory; before a cold one the kernel is told to forget those of Python, the packages and the program. What
imports take, Python itself says (`-X importtime`), in a start of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.cluster import PROGRAM, Cluster, Node, Standalone
from support.process import wait_until

from bench import _load, _report, _rounds, cpu

ROLES = ("edge", "origin", "hls", "scheduler")
LOOK_S = 0.002
READY_S = 60.0
COMMAND_S = 20.0  #: for a command that ends by itself
IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \| +(\S+)$", re.M)
SHOWN_PACKAGES = 10
RESULTS = _load.BUILT / "start.json"
TITLE = "Start: from exec to ready"
LIMITS = (
    "What limits it: nearly all of a warm start is one core that imports modules and builds what comes of them (classes, the "
    "models of the configuration, protobuf's messages); a cold one waits for the disk besides. A role that joins a cluster waits "
    "for its scheduler too. What would move it: importing less, later, or compiled; more cores "
    "do not."
)


@dataclass(slots=True, frozen=True)
class Sample:
    """One start."""

    listening_s: float  #: from exec until all listeners are bound; of a command that ends by itself, until it has
    ready_s: float  #: and until it says that it is ready
    processor_s: float  #: that it has taken until then
    rss_mb: float

    @property
    def problem(self) -> str:
        """Nothing: what does not start is a failure."""
        return ""

    @property
    def shown(self) -> str:
        """In a few words."""
        return f"ready after {self.ready_s * 1000:.0f} ms"


def timed(begun: float, node: Node) -> Sample:
    """The start of a node that was executed at `begun`, by the clock that never goes back."""
    ports = node.log.with_name(f"{node.name}.ports.json")

    def bound() -> bool:
        return ports.exists() and ports.stat().st_size > 0

    wait_until("ports", bound, READY_S, every_s=LOOK_S)
    listening_s = time.monotonic() - begun
    node.wait_ready(READY_S)
    return Sample(listening_s, time.monotonic() - begun, cpu.taken(node.pid).processor_s, _load.rss_mb(node.pid))


def standalone(is_cold: bool, folder: Path, stack: ExitStack) -> Sample:
    """All roles in one process."""
    if is_cold:
        forget()
    begun = time.monotonic()
    node = Standalone(folder)
    stack.callback(node.stop)
    return timed(begun, node)


def role(name: str, folder: Path, stack: ExitStack) -> Sample:
    """One role, beside a scheduler with etcd."""
    cluster = stack.enter_context(Cluster(folder, schedulers=1, origins=1, edges=0))
    begun = time.monotonic()
    return timed(begun, cluster.add(name))


def command(line: list[str], folder: Path, stack: ExitStack) -> Sample:
    """A command that ends by itself; `folder` and `stack` are those of every subject."""
    begun = time.monotonic()
    subprocess.run(line, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=COMMAND_S)
    seconds = time.monotonic() - begun
    return Sample(seconds, seconds, 0.0, 0.0)


def forget() -> None:
    """Have the kernel drop from memory what is read by a start: Python, the packages, the program. What others use stays."""
    for folder in dict.fromkeys((sys.prefix, sys.base_prefix + "/lib", str(Path(__file__).resolve().parents[1] / "lalmesh"))):
        for file in Path(folder).rglob("*"):
            if file.suffix in (".py", ".pyc", ".so") and file.is_file():
                with suppress(OSError), file.open("rb") as opened:
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def subjects() -> list[_rounds.Subject[Sample]]:
    """All that is started."""
    missing = "" if Path(PROGRAM).exists() else f"{PROGRAM} is missing"
    commands = {"python": [sys.executable, "-c", "pass"], "version": [str(PROGRAM), "--version"]}
    return [
        *(_rounds.Subject(name, partial(command, line), missing) for name, line in commands.items()),
        _rounds.Subject("standalone", partial(standalone, False), missing),
        _rounds.Subject("standalone-cold", partial(standalone, True), missing),
        *(_rounds.Subject(name, partial(role, name), _rounds.needs_of_a_cluster()) for name in ROLES),
    ]


# imports


def imports(text: str) -> dict[str, float]:
    """Milliseconds by package on top, the largest first, from what Python says of them."""
    found: Counter[str] = Counter()
    for us, module in IMPORT.findall(text):
        found[package(module)] += int(us)
    return {name: us / 1000 for name, us in found.most_common()}


def package(module: str) -> str:
    """Whose module it is; those of the standard library are one."""
    top = module.partition(".")[0]
    return "Python's own" if top in sys.stdlib_module_names else ".".join(module.split(".")[:2]) if top == "lalmesh" else top


@contextmanager
def _told() -> Iterator[None]:
    os.environ["PYTHONPROFILEIMPORTTIME"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONPROFILEIMPORTTIME"]


def imports_of(name: str, folder: Path, stack: ExitStack) -> dict[str, float]:
    """What one role imports until it is ready."""
    if name == "standalone":
        with _told():
            node: Node = Standalone(folder)
        stack.callback(node.stop)
    else:
        cluster = stack.enter_context(Cluster(folder, schedulers=1, origins=1, edges=0))
        with _told():
            node = cluster.add(name)
    node.wait_ready(READY_S)
    return imports(node.output())


# what was found

HEAD = ["what starts", "listening ms", "ready ms", "lowest-highest", "processor ms", "MB"]
SHOWN = {"python": "python -c pass", "version": "lalmesh --version", "standalone-cold": "standalone, cold"}


def row(label: str, found: _rounds.Found[Sample]) -> list[str]:
    """The line of one subject."""
    mine = found.of(label)
    ready = [sample.ready_s * 1000 for sample in mine]
    is_node = label not in ("python", "version")
    return [
        SHOWN.get(label, label),
        f"{statistics.median(sample.listening_s for sample in mine) * 1000:.0f}" if is_node else "",
        f"{statistics.median(ready):.0f}",
        f"{min(ready):.0f}-{max(ready):.0f}",
        f"{statistics.median(sample.processor_s for sample in mine) * 1000:.0f}" if is_node else "",
        f"{statistics.median(sample.rss_mb for sample in mine):.0f}" if is_node else "",
    ]


def import_table(taken: Mapping[str, Mapping[str, float]]) -> str:
    """Milliseconds by package, for each role; the packages that take most."""
    total: Counter[str] = Counter()
    for found in taken.values():
        total.update({name: round(ms * 1000) for name, ms in found.items()})
    rows = [["all", *(f"{sum(found.values()):.0f}" for found in taken.values())]]
    rows += [
        [name, *(f"{found[name]:.0f}" if name in found else "" for found in taken.values())]
        for name, _ in total.most_common(SHOWN_PACKAGES)
    ]
    return _report.table(["imports of", *(f"{name} ms" for name in taken)], rows)


def introduction(plan: argparse.Namespace) -> str:
    """What the tables show."""
    return (
        f"Each is started {plan.rounds} times, median. Listening: all its listeners are bound; ready: it answers so. Roles start "
        "beside a scheduler with etcd; a scheduler itself, beside another one, is ready once it knows that it may stand, which is "
        "a matter of leases and takes seconds. Cold: Python, packages and program have to be read from the disk."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = _rounds.parser("start", __doc__, RESULTS, rounds=5, seconds=0, warm_up=0)
    parser.add_argument("--no-imports", dest="imports", action="store_false", help="do not say what imports take")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep; exit with 1 if something did not start."""
    plan = arguments()
    found = _rounds.run(_rounds.choose(subjects(), plan.only), plan.rounds)
    paragraphs = [introduction(plan), _report.table(HEAD, [row(label, found) for label in found.samples if found.of(label)])]
    names = [name for name in ("standalone", *ROLES) if found.of(name)] if plan.imports else []
    taken: dict[str, dict[str, float]] = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="lalmesh-bench-") as folder, ExitStack() as stack:
            taken[name] = imports_of(name, Path(folder), stack)
    if taken:
        paragraphs += ["What imports take, by package, in a start that is slowed by being told of them:", import_table(taken)]
    sys.exit(_rounds.conclude("start", TITLE, [*paragraphs, LIMITS], plan, found))


if __name__ == "__main__":
    main()
