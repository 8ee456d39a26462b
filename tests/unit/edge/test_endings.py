"""Every reason that a session is ended by has a word that metrics count."""

import ast
from pathlib import Path

import pytest

from lalmesh.runtime.following import UNREACHABLE
from lalmesh.runtime.listener import BLACKLISTED
from services.edge.endings import NOT_BEGUN, TIME_OVER, Ending, ending_of
from services.edge.fanout import OTHER_CONFIGURATION

FOLDER = Path(__file__).parents[3] / "services" / "edge"
ENDERS = {"close", "closed", "end", "leave", "dismiss", "expire", "lost", "end_stream", "close_unless_used"}


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("closed by the peer", Ending.CLIENT),
        ("connection lost: [Errno 104] reset", Ending.CONNECTION),
        ("protocol error: a chunk", Ending.PROTOCOL),
        ("silent for 10 s", Ending.SILENT),
        ("too slow: not caught up in 30 s", Ending.SLOW),
        ("the publisher did not come back", Ending.STREAM_OVER),
        ("live/cam: nobody published it within 10 s", Ending.NO_STREAM),
        ("live/cam: nobody publishes it", Ending.NO_STREAM),
        ("taken over: a newer publisher on this edge", Ending.TAKEN_OVER),
        (BLACKLISTED, Ending.BLACKLISTED),
        (TIME_OVER, Ending.DRAINED),
        ("the edge stops", Ending.STOPPED),
        (UNREACHABLE, Ending.UNREACHABLE),
        (OTHER_CONFIGURATION, Ending.CONFIGURATION),
        (f"live/cam: {OTHER_CONFIGURATION}", Ending.CONFIGURATION),
        (NOT_BEGUN, Ending.NOT_BEGUN),
        ("internal error", Ending.FAILED),
        ("what nobody has thought of", Ending.OTHER),
    ],
)
def test_a_reason_has_its_word(reason: str, ending: Ending) -> None:
    assert ending_of(reason) is ending


def test_what_a_server_elsewhere_says_is_the_end_of_a_relay() -> None:
    assert ending_of("NetStream.Publish.BadName: in use", is_relay=True) is Ending.RELAY
    assert ending_of("the edge stops", is_relay=True) is Ending.STOPPED


def test_no_reason_in_the_code_of_an_edge_goes_without_a_word() -> None:
    found = {reason for path in FOLDER.glob("*.py") for reason in said_in(ast.parse(path.read_text()))}
    assert len(found) >= 15
    assert {reason for reason in found if ending_of(reason) is Ending.OTHER} == set(ALL_OF_THEM_NO_SESSION)


#: for a push, whose session is a relay, and for spans
ALL_OF_THEM_NO_SESSION = ("nobody takes it", "another origin came first", "the publisher has gone")


def said_in(tree: ast.AST) -> set[str]:
    """What is given first to a call that ends something, as far as it is a text; up to what is filled in."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ENDERS:
            for argument in node.args:
                text = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
                if isinstance(text, ast.Constant) and isinstance(text.value, str) and " " in text.value:
                    found.add(text.value)
    return found
