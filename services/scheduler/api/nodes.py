"""``/v1/nodes``, and ``POST`` to ``/v1/nodes/{name}/drain``: a node is to give everything away, then to end.

A node of several workers is found by its name as well as each of them by its own. A replica of the scheduler is, too, where no node
has that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

from pydantic import Field, RootModel

from lalmesh.runtime.scheduling.model import Role
from services.scheduler.api import Answer, ApiModel, ApiRole, Asked, Operation, Page, PageModel, PageQuery, ProblemError
from services.scheduler.listing import NodeModel, describe_node
from services.scheduler.peers import Peers
from services.scheduler.records import NodeRecord
from services.scheduler.replicas import RETRY_S, Replica
from services.scheduler.service import SchedulerService
from services.scheduler.wholes import parts_of

PATH = "/v1/nodes"
MAX_DEADLINE_S = 86_400  #: a day: whoever wants longer wants to tell the players first
MAX_DRAIN_BYTES = 4 << 10  #: one number
NodePage = PageModel[NodeModel]


class NodeQuery(PageQuery):
    """Which nodes are wanted."""

    role: Role | None = Field(default=None, description="Of this role only.")
    state: Literal["joined", "draining", "away"] | None = Field(default=None, description="In this state only.")
    zone: str | None = Field(default=None, max_length=253, description="Of this zone only; empty: those that state none.")
    worker_of: str | None = Field(default=None, max_length=253, description="Workers of this node only; empty: whole nodes only.")


class NodeParts(ApiModel):
    """Which node is meant."""

    name: str = Field(description="Its name.", examples=["edge-0"])


class ReplicaModel(ApiModel):
    """A replica of the scheduler."""

    name: str = Field(description="Its name.")
    incarnation: str = Field(description="Of this start of it, hexadecimal.")
    role: Literal["scheduler"] = Field(description="What it does.")
    is_here: bool = Field(description="Whether it is the one that answers.")
    state: Literal["joined", "draining"] = Field(description="draining: it is told to end.")


class WorkersModel(ApiModel):
    """A node of several workers, each of which is a node too."""

    name: str = Field(description="Its name, which none of its workers has.")
    role: Role = Field(description="What it does.")
    state: str = Field(description="joined while one of its workers is, else draining while one of them does, else away.")
    workers: list[NodeModel] = Field(description="Its workers.")


class NodeOrReplica(RootModel[NodeModel | WorkersModel | ReplicaModel]):
    """A node, one of several workers, or a replica of the scheduler."""


class DrainBody(ApiModel):
    """How a node is to drain."""

    deadline_s: float = Field(
        default=0, ge=0, le=MAX_DEADLINE_S, description="Seconds after which it ends in any case; 0: as it is configured."
    )


def operations(service: SchedulerService, peers: Peers) -> list[Operation]:
    """What can be asked of `service`, with what nodes report to its `peers` as well."""

    async def list_nodes(asked: Asked) -> Answer:
        page = Page.of(_wanted(service, asked.query), asked.query)
        reads = await peers.reads([record.node for record in page.shown])

        def describe(record: NodeRecord) -> NodeModel:
            return describe_node(service, record, peers.load(record.node), reads.get(record.node, {}))

        return Answer(body=page.answer(NodePage, await asked.each(page.shown, describe)))

    async def show_node(asked: Asked) -> Answer:
        """What it is now; nothing where it has left."""
        name = asked.path["name"]
        found = parts_of(name, service.directory.nodes())
        return Answer(body=await _described(service, peers, name, found or service.replicas.named(name)))

    async def drain_node(asked: Asked) -> Answer:
        """Have it told; it may be at another replica, or be one."""
        name, deadline_s = asked.path["name"], asked.body.deadline_s
        told = await service.drains.ask(name, deadline_s) or await service.replicas.ask(name, deadline_s)
        return Answer(body=await _described(service, peers, name, told), status=HTTPStatus.ACCEPTED)

    return [
        Operation(
            method="GET",
            path=PATH,
            tag="nodes",
            summary="List the nodes of the cluster.",
            description="By name, each worker of a node of several. Replicas of the scheduler are not among them.",
            handler=list_nodes,
            role=ApiRole.VIEWER,
            query=NodeQuery,
            answers={HTTPStatus.OK: NodePage},
        ),
        Operation(
            method="GET",
            path=f"{PATH}/{{name}}",
            tag="nodes",
            summary="Show one node, or one replica of the scheduler.",
            description="One of several workers with all of them.",
            handler=show_node,
            role=ApiRole.VIEWER,
            parts=NodeParts,
            answers={HTTPStatus.OK: NodeOrReplica},
            problems=frozenset({HTTPStatus.NOT_FOUND}),
        ),
        Operation(
            method="POST",
            path=f"{PATH}/{{name}}/drain",
            tag="nodes",
            summary="Have a node, or a replica of the scheduler, give everything away and end.",
            description="A node of several workers with all of them. Asking again does no harm.",
            handler=drain_node,
            role=ApiRole.OPERATOR,
            parts=NodeParts,
            body=DrainBody,
            body_required=False,
            max_body_bytes=MAX_DRAIN_BYTES,
            answers={HTTPStatus.ACCEPTED: NodeOrReplica},
            problems=frozenset({HTTPStatus.NOT_FOUND}),
        ),
    ]


def _wanted(service: SchedulerService, query: NodeQuery) -> list[NodeRecord]:
    return [
        record
        for record in service.directory.nodes()
        if (query.role is None or record.role is query.role)
        and (query.zone is None or record.zone == query.zone)
        and (query.worker_of is None or record.worker_of == query.worker_of)
        and (query.state is None or service.directory.state_of(record) == query.state)
    ]


async def _described(
    service: SchedulerService, peers: Peers, name: str, found: Sequence[NodeRecord] | Replica | None
) -> NodeOrReplica:
    match found:
        case None if not service.is_ready:
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "the registry was not read yet", retry_after_s=RETRY_S)
        case None:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"no node {name[:50]!r}")
        case Replica(node, is_draining, is_here):
            state: Literal["joined", "draining"] = "draining" if is_draining else "joined"
            incarnation = node.incarnation.hex()
            model = ReplicaModel(name=node.name, incarnation=incarnation, role="scheduler", is_here=is_here, state=state)
            return NodeOrReplica.model_construct(root=model)
        case records:
            reads = await peers.reads([record.node for record in records])
            nodes = [describe_node(service, each, peers.load(each.node), reads.get(each.node, {})) for each in records]
            return NodeOrReplica.model_construct(root=_as_one(name, nodes))


def _as_one(name: str, nodes: Sequence[NodeModel]) -> NodeModel | WorkersModel:
    """The node of a name, with its workers where it has any."""
    first, *others = nodes
    if not (others or first.worker_of == name):
        return first
    states = {node.state for node in nodes}
    state = next(state for state in ("joined", "draining", "away") if state in states)
    return WorkersModel.model_construct(name=name, role=first.role, state=state, workers=list(nodes))
