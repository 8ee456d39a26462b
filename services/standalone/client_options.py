"""What the commands that dial a server have in common: their options, and how they are ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from lalmesh.client import ClientOptions, RtspTransport

_Result = TypeVar("_Result")

TimeoutOption = Annotated[float, typer.Option("--timeout", metavar="S", min=0.1, help="Longest wait for the server, each time.")]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Do not check the server's certificate.")]
CaOption = Annotated[
    Path | None, typer.Option("--ca", metavar="FILE", help="Authorities to trust, PEM.", exists=True, dir_okay=False)
]

DEFAULT_TIMEOUT_S: Final = 15.0  #: above the 10 s that lalmesh lets a player wait for a publisher


def client_options(timeout_s: float, insecure: bool, ca_file: Path | None, rtsp_transport: RtspTransport = "auto") -> ClientOptions:
    """What a client is to do, by the options of a command."""
    return ClientOptions(
        connect_timeout_s=timeout_s,
        handshake_timeout_s=timeout_s,
        first_media_timeout_s=timeout_s,
        stall_timeout_s=timeout_s,
        verify=not insecure,
        ca_file=ca_file,
        rtsp_transport=rtsp_transport,
    )


def until_told(work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
    """Begin `work`, which SIGINT and SIGTERM cancel."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # loops of Windows
            loop.add_signal_handler(number, task.cancel)
    return task
