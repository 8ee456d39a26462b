from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import NotAuthorized
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import (
    INCARNATION_BYTES,
    NO_EPOCH,
    NO_PLACE,
    PUBLICATION_BYTES,
    Epoch,
    Grant,
    NodeAddress,
    NodeId,
    Place,
    new_incarnation,
    new_publication,
)

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def node(name: str, incarnation: bytes = b"i" * 8, address: str = "h:1") -> NodeAddress:
    return NodeAddress(NodeId(name, incarnation), address)


GRANT = Grant(
    stream=StreamKey("live", "cam"),
    epoch=Epoch(1, 2),
    publication=b"p" * PUBLICATION_BYTES,
    edge=node("edge"),
    origin=node("origin"),
    heir=node("heir"),
    place=Place(1, 3),
).signed(KEY)


def refuses(grant: Grant, *keys: bytes) -> bool:
    try:
        grant.verify(keys or (KEY,))
    except NotAuthorized:
        return True
    return False


def test_a_signed_grant_is_accepted_by_whoever_has_the_key() -> None:
    GRANT.verify((KEY,))
    with pytest.raises(NotAuthorized, match="live/cam"):
        GRANT.verify((OTHER_KEY,))


def test_two_keys_are_accepted_while_one_is_being_replaced() -> None:
    GRANT.verify((OTHER_KEY, KEY))
    GRANT.signed(OTHER_KEY).verify((OTHER_KEY, KEY))
    assert refuses(replace(GRANT, signature=b""), OTHER_KEY, KEY)
    assert refuses(replace(GRANT, signature=GRANT.signature[:-1]), KEY)


@pytest.mark.parametrize(
    "altered",
    [
        replace(GRANT, stream=StreamKey("live", "cam2")),
        replace(GRANT, stream=StreamKey("liv", "ecam")),
        replace(GRANT, epoch=Epoch(2, 2)),
        replace(GRANT, epoch=Epoch(1, 3)),
        replace(GRANT, publication=b"q" * PUBLICATION_BYTES),
        replace(GRANT, edge=node("edge2")),
        replace(GRANT, edge=node("edge", b"j" * 8)),
        replace(GRANT, origin=node("origin2")),
        replace(GRANT, origin=node("origin", b"j" * 8)),
        replace(GRANT, heir=node("heir2")),
        replace(GRANT, heir=node("heir", b"j" * 8)),
        replace(GRANT, heir=None),
        replace(GRANT, origin=GRANT.edge, edge=GRANT.origin),
        replace(GRANT, place=Place(2, 3)),
        replace(GRANT, place=Place(1, 4)),
        replace(GRANT, place=Place(1, 3, heir=True)),
        replace(GRANT, signature=bytes([GRANT.signature[0] ^ 1]) + GRANT.signature[1:]),
    ],
)
def test_a_grant_with_any_field_altered_is_refused(altered: Grant) -> None:
    assert refuses(altered)


def test_addresses_are_not_signed_since_a_node_may_move() -> None:
    replace(GRANT, origin=node("origin", address="elsewhere:2")).verify((KEY,))


TEXTS = st.text("ab.1", max_size=3)
GRANTS = st.builds(
    Grant,
    stream=st.builds(StreamKey, TEXTS, TEXTS),
    epoch=st.builds(Epoch, st.integers(0, 12), st.integers(0, 12)),
    publication=st.binary(max_size=2),
    edge=st.builds(node, TEXTS, st.binary(max_size=2), st.just("")),
    origin=st.builds(node, TEXTS, st.binary(max_size=2), st.just("")),
    heir=st.none() | st.builds(node, TEXTS, st.binary(max_size=2), st.just("")),
    place=st.builds(Place, st.integers(0, 12), st.integers(0, 12), st.booleans()),
)


@given(GRANTS, GRANTS)
def test_two_grants_share_a_signature_only_if_they_are_the_same(one: Grant, other: Grant) -> None:
    assert (one == other) == (one.signed(KEY).signature == other.signed(KEY).signature)


def test_epochs_and_places_are_compared_term_first() -> None:
    assert NO_EPOCH < Epoch(1, 900) < Epoch(2, 1) < Epoch(2, 2)
    assert NO_PLACE < Place(1, 900) < Place(2, 1) < Place(2, 1, heir=True) < Place(2, 2)


def test_ids_are_fresh_and_of_their_size() -> None:
    assert len({new_publication() for _ in range(100)}) == len({new_incarnation() for _ in range(100)}) == 100
    assert (len(new_publication()), len(new_incarnation())) == (PUBLICATION_BYTES, INCARNATION_BYTES)
