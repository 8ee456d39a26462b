"""What a scheduler tells of the cluster: its nodes and their versions. And the check of these."""

from __future__ import annotations

import asyncio
import errno
import json
import ssl
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

import lalmesh
from lalmesh.runtime.addresses import host_port
from lalmesh.runtime.config import Config, Role
from services.standalone.doctor._finding import Finding, ok, skipped, warning
from services.standalone.doctor._reach import client_tls, resolve, split, tls_reason
from services.standalone.drain_cli import ANY_ADDRESS, own_certificate

if TYPE_CHECKING:
    from services.standalone.doctor._place import Place

MAX_NODES = 1000  #: that are looked at: one page
MAX_BODY_BYTES = 4 << 20  #: of a page of nodes
MAX_NAMED = 5  #: nodes in one finding
HTTP_PORT = 80


@dataclass(slots=True, frozen=True)
class HttpAnswer:
    """What a server said, and when."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    began_s: float  #: our clock before the request left
    ended_s: float  #: and when its answer was there


@dataclass(slots=True, frozen=True)
class NodeSeen:
    """A node, as a scheduler shows it."""

    name: str
    role: str
    state: str
    address: str  #: of gRPC; empty for edges
    endpoints: tuple[tuple[str, str, int], ...]  #: protocol, host, port
    version: str


@dataclass(slots=True, frozen=True)
class ClusterView:
    """What was told, and by whom."""

    nodes: tuple[NodeSeen, ...] = ()
    schedulers: tuple[tuple[str, HttpAnswer], ...] = ()  #: URL and answer of each that answered
    problem: str = ""  #: why there is nothing; empty where somebody told of the nodes


async def ask(url: str, limit_s: float, *, token: str = "", tls: ssl.SSLContext | None = None) -> HttpAnswer:
    """What a server answers.

    Raises:
        OSError: nothing, or what is no HTTP.
        TimeoutError: nothing in time.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with asyncio.timeout(limit_s):
        host, port = split(url, HTTP_PORT)
        await resolve(host, port)  # in a thread that nobody waits for: a name that hangs ends here
        async with aiohttp.ClientSession() as session:
            began = time.time()
            try:
                async with session.get(url, headers=headers, ssl=tls or True, allow_redirects=False) as answer:
                    ended = time.time()
                    body = await answer.content.read(MAX_BODY_BYTES)
                    return HttpAnswer(answer.status, dict(answer.headers), body, began, ended)
            except aiohttp.ClientSSLError as error:
                raise OSError(_said(error)) from None
            except aiohttp.ClientConnectorError as error:
                raise OSError("nothing listens there" if error.os_error.errno == errno.ECONNREFUSED else str(error)) from None
            except aiohttp.ClientError as error:
                raise OSError(str(error)) from None


def _said(error: aiohttp.ClientSSLError) -> str:
    cause = getattr(error, "certificate_error", None) or error.os_error
    return f"TLS fails: {tls_reason(cause)}" if isinstance(cause, ssl.SSLError) else str(error)


def api_urls(config: Config, role: Role, api: str) -> list[str]:
    """Where schedulers may answer: as told, else on this machine for who is one, else on the hosts that nodes join by."""
    http = config.scheduler.http
    scheme = "https" if http.tls.has_certificate else "http"
    if api:
        return [api.rstrip("/")]
    if role in ("standalone", "scheduler"):
        return [f"{scheme}://{host_port(ANY_ADDRESS.get(http.host, http.host), http.port)}"]
    hosts = dict.fromkeys(split(address)[0] for address in config.cluster.schedulers)
    return [f"{scheme}://{host_port(host, http.port)}" for host in hosts]


async def view_cluster(config: Config, role: Role, api: str, limit_s: float) -> ClusterView:
    """What schedulers tell; never raises."""
    http = config.scheduler.http
    urls = api_urls(config, role, api)
    is_own = role in ("standalone", "scheduler") and not api and http.tls.has_certificate
    try:
        tls = own_certificate(http.tls.cert_file) if is_own else client_tls("")
    except OSError as error:
        return ClusterView(problem=f"{http.tls.cert_file}: {error}")
    token = http.token.get_secret_value()
    path = f"/v1/nodes?items_per_page={MAX_NODES}"
    asked = (ask(url + path, limit_s, token=token, tls=tls) for url in urls)
    said = await asyncio.gather(*asked, return_exceptions=True)
    answers = [(url, answer) for url, answer in zip(urls, said, strict=True) if isinstance(answer, HttpAnswer)]
    for _, answer in answers:
        nodes = _nodes(answer)
        if nodes is not None:
            return ClusterView(nodes, tuple(answers))
    reasons = [
        f"{url} answers {answer.status}" if isinstance(answer, HttpAnswer) else f"{url}: {answer or 'no answer in time'}"
        for url, answer in zip(urls, said, strict=True)
    ]
    return ClusterView((), tuple(answers), "; ".join(reasons))


def _nodes(answer: HttpAnswer) -> tuple[NodeSeen, ...] | None:
    if answer.status != 200:
        return None
    try:
        return tuple(map(_node, json.loads(answer.body)["items"]))
    except (ValueError, KeyError, TypeError):
        return None


def _node(item: Mapping[str, Any]) -> NodeSeen:
    endpoints = tuple((str(each["protocol"]), str(each["host"]), int(each["port"])) for each in item["endpoints"])
    return NodeSeen(item["name"], item["role"], item["state"], item["address"], endpoints, item["version"])


def judge_versions(own: str, schedulers: Iterable[tuple[str, str]], nodes: Sequence[NodeSeen]) -> Iterator[Finding]:
    """Whether all run the same version, and whether all are there.

    Args:
        own: the version of this program.
        schedulers: URL of each that answered, and what it calls itself (``lalmesh/0.1.0``).
        nodes: the others.
    """
    by_version: dict[str, list[str]] = defaultdict(list)
    by_version[own].append("this program")
    for url, server in schedulers:
        by_version[server.partition("/")[2] or "unknown"].append(url)
    for node in nodes:
        by_version[node.version].append(node.name)
    if len(by_version) == 1:
        yield ok("versions", f"{own}, of {len(nodes)} nodes and all schedulers that answer")
    else:
        listed = "; ".join(f"{version}: {_some(names)}" for version, names in sorted(by_version.items()))
        yield warning("versions", listed, "bring all to one version; a cluster of two is for the time of an upgrade")
    away = [node.name for node in nodes if node.state == "away"]
    if away:
        yield warning("nodes", f"away: {_some(away)}", "see docs/runbooks/node-away.md: do they run, and reach a scheduler?")
    elif nodes:
        yield ok("nodes", f"{len(nodes)}, all joined or draining")
    else:
        yield warning("nodes", "none has joined", "start edges and origins; cluster.schedulers of theirs has to lead here")


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


async def check_versions(place: Place) -> list[Finding]:
    """All nodes of the cluster run one version, and none is away."""
    view = await place.cluster()
    if view.problem:
        remedy = "name one by --api URL, and give scheduler.http.token where looking needs it"
        return [skipped("cluster", f"no scheduler tells of its nodes: {view.problem}", remedy)]
    schedulers = [(url, answer.headers.get("Server", "")) for url, answer in view.schedulers]
    return list(judge_versions(lalmesh.__version__, schedulers, view.nodes))
