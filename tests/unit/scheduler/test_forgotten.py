"""What nodes do not hold though the registry says that it is theirs."""

from __future__ import annotations

from support.rulings import CAM, EPOCH, P1, PLACE, address, directory, group, held

from lalmesh.runtime.ownership import Epoch
from lalmesh.runtime.scheduling.model import HeldStream, Released, Role
from services.scheduler.forgotten import GIVEN_UP_REPORTS, GIVEN_UP_S, Absences, find_absent


def test_a_claim_made_anew_counts_from_its_own_beginning() -> None:
    absences, step_s = Absences(), GIVEN_UP_S / (GIVEN_UP_REPORTS - 1)
    old, new = (Released(stream=CAM, epoch=Epoch(1000, revision), publication=P1) for revision in (10, 30))
    assert [absences.due([old], number * step_s) for number in range(GIVEN_UP_REPORTS)] == [[], [], [old]]
    assert [absences.due([new], (GIVEN_UP_REPORTS + number) * step_s) for number in range(GIVEN_UP_REPORTS)] == [[], [], [new]]


def test_what_is_shown_once_in_between_counts_from_the_beginning() -> None:
    absences, absent = Absences(), [Released(stream=CAM, epoch=EPOCH, publication=P1)]
    for number in range(GIVEN_UP_REPORTS + 1):
        due = absences.due([] if number == 1 else absent, number * GIVEN_UP_S)
    assert due == []


def test_an_edge_lacks_claims_and_an_origin_groups_that_nobody_claims() -> None:
    edge, origin = address("e1").node, address("o1").node
    claim, place = Released(stream=CAM, epoch=EPOCH, publication=P1), Released(stream=CAM, place=PLACE)
    claimed, left = directory(held(), group()), directory(group())
    assert find_absent(edge, Role.EDGE, {}, claimed) == [claim]
    assert find_absent(edge, Role.EDGE, {CAM: HeldStream(stream=CAM, published=True)}, claimed) == []
    assert find_absent(origin, Role.ORIGIN, {}, claimed) == []
    assert find_absent(origin, Role.ORIGIN, {}, left) == [place]
