"""What py-spy has seen of stacks and strace has counted of calls: own time of functions and packages, calls by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

FRAME = re.compile(r"(?P<function>.*) \((?P<path>.*?)(?::\d+)?\)")
ADDRESS = re.compile(r"0x[0-9a-f]+")
INSTALLED = re.compile(r".*/(?:site|dist)-packages/(.+)")
OURS = re.compile(r"(?:.*/)?(?<!/rpc/)((?:lalmesh|services)/.+)")  # the folder of stubs holds another one called lalmesh
PYTHON = re.compile(r".*/python3\.\d+t?/(?:lib-dynload/)?(.+\.(?:py|so))")
LOOP = re.compile(r".*?/((?:uvloop|libuv)[^/]*/.+)")
BUILT_FOR = re.compile(r"\.(?:cpython|abi3|pypy)[^/.]*(?=\.so$)")  # which Python and machine, in the name of a library
C_LIBRARY = re.compile(r"(?:.*/)?(lib(?:c|pthread)[.-][^/]*)")
PROGRAMS = re.compile(r"(?:.*/)?((?:lib)?python3[^/]*)")
OTHER_LIBRARY = re.compile(r"(?:.*/)?((lib[^/.]+)[^/]*\.so[^/]*)")
KERNEL, C_CODE = "kernel", "C code"
PACKAGES = {"google": "protobuf"}  #: whose folder has another name
WAITS = frozenset(  #: calls that wait: who has been woken in one, and has not gone on yet, is still seen there
    {
        *("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect", "nanosleep", "clock_nanosleep"),
        *("pthread_cond_wait", "pthread_cond_timedwait", "pthread_cond_clockwait", "sem_wait", "sem_timedwait", "sem_clockwait"),
    }
)
LOCK = "PyThread_acquire_lock_timed"  #: of Python, which waits in functions of the C library that have no name
CALLS = frozenset(  #: functions of the C library that do little more than call the kernel
    {
        *("send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg", "recvmmsg", "sendfile", "splice", "syscall"),
        *("read", "readv", "pread", "preadv", "write", "writev", "pwrite", "pwritev", "eventfd_read", "eventfd_write"),
        *("open", "openat", "close", "fsync", "fdatasync", "rename", "unlink", "stat", "fstat", "lstat", "mkdir", "ftruncate"),
        *("accept", "accept4", "connect", "shutdown", "setsockopt", "getsockopt", "getsockname", "getpeername", "socket"),
        *("epoll_ctl", "timerfd_settime", "fcntl", "ioctl", "sched_yield", "getpid"),
        *("mmap", "munmap", "mremap", "madvise", "mprotect", "brk"),
    }
)


class Placed(NamedTuple):
    """Where a function is."""

    file: str  #: without what is before our folders, or that of a package
    package: str  #: empty where the path does not say


@dataclass(slots=True, frozen=True)
class Stacks:
    """What threads did when they were looked at."""

    functions: Mapping[str, int]  #: looks that found each innermost, by ``function (file)``, most first
    packages: Mapping[str, int]  #: the same by package
    waiting: int = 0  #: looks that found a thread still where it had waited, which are in none of these

    @property
    def busy(self) -> int:
        """Looks that found a thread at work."""
        return sum(self.packages.values())


def placed(path: str) -> Placed:
    """The file of a frame, shortened, and the package that it is of."""
    path = BUILT_FOR.sub("", path)
    if found := INSTALLED.fullmatch(path):
        top = found[1].split("/")[0].split(".")[0]
        return Placed(found[1], _dotted(found[1]) if top in ("lalmesh", "services") else PACKAGES.get(top, top))
    if found := LOOP.fullmatch(path):
        return Placed(found[1], "uvloop")
    if found := OURS.fullmatch(path):
        return Placed(found[1], _dotted(found[1]))
    if found := PYTHON.fullmatch(path):
        of_loop = found[1].lstrip("_").startswith(("asyncio/", "asyncio."))
        return Placed(found[1], "asyncio" if of_loop else "Python's library")
    if found := C_LIBRARY.fullmatch(path):
        return Placed(found[1], "C library")
    if found := PROGRAMS.fullmatch(path):
        return Placed(found[1], "Python")
    if found := OTHER_LIBRARY.fullmatch(path):
        return Placed(found[1], found[2])
    return Placed(path.rpartition("/")[2], "")


def _dotted(file: str) -> str:
    """The package that a file is a module of."""
    return file.rpartition("/")[0].replace("/", ".")


def parse_frame(frame: str) -> tuple[str, str]:
    """Function and path; the path is empty where py-spy does not know it."""
    found = FRAME.fullmatch(frame)
    return (found["function"], found["path"]) if found else (frame, "")


def call_of(function: str) -> str:
    """What a function of the C library is known by: it has names of its own for what it calls itself."""
    return function.lstrip("_").removeprefix("libc_").removesuffix("_nocancel").removesuffix("64")


def stacks_of(raw: str) -> Stacks:
    """Own time by function and by package, of what ``py-spy record --format raw --full-filenames`` has written.

    Args:
        raw: a line a stack: frames from the outermost to the innermost, with ``;`` between, and how often it was seen.
    """
    functions: Counter[str] = Counter()
    packages: Counter[str] = Counter()
    waiting = 0
    for line in raw.splitlines():
        stack, _, seen = line.rpartition(" ")
        frames = [parse_frame(frame) for frame in stack.split(";")]
        if _waits(frames):
            waiting += int(seen)
        else:
            functions[_innermost(*frames[-1])] += int(seen)
            packages[_package(frames)] += int(seen)
    return Stacks(dict(functions.most_common()), dict(packages.most_common()), waiting)


def _waits(frames: Sequence[tuple[str, str]]) -> bool:
    """Whether a thread is in a call that waits; what that calls inside the C library may have no name."""
    if any(call_of(function) in WAITS and placed(path).package == "C library" for function, path in frames[-2:]):
        return True
    inside = [*takewhile(lambda frame: placed(frame[1]).package == "C library", reversed(frames))]
    return bool(inside) and LOCK in [function for function, _ in frames[: -len(inside)][-1:]]


def _innermost(function: str, path: str) -> str:
    """A function as it is shown; of one without a name only the library is known."""
    name = C_CODE if ADDRESS.fullmatch(function) else function
    return f"{name} ({placed(path).file})"


def _package(frames: Sequence[tuple[str, str]]) -> str:
    """Of the innermost frame, or of the nearest one that has called it and whose path says one, as a header's does not."""
    function, path = frames[-1]
    if placed(path).package == "C library" and call_of(function) in CALLS:
        return KERNEL
    return next((package for _, path in reversed(frames) if (package := placed(path).package)), "unknown")


def added(parts: Sequence[Stacks]) -> Stacks:
    """What was seen in several rounds."""
    functions, packages = Counter[str](), Counter[str]()
    for part in parts:
        functions.update(part.functions)
        packages.update(part.packages)
    return Stacks(dict(functions.most_common()), dict(packages.most_common()), sum(part.waiting for part in parts))


# calls of the kernel

#: % time, seconds, µs a call, calls, errors if there were some, name
COUNTED = re.compile(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z_]\w*)\s*")


def calls_of(summary: str) -> dict[str, int]:
    """How often each call of the kernel was made, of what ``strace -c`` has written."""
    found = (COUNTED.fullmatch(line) for line in summary.splitlines())
    return {line[2]: int(line[1]) for line in found if line and line[2] != "total"}
