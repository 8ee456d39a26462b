"""A small cluster for decisions about one stream: two edges, two origins, and what the registry may hold."""

from __future__ import annotations

from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, NodeAddress, NodeId, Place
from lalmesh.runtime.registry import KeyValue, Listing
from lalmesh.runtime.scheduling.model import NOT_ASKED, AskedUrl, NodeReport, Refusal, Refused, Role
from services.scheduler import records
from services.scheduler.cluster_records import SETTLING_KEY, serialize_settling
from services.scheduler.directory import Directory
from services.scheduler.rulings import Ruling, Seen, Write

CAM = StreamKey.of("live", "cam")
P1, P2 = b"1" * 16, b"2" * 16
EPOCH, PLACE = Epoch(1000, 10), Place(1000, 10)  # as `held` and `group` have them
TERM = KeyValue("cluster/term", b"1000", 2, 2)
SETTLING = KeyValue(SETTLING_KEY, serialize_settling("the term is new"), 9, 9)
CLAIM_KEY, GROUP_KEY = records.claim_key(CAM), records.group_key(CAM)


def address(name: str) -> NodeAddress:
    return NodeAddress(NodeId(name, name.encode().ljust(8, b".")), f"{name}:1")


def node(name: str, role: Role, revision: int, *, draining: bool = False) -> KeyValue:
    record = records.NodeRecord.of(NodeReport(node=address(name), role=role, draining=draining))
    return KeyValue(records.node_key(name), records.serialize_node(record), revision, revision, lease_id=revision)


NODES = (node("e1", Role.EDGE, 3), node("e2", Role.EDGE, 4), node("o1", Role.ORIGIN, 5), node("o2", Role.ORIGIN, 6))
OTHER_ORIGIN = {"o1": "o2", "o2": "o1"}


def directory(*entries: KeyValue, nodes: tuple[KeyValue, ...] = NODES) -> Directory:
    made = Directory(rejoin_s=1.0)
    made.handle(Listing((TERM, *nodes, *entries), 20), 0.0)
    return made


def held(
    edge: str = "e1", publication: bytes = P1, revision: int = 10, start: bytes = b"", asked: AskedUrl = NOT_ASKED
) -> KeyValue:
    """The claim of an edge; `start`: of another incarnation of it; `asked`: by its publisher."""
    holder = NodeAddress(NodeId(edge, start), f"{edge}:1") if start else address(edge)
    record = records.ClaimRecord(stream=CAM, term=1000, publication=publication, edge=holder, origin="o1", asked=asked)
    return KeyValue(CLAIM_KEY, records.serialize_claim(record), revision, revision)


def group(origin: str = "o1", heir: str = "o2", revision: int = 10, pointed: Place | None = None) -> KeyValue:
    record = records.GroupRecord(
        stream=CAM,
        term=1000,
        origin=address(origin),
        heir=address(heir) if heir else None,
        epoch=Epoch(1000, 10),
        publication=P1,
        pointed=pointed,
    )
    return KeyValue(GROUP_KEY, records.serialize_group(record), revision, revision)


def written(ruling: Ruling) -> Seen:
    """What is there once a write was carried out at revision 30."""
    assert isinstance(ruling, Write), ruling
    return Seen().with_found(ruling.entries(30), CAM)


def refusal(ruling: Ruling) -> Refusal:
    assert isinstance(ruling, Refused), ruling
    return ruling.refusal
