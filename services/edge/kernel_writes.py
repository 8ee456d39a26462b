"""Writing one block to many sockets in one call of the kernel: `io_submit(2)`.

What it is asked to write to sockets that do not block, the kernel has written when the call returns, and says at once how much each
took (`io_getevents(2)`). So entering the kernel, which costs much where a processor has to be kept from speculating there, and the
way from one write to the next in Python are paid for once, and not for each player.

Container runtimes allow these calls by default where they forbid io_uring. A context counts against `fs.aio-max-nr` of the machine,
all of whose processes share that.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import mmap
import os
import platform
import socket
import struct
from array import array
from collections.abc import Sequence
from functools import cache
from typing import Final

log = logging.getLogger(__name__)

MAX_BLOCK_BYTES: Final = 32 << 10  #: of what is written so
MAX_AT_ONCE: Final = 512  #: writes of one call

#: numbers of io_setup, io_submit and io_getevents (asm/unistd.h), by machine
_CALLS: Final = {"x86_64": (206, 209, 208), "aarch64": (0, 2, 4)}
_WORD_BYTES: Final = 8
#: struct iocb in words (linux/aio_abi.h): data, key and flags, operation and descriptor, buffer, size, offset, reserved, flags
_REQUEST_WORDS: Final = 8
_DESCRIPTOR_HALF, _SIZE_WORD = 5, 4  # of a request; the first in half words
_PWRITE: Final = 1
#: struct io_event in words: data and address of the request, how much was written or which error it was, nothing
_EVENT_WORDS: Final = 4
_RESULT_WORD: Final = 2


class KernelWrites:
    """A context of the kernel, and the memory that blocks are written from. For one thread."""

    def __init__(self) -> None:
        """Ask for one.

        Raises:
            OSError: there is none to be had.
        """
        if platform.system() != "Linux" or platform.machine() not in _CALLS or struct.calcsize("P") != _WORD_BYTES:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        setup, self._submit, self._get_events = _CALLS[platform.machine()]
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._call.argtypes = [ctypes.c_long] * 6
        context = ctypes.c_ulong()
        if self._call(setup, MAX_AT_ONCE, ctypes.addressof(context), 0, 0, 0) < 0:
            raise _error()
        self._context = context.value
        self._block = mmap.mmap(-1, MAX_BLOCK_BYTES)
        self.block_address = ctypes.addressof(ctypes.c_char.from_buffer(self._block))
        events = array("q", bytes(MAX_AT_ONCE * _EVENT_WORDS * _WORD_BYTES))
        self._events = memoryview(events)
        self._events_address = events.buffer_info()[0]

    def take(self, block: bytes) -> None:
        """Have `block`, of `MAX_BLOCK_BYTES` at most, where requests are to find it."""
        self._block[: len(block)] = block

    def submit(self, pointers: int, count: int) -> int:
        """Carry out the requests at so many `pointers`, an address; how many of them were, up to the first that cannot be."""
        done: int = self._call(self._submit, self._context, min(count, MAX_AT_ONCE), pointers, 0, 0)
        return max(done, 0)

    def collect(self, count: int, sizes: memoryview) -> list[tuple[int, int]]:
        """Of so many requests that were carried out: those that did not write all of `sizes`, by their data, and how much they did.

        Raises:
            OSError: the kernel does not tell.
        """
        late: list[tuple[int, int]] = []
        while count:
            told: int = self._call(self._get_events, self._context, count, count, self._events_address, 0)
            if told < 0:
                error = _error()
                self._context = 0  # what it has not told must not be taken for another block's: nothing goes this way any more
                raise error
            events = self._events[: told * _EVENT_WORDS]
            results = events[_RESULT_WORD::_EVENT_WORDS]
            if results != sizes[:told]:  # an error is below 0
                data = events[::_EVENT_WORDS].tolist()
                taken = zip(data, results.tolist(), strict=True)
                late += [(place, max(written, 0)) for place, written in taken if written != sizes[0]]
            count -= told
        return late


class WriteRequests:
    """Writes of a block to the same sockets, again and again."""

    __slots__ = ("_count", "_pointers", "_requests", "_sizes", "_writes")

    def __init__(self, writes: KernelWrites, descriptors: Sequence[int]) -> None:
        """Prepare to write to `descriptors`, of sockets that do not block."""
        count = self._count = len(descriptors)
        self._writes = writes
        requests = array("q", (0, 0, _PWRITE, writes.block_address, 0, 0, 0, 0)) * count
        self._requests = memoryview(requests)
        self._requests[::_REQUEST_WORDS] = memoryview(array("q", range(count)))
        halves = self._requests.cast("B").cast("i")
        halves[_DESCRIPTOR_HALF :: 2 * _REQUEST_WORDS] = memoryview(array("i", descriptors))
        address, request_bytes = requests.buffer_info()[0], _REQUEST_WORDS * _WORD_BYTES
        #: twice, so that any of them may be the first
        self._pointers = array("Q", range(address, address + count * request_bytes, request_bytes)) * 2
        self._sizes = memoryview(array("q", bytes(count * _WORD_BYTES)))

    def write(self, block: bytes, first: int) -> list[tuple[int, int]]:
        """Write a block of `MAX_BLOCK_BYTES` at most, to the place `first` before all others.

        Gives those that did not take it all: their place, and how many bytes they took.

        Raises:
            OSError: the kernel does not tell how much each took.
        """
        size, writes = len(block), self._writes
        if size != self._sizes[0]:
            self._sizes = self._requests[_SIZE_WORD::_REQUEST_WORDS] = memoryview(array("q", (size,)) * self._count)
        writes.take(block)
        late: list[tuple[int, int]] = []
        left, pointers = self._count, self._pointers.buffer_info()[0] + first * _WORD_BYTES
        while left:
            done = writes.submit(pointers, left)
            if done:
                late += writes.collect(done, self._sizes)
            else:  # nothing goes there: its transport finds out
                late.append(((first + self._count - left) % self._count, 0))
                done = 1
            left -= done
            pointers += done * _WORD_BYTES
        return late


@cache
def kernel_writes() -> KernelWrites | None:
    """What all sockets of this process share; None: the system has none."""
    try:
        writes = KernelWrites()
        _try_out(writes)
    except OSError as error:
        log.info("blocks are written to one socket after the other: io_submit is not to be had (%s)", error.strerror)
        return None
    return writes


def _try_out(writes: KernelWrites) -> None:
    """Write to a socket: there are kernels that have the calls, and not for those.

    Raises:
        OSError: that is so here.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        if WriteRequests(writes, [ours.fileno()]).write(b"block", 0) or theirs.recv(len(b"block")) != b"block":
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
