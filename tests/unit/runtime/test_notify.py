from __future__ import annotations

from dataclasses import replace

import pytest

from lalmesh.runtime.event_kinds import EventKind
from lalmesh.runtime.notify import NotifyFormat, Receiver, parse_receiver


def test_a_receiver_is_a_line() -> None:
    text = "bill https://b.example/{event} format=lal events=pub_start+on_pub_stop secret_file=/run/s timeout_s=2.5 give_up_s=60"
    kinds = frozenset({EventKind.PUB_START, EventKind.PUB_STOP})
    assert parse_receiver(text) == Receiver(
        name="bill", url="https://b.example/{event}", kinds=kinds, format=NotifyFormat.LAL, secret_file="/run/s", timeout_s=2.5,
        give_up_s=60,
    )  # fmt: skip


def test_a_receiver_gets_what_it_asked_for() -> None:
    some = Receiver(name="a", url="http://a", kinds=frozenset({EventKind.UPDATE}))
    assert (some.url_of(EventKind.UPDATE), some.url_of(EventKind.ALARM)) == ("http://a", "")
    every = Receiver(name="a", url="http://a")
    assert (every.url_of(EventKind.UPDATE), every.url_of(EventKind.ALARM)) == ("", "http://a")
    assert replace(every, format=NotifyFormat.LAL).url_of(EventKind.UPDATE) == "http://a"
    lal = Receiver(name="b", urls={EventKind.UPDATE: "http://b"})
    assert (lal.url_of(EventKind.UPDATE), lal.url_of(EventKind.ALARM)) == ("http://b", "")


@pytest.mark.parametrize(
    "text",
    [
        "", "bill", "a/b http://x", "bill ftp://x", "bill http://", "bill http://x:0", "bill http://x format=xml",
        "bill http://x events=", "bill http://x events=nothing", "bill http://x timeout_s=0", "bill http://x timeout_s=nan",
        "bill http://x give_up_s=x", "bill http://x format=lal format=lal", "bill http://x what=1",
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_receiver(text)
