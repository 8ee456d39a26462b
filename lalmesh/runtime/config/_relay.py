"""The section `relay`: what is fetched from elsewhere and sent there, and how relays wait and try again."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from lalmesh.runtime.config._base import Allowed, ConfigModel, Network, Text, live_keys
from lalmesh.runtime.relay_rules import MAX_RULES, parse_relay_rule, static_pull_rule


def _pull(text: str) -> str:
    parse_relay_rule(text, is_push=False)
    return text


def _push(text: str) -> str:
    parse_relay_rule(text, is_push=True)
    return text


def _address(text: str) -> str:
    if text:
        static_pull_rule(text)
    return text


#: link-local, where clouds have their metadata service, and the places that some have for it elsewhere (EC2 by IPv6, Alibaba)
DENIED = ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32")
MAX_NETWORKS = 1000  #: each is looked at for every dial

_WORDS = "[retries=N] [start_timeout_s=N] [rtsp_transport=tcp|udp] [verify_tls=true|false] [ca_file=FILE]"
PullText = Annotated[
    str,
    StringConstraints(max_length=65_536),
    AfterValidator(_pull),
    Allowed(f"PATTERN URL [URL ...] [stop_after_s=N] [start=on_demand|always] {_WORDS}"),
]
PushText = Annotated[str, StringConstraints(max_length=65_536), AfterValidator(_push), Allowed(f"PATTERN URL [URL ...] {_WORDS}")]
Address = Annotated[
    str,
    StringConstraints(max_length=261, pattern=r"^[^\s/@?]*$"),
    AfterValidator(_address),
    Allowed("HOST:PORT, a host name or an address, or nothing"),
]


class RelayConfig(ConfigModel):
    """Relays: streams that this cluster fetches from other servers, and those that it sends there."""

    live_by_file = live_keys("pulls pushes static_pull rules_file")

    pulls: tuple[PullText, ...] = Field(
        default=(),
        strict=False,
        max_length=MAX_RULES,
        description="What is fetched: streams whose app/name matches the pattern (*, ?, []), from the first URL that has them; "
        "{app}, {name} and {query} stand for those of the request. On demand while somebody wants the stream, and for stop_after_s "
        "(10) more, -1: for ever; start=always for one stream that is always to be there. The first rule that matches holds. "
        "Schedulers read it; more by POST /v1/relays/rules.",
    )
    pushes: tuple[PushText, ...] = Field(
        default=(),
        strict=False,
        max_length=MAX_RULES,
        description="What is sent elsewhere: streams whose app/name matches the pattern, while they are published, to each URL.",
    )
    static_pull: Address = Field(
        default="", description="Fetch what nobody publishes here from rtmp://ADDRESS/APP/NAME while it is watched, as lal does."
    )
    rules_file: Text = Field(
        default="",
        description="File with more rules, one on a line after the word pull or push: where their URLs hold logins or tokens.",
    )
    deny: tuple[Network, ...] = Field(
        default=DENIED,
        strict=False,
        max_length=MAX_NETWORKS,
        description="Networks that edges do not dial for a relay, whatever name or redirect leads there. By default those where "
        "clouds tell their machines secrets; add your own where operators of the API are not to reach what edges can.",
    )
    start_timeout_s: float = Field(default=10.0, ge=0.1, le=600, description="From the dial to the first media.")
    stall_timeout_s: float = Field(
        default=10.0, ge=0.5, le=600, description="Without a message of a source, or room at a target, a relay begins anew."
    )
    first_pause_s: float = Field(
        default=0.5,
        ge=0.05,
        le=60,
        description="Pause when all sources have failed once; it doubles, and is drawn from its upper half.",
    )
    longest_pause_s: float = Field(default=30.0, ge=0.05, le=3600, description="Bound of the pause.")
    steady_s: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="A relay that ran this long begins anew: first source, soon, all retries.",
    )
