from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from support.turned_clock import Clock

from lalmesh.runtime.blacklist import AddressBlacklist
from lalmesh.runtime.networks import parse_network
from lalmesh.runtime.scheduling.control import BlacklistEntry


def listing(*networks: str, clock: Clock | None = None, expires_us: int = 0) -> AddressBlacklist:
    made = AddressBlacklist(clock or Clock())
    made.replace(BlacklistEntry(network, expires_us) for network in networks)
    return made


def test_addresses_and_networks_are_blocked_and_others_are_not() -> None:
    blacklist = listing("192.0.2.7", "10.0.0.0/8", "2001:db8::/32")
    assert all(map(blacklist.blocks, ("192.0.2.7", "10.1.2.3", "2001:db8:1::1")))
    assert not any(map(blacklist.blocks, ("192.0.2.8", "11.0.0.1", "2001:db9::1", "", "?", "host")))


def test_an_address_that_is_mapped_to_ipv6_is_the_ipv4_address() -> None:
    assert listing("192.0.2.7").blocks("::ffff:192.0.2.7")
    assert listing("::ffff:192.0.2.0/120").blocks("192.0.2.9")
    assert not listing("::/0").blocks("192.0.2.7")
    assert listing("fe80::/64").blocks("fe80::1%eth0")


def test_an_entry_ends_by_itself_and_the_wider_one_stays() -> None:
    clock = Clock()
    blacklist = AddressBlacklist(clock)
    end_us = round((clock.now + 10) * 1_000_000)
    blacklist.replace([BlacklistEntry("192.0.2.7/32", end_us), BlacklistEntry("192.0.2.0/24", end_us + 5_000_000)])
    clock.now += 11
    assert blacklist.blocks("192.0.2.7"), "the wider network is still there"
    clock.now += 5
    assert not blacklist.blocks("192.0.2.7")


def test_a_new_list_replaces_the_old_one() -> None:
    blacklist = listing("192.0.2.7")
    blacklist.replace([BlacklistEntry("192.0.2.8/32")])
    assert (blacklist.blocks("192.0.2.7"), blacklist.blocks("192.0.2.8"), len(blacklist)) == (False, True, 1)
    blacklist.replace([])
    assert not blacklist.blocks("192.0.2.8")


def test_an_entry_that_is_no_network_takes_no_other_with_it() -> None:
    blacklist = listing("fe80::1%eth0/128", "192.0.2.7/32", "x")
    assert (blacklist.blocks("192.0.2.7"), len(blacklist)) == (True, 1)


networks_written = st.ip_addresses().flatmap(lambda address: st.integers(0, address.max_prefixlen).map(lambda n: f"{address}/{n}"))


@given(st.lists(networks_written, max_size=20), st.ip_addresses())
def test_it_blocks_what_any_of_its_networks_holds(networks: list[str], address: object) -> None:
    parsed = ip_address(str(address))
    plain = getattr(parsed, "ipv4_mapped", None) or parsed
    held = any(plain in parse_network(each) for each in networks)
    assert listing(*networks).blocks(str(address)) is held
    assert all(ip_network(each, strict=False).version in (4, 6) for each in networks)
