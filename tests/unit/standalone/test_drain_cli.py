"""``lalmesh drain``: what it asks a scheduler, how long it waits, and what it says where nobody answers."""

from __future__ import annotations

import io
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from email.message import Message

import pytest
from typer.testing import CliRunner

from services.standalone.cli import app

runner = CliRunner()
API = "http://s1:8083"
NODE: dict[str, object] = {"name": "o1", "incarnation": "aa", "role": "origin", "state": "draining"}
SCHEDULER: dict[str, object] = {"name": "s1", "incarnation": "bb", "role": "scheduler", "state": "draining", "is_here": True}
REFUSED = urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))

Answer = dict[str, object] | int | Exception  #: what is shown, the status of a refusal, or nothing


class Scheduler:
    """Answers one request after the other as it is told, and notes them. Nobody waits between them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: Iterable[Answer]) -> None:
        self.asked: list[tuple[str, object]] = []
        self.waits = list[float]()
        self._answers = list(answers)
        monkeypatch.setattr(urllib.request, "urlopen", self._open)
        monkeypatch.setattr(time, "sleep", self.waits.append)

    def _open(self, request: urllib.request.Request, timeout: float, context: ssl.SSLContext | None) -> io.BytesIO:
        body = json.loads(request.data) if isinstance(request.data, bytes) else None
        self.asked.append((f"{request.get_method()} {request.full_url.removeprefix(API)}", body))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            problem = io.BytesIO(json.dumps({"detail": f"problem {answer}"}).encode())
            raise urllib.error.HTTPError(request.full_url, answer, "", Message(), problem)
        return io.BytesIO(json.dumps(answer).encode())


def drain(monkeypatch: pytest.MonkeyPatch, arguments: str, *answers: Answer) -> tuple[Scheduler, int, str]:
    """Run it; what was asked, the exit status, and what was printed."""
    scheduler = Scheduler(monkeypatch, answers)
    done = runner.invoke(app, ["drain", *arguments.split(), "--api", API])
    return scheduler, done.exit_code, done.output


@pytest.mark.parametrize(("option", "deadline_s"), [("", 0.0), ("--deadline 7.5", 7.5)])
def test_a_node_is_told_within_which_time(monkeypatch: pytest.MonkeyPatch, option: str, deadline_s: float) -> None:
    scheduler, status, said = drain(monkeypatch, f"o1 {option}", NODE)
    assert (status, said) == (0, "o1 drains\n")
    assert scheduler.asked == [("POST /v1/nodes/o1/drain", {"deadline_s": deadline_s})]


def test_a_deadline_that_is_none_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, status, _ = drain(monkeypatch, "o1 --deadline -1")
    assert (status, scheduler.asked) == (2, [])


def test_whoever_waits_asks_until_the_node_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, status, said = drain(monkeypatch, "o1 --wait", NODE, NODE, NODE, 404)
    assert (status, said) == (0, "o1 drains\n")
    assert [asked for asked, _ in scheduler.asked[1:]] == ["GET /v1/nodes/o1"] * 3
    assert len(scheduler.waits) == 2


def test_another_start_of_the_node_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, status, _ = drain(monkeypatch, "o1 --wait", NODE, NODE | {"incarnation": "cc"})
    assert (status, len(scheduler.asked)) == (0, 2)


def test_a_node_of_several_workers_is_waited_for_until_all_of_them_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, new = NODE, NODE | {"incarnation": "bb"}, NODE | {"incarnation": "cc", "state": "joined"}
    answers: list[Answer] = [{"name": "e", "workers": each} for each in ([first, second], [first, second], [second, new], [new])]
    scheduler, status, said = drain(monkeypatch, "e --wait", *answers)
    assert (status, said, len(scheduler.asked)) == (0, "e drains\n", 4)


def test_a_worker_is_waited_for_that_started_as_its_node_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    late = NODE | {"incarnation": "cc"}
    answers: list[Answer] = [{"name": "e", "workers": each} for each in ([NODE], [NODE, late], [late])]
    scheduler, status, _ = drain(monkeypatch, "e --wait", *answers, 404)
    assert (status, len(scheduler.asked)) == (0, 4)


@pytest.mark.parametrize("nothing", [503, REFUSED, TimeoutError(), ConnectionResetError()])
def test_while_nobody_can_say_the_node_is_taken_to_be_there(monkeypatch: pytest.MonkeyPatch, nothing: Answer) -> None:
    scheduler, status, _ = drain(monkeypatch, "o1 --wait", NODE, nothing, NODE, 404)
    assert (status, len(scheduler.asked)) == (0, 4)


def test_a_scheduler_that_ends_itself_has_ended_once_it_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, status, said = drain(monkeypatch, "s1 --wait", SCHEDULER, SCHEDULER, REFUSED)
    assert (status, said, len(scheduler.asked)) == (0, "s1 drains\n", 3)


def test_another_scheduler_has_ended_once_it_is_not_known_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    other = SCHEDULER | {"name": "s2", "is_here": False}
    scheduler, status, _ = drain(monkeypatch, "s2 --wait", other, other, REFUSED, other, 404)
    assert (status, len(scheduler.asked)) == (0, 5)


@pytest.mark.parametrize(
    ("nothing", "said"),
    [
        (REFUSED, "Connection refused"),
        (TimeoutError("timed out"), "timed out"),
        (503, "problem 503"),
        (404, "problem 404"),
        (401, "problem 401"),
        (400, "problem 400"),
    ],
)
def test_without_a_scheduler_that_does_it_the_status_is_1_and_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch, nothing: Answer, said: str
) -> None:
    scheduler, status, output = drain(monkeypatch, "o1 --wait", nothing)
    assert (status, len(scheduler.asked)) == (1, 1)
    assert output.startswith("lalmesh drain: ")
    assert said in output
    assert "drains\n" not in output
