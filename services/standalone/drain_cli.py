"""``lalmesh drain NODE``: have a node give everything away and end. Exit status 0 is done, 1 is refused or failed."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
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
ITEMS_PER_PAGE = 1000  #: the most that the API gives
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  #: who listens on every address is asked on this machine

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Name of the node, as /v1/nodes lists it.")]
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
        here = f"http://{host_port(ANY_ADDRESS.get(http.host, http.host), http.port)}"
        scheduler = _Api(api or here, http.token.get_secret_value())
        incarnation = scheduler.drain(node, deadline)
        typer.echo(f"{node} drains")
        while wait and scheduler.lists(node, incarnation):
            time.sleep(ASK_AGAIN_S)
    except (LalmeshError, OSError) as error:
        typer.echo(f"lalmesh drain: {error}", err=True)
        raise typer.Exit(1) from None


class _Api:
    """The HTTP API of a scheduler."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token

    def drain(self, node: str, deadline_s: float) -> str:
        """Have a node drain. Gives its incarnation.

        Raises:
            ServiceError: it is refused, or nobody answers.
        """
        return str(self._ask(f"/v1/nodes/{quote(node, safe='')}/drain", {"deadline_s": deadline_s})["incarnation"])

    def lists(self, node: str, incarnation: str) -> bool:
        """Whether that start of the node is in the cluster still. So it is taken to be while nobody can say.

        Raises:
            ServiceError: the question is refused.
        """
        number = pages = 1
        while number <= pages:
            try:
                page = self._ask(f"/v1/nodes?page={number}&items_per_page={ITEMS_PER_PAGE}")
            except Unavailable:
                return True
            if any((item["name"], item["incarnation"]) == (node, incarnation) for item in page["items"]):
                return True
            number, pages = number + 1, page["page_count"]
        return False

    def _ask(self, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers | {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise _refusal(error) from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise Unavailable(f"{self._url}: {error}", retry_after_s=ASK_AGAIN_S) from None


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
        case _:
            return ServiceError(detail)
