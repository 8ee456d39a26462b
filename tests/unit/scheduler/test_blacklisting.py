"""The blacklist of a scheduler: what lal's API puts on it, and how nodes are told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lalmesh.runtime.scheduling.control import Blacklist, BlacklistEntry
from lalmesh.runtime.scheduling.model import Role
from services.scheduler.blacklisting import Blacklisting, Listed, MemoryBlacklist
from services.scheduler.lal_api._bodies import BanBody
from services.scheduler.lal_api._control import LalControl
from services.scheduler.lal_api._errors import LalError


class FakeMember:
    def __init__(self, role: Role) -> None:
        self.report = SimpleNamespace(role=role)
        self.told: list[object] = []

    def send(self, command: object) -> None:
        self.told.append(command)


class FakeBlacklisting:
    def __init__(self) -> None:
        self.networks: list[str] = []

    async def put(self, listed: Listed) -> None:
        self.networks.append(listed.network)


def lal(blacklisting: FakeBlacklisting) -> LalControl:
    nothing: Any = None
    parts: dict[str, Any] = dict.fromkeys(("groups", "relays", "recordings", "kicks"), nothing)
    return LalControl(**parts, blacklisting=cast(Any, blacklisting))


async def test_what_lals_api_puts_on_it_is_written_as_the_api_of_v1_writes_it() -> None:
    blacklisting = FakeBlacklisting()
    for address in ("192.0.2.7", "::ffff:203.0.113.9", "2001:db8::1"):
        await lal(blacklisting).add_ip_blacklist(BanBody(ip=address, duration_sec=9))
    assert blacklisting.networks == ["192.0.2.7/32", "203.0.113.9/32", "2001:db8::1/128"]


async def test_an_address_with_a_zone_is_not_put_on_it() -> None:
    blacklisting = FakeBlacklisting()
    with pytest.raises(LalError, match="zone"):
        await lal(blacklisting).add_ip_blacklist(BanBody(ip="fe80::1%eth0", duration_sec=9))
    assert blacklisting.networks == []


async def test_all_nodes_are_told_the_same_list_which_is_made_once() -> None:
    members = [FakeMember(Role.EDGE), FakeMember(Role.HLS), FakeMember(Role.ORIGIN)]
    part = Blacklisting(MemoryBlacklist(), cast(Any, members), cast(Any, None))
    part._learn({"192.0.2.7/32": Listed(network="192.0.2.7/32")})
    late = FakeMember(Role.EDGE)
    part.joined(cast(Any, late))
    told = [member.told for member in (*members, late)]
    assert told == [[Blacklist((BlacklistEntry("192.0.2.7/32"),))]] * 2 + [[], told[0]]
    assert told[0][0] is told[1][0] is told[3][0]
