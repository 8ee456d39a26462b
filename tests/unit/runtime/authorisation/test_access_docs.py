"""What the page on authorisation shows as an example does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import Action, Allowed, LalSecret, MethodName, Policy, Reason, Refused, Request, parse_rule

PAGE = Path(__file__).parents[4] / "docs" / "authorisation.md"
PROTOCOLS = ("rtmp", "rtsp", "http-flv", "http-ts", "http-fmp4", "http-hls", "http-record")


def example() -> Policy:
    """The first on the page; nobody has credentials."""
    auth = yaml.safe_load(PAGE.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0])["auth"]
    return Policy([parse_rule(text) for text in auth["rules"]], dict.fromkeys(MethodName, LalSecret("k")))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_example_guards_it_guards_on_every_protocol(protocol: str) -> None:
    def verdict(action: Action, stream: str) -> object:
        request = Request(action=action, stream=StreamKey.parse(stream), protocol=protocol, address="192.0.2.7", query="")
        found = example().decide(request, 0.0, {})
        return found.reason if isinstance(found, Refused) else type(found)

    assert verdict(Action.PLAY, "live/vip-1") is Reason.UNAUTHORISED
    assert verdict(Action.PLAY, "live/cam") is Allowed
    assert verdict(Action.PUBLISH, "live/cam") is Reason.UNAUTHORISED
    assert verdict(Action.PLAY, "other/cam") is Reason.FORBIDDEN
