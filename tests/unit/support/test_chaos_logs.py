"""What is wrong with the logs of a take-over is found, and nothing where nothing is."""

from __future__ import annotations

import json

from e2e.chaos.logs import closings, wrong_ends, wrong_epochs

STREAM = "live/a"
OLD, NEW = (7, 10), (7, 12)
EDGES = {"edge-1": OLD, "edge-2": NEW}


def log(*events: str, stream: str = STREAM, peer: str = "") -> str:
    entries = [{"level": "info", "event": event, "stream_key": stream, "peer": peer} for event in events]
    return "".join(f"{json.dumps(entry)}\n" for entry in entries)


def let_in(edge: str, epoch: tuple[int, int]) -> str:
    return log(f"publication of epoch {epoch[0]}.{epoch[1]}", peer=edge)


LOSER = log("publisher opened", "publisher closed: taken over: live/a is at epoch 7.12")
WINNER = log("publisher opened") + log("publisher closed: closed by the client", stream="live/other")


def test_what_a_process_writes_beside_its_log_and_a_line_that_is_not_whole_are_passed_over() -> None:
    text = 'Traceback:\n7\n{"event": "publisher closed: no stream"}\n' + LOSER + LOSER[:40]
    assert closings(text, STREAM) == ["taken over: live/a is at epoch 7.12"]


def test_a_loser_that_is_told_and_a_winner_that_stays_are_right() -> None:
    assert wrong_ends(STREAM, LOSER, WINNER) == []


def test_a_loser_that_is_not_told_or_for_another_reason_or_twice_is_wrong() -> None:
    for loser in ("", log("publisher closed: internal error"), LOSER + LOSER):
        (fault,) = wrong_ends(STREAM, loser, WINNER)
        assert "the loser was told" in fault


def test_a_winner_that_is_closed_or_was_never_there_is_wrong() -> None:
    (closed,) = wrong_ends(STREAM, LOSER, WINNER + log("publisher closed: taken over: by a ghost"))
    assert "by a ghost" in closed
    (absent,) = wrong_ends(STREAM, LOSER, "")
    assert "does not say" in absent


def test_epochs_that_rise_at_each_origin_are_right_though_one_has_not_heard_of_the_new_one() -> None:
    logs = {"origin-1": let_in("edge-1", OLD) + let_in("edge-2", NEW), "origin-2": let_in("edge-1", OLD), "origin-3": ""}
    assert wrong_epochs(STREAM, logs, EDGES) == []


def test_an_epoch_that_falls_is_wrong() -> None:
    (fault,) = wrong_epochs(STREAM, {"origin-1": let_in("edge-2", NEW) + let_in("edge-1", OLD)}, EDGES)
    assert fault == "live/a: origin-1 let in edge-1 under (7, 10) after edge-2 under (7, 12)"


def test_an_edge_under_an_epoch_that_it_does_not_have_is_wrong_and_one_that_was_never_let_in_too() -> None:
    (fault,) = wrong_epochs(STREAM, {"origin-1": let_in("edge-1", OLD) + let_in("edge-1", NEW) + let_in("edge-2", NEW)}, EDGES)
    assert "let in edge-1 under (7, 12)" in fault
    assert wrong_epochs(STREAM, {"origin-1": let_in("edge-1", OLD)}, EDGES) == ["live/a: no origin let in edge-2"]
