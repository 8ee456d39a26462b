"""``lalmesh drain NODE``: have a node give everything away and end. Exit status 0 is done, 1 is refused or failed.

A replica of the scheduler is a node here: any of them can be asked, also the one that is to end. So is a node of several workers.
"""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import typer

from lalmesh.errors import LalmeshError, NotAuthorized, ServiceError, Unavailable
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.config import load_config
from services.standalone.config_cli import ConfigOption, SetOption

REQUEST_S = 10.0  #: for one answer of the API
ASK_AGAIN_S = 0.5  #: between two questions whether the node is still there
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  #: who listens on every address is asked on this machine

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Name of the node, as /v1/nodes lists it, or of a scheduler.")]
DeadlineOption = Annotated[
    float, typer.Option("--deadline", metavar="S", min=0, help="How long it may take; 0: what the node is configured to take.")
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Return once the node has left the cluster.")]
ApiOption = Annotated[
    str, typer.Option("--api", metavar="URL", help="HTTP API of a scheduler; by default that of the configuration.")
]


def add_drain_command(app: typer.Typer) -> None:
    """Add drain to `app`."""
    app.command("drain")(drain_command)


def drain_command(
    node: NodeArgument,
    deadline: DeadlineOption = 0.0,
    wait: WaitOption = False,
    api: ApiOption = "",
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Have a node take nothing new, give away what it has, and end."""
    try:
        http = load_config(config, sets or [], os.environ).scheduler.http
        own = own_certificate(http.tls.cert_file) if http.tls.cert_file and not api else None
        here = f"{'https' if own else 'http'}://{host_port(ANY_ADDRESS.get(http.host, http.host), http.port)}"
        scheduler = _Api(api or here, http.token.get_secret_value(), own)
        told = scheduler.drain(node, deadline)
        typer.echo(f"{node} drains")
        while wait and scheduler.knows(told):
            time.sleep(ASK_AGAIN_S)
    except (LalmeshError, OSError) as error:
        typer.echo(f"lalmesh drain: {error}", err=True)
        raise typer.Exit(1) from None


def own_certificate(cert_file: str) -> ssl.SSLContext:
    """Takes the certificate of the configuration, whatever names it has and whoever signed it: its listener is asked by address."""
    context = ssl.create_default_context(cafile=cert_file)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


@dataclass(slots=True, frozen=True)
class _Told:
    """Who was told to drain."""

    path: str  #: where the API shows it
    starts: frozenset[str]  #: incarnations: of each worker where it has several
    is_asked: bool  #: it is the scheduler that is asked


class _NotFound(ServiceError):
    """The API has nothing of that name."""


class _Api:
    """The HTTP API of a scheduler."""

    def __init__(self, url: str, token: str, tls: ssl.SSLContext | None) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._tls = tls  # by default what this machine trusts

    def drain(self, node: str, deadline_s: float) -> _Told:
        """Have a node drain.

        Raises:
            ServiceError: it is refused, or nobody answers.
        """
        path = f"/v1/nodes/{quote(node, safe='')}"
        shown = self._ask(f"{path}/drain", {"deadline_s": deadline_s})
        return _Told(path, _starts(shown), bool(shown.get("is_here")))

    def knows(self, told: _Told) -> bool:
        """Whether that start of the node is in the cluster still, or of one of its workers, or one that began late and drains too.

        So it is taken to be while nobody can say; but a scheduler that was told to end itself has ended once it does not answer.

        Raises:
            ServiceError: the question is refused.
        """
        try:
            shown = self._ask(told.path)
            return not told.starts.isdisjoint(_starts(shown)) or any(
                worker["state"] == "draining" for worker in shown.get("workers", ())
            )
        except _NotFound:
            return False
        except Unavailable:
            return not told.is_asked

    def _ask(self, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers | {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S, context=self._tls) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise Unavailable(f"{self._url}: {error}", retry_after_s=ASK_AGAIN_S) from None


def _starts(shown: dict[str, Any]) -> frozenset[str]:
    return frozenset(str(node["incarnation"]) for node in shown.get("workers", [shown]))


def _refusal(error: urllib.error.HTTPError) -> ServiceError:
    try:
        detail = str(json.loads(error.read())["detail"])
    except (ValueError, KeyError, TypeError):
        detail = error.reason
    match error.code:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return NotAuthorized(detail)
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return Unavailable(detail, retry_after_s=ASK_AGAIN_S)
        case HTTPStatus.NOT_FOUND:
            return _NotFound(detail)
        case _:
            return ServiceError(detail)
