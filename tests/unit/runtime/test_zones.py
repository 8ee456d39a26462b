"""In which zone an address is."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.runtime.networks import parse_address
from lalmesh.runtime.zones import Zones, parse_zones

ZONES = Zones({"west": ["10.0.0.0/8", "2001:db8::/32"], "east": ["10.1.0.0/16", "10.1.2.3/32"], "lab": ["10.1.2.0/24"]})


@pytest.mark.parametrize(
    ("address", "zone"),
    [
        ("10.2.0.1", "west"),
        ("10.1.0.1", "east"),
        ("10.1.2.1", "lab"),
        ("10.1.2.3", "east"),
        ("::ffff:10.1.2.1", "lab"),
        ("2001:db8::1", "west"),
        ("2001:db8::1%eth0", "west"),
        ("192.0.2.1", ""),
        ("2001:db9::1", ""),
        ("", ""),
        ("no address", ""),
    ],
)
def test_the_longest_prefix_gives_the_zone(address: str, zone: str) -> None:
    assert ZONES.of(address) == zone


def test_a_network_of_everything_is_the_last_to_be_asked() -> None:
    zones = Zones({"rest": ["0.0.0.0/0", "::/0"], "here": ["127.0.0.0/8"]})
    assert [zones.of(address) for address in ("127.0.0.1", "8.8.8.8", "::1")] == ["here", "rest", "rest"]


@pytest.mark.parametrize("networks", [{"a": ["10.0.0.1/8"]}, {"a": ["x"]}, {"a": ["10.0.0.0/8"], "b": ["10.0.0.0/8"]}])
def test_what_is_no_table_is_refused(networks: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match=r"10|'x'"):
        Zones(networks)


def test_the_table_is_written_as_lines_of_a_zone_and_its_networks() -> None:
    zones = parse_zones(["w 10.0.0.0/8  2001:db8::/32", "e 10.1.0.0/16", "w 172.16.0.0/12"])
    addresses = ("10.0.0.1", "2001:db8::1", "10.1.0.1", "172.16.0.1")
    assert "".join(map(zones.of, addresses)) == "wwew"


def test_a_zone_without_a_network_is_refused() -> None:
    with pytest.raises(ValueError, match="names no network"):
        parse_zones(["west"])


_networks = st.integers(0, 32).flatmap(lambda length: st.integers(0, 2**32 - 1).map(lambda at: _network(at, length)))


def _network(at: int, length: int) -> ipaddress.IPv4Network:
    return ipaddress.ip_network((at, length), strict=False)  # type: ignore[return-value]


@given(st.lists(_networks, max_size=12, unique=True), st.integers(0, 2**32 - 1))
def test_it_is_what_a_look_at_every_network_gives(networks: list[ipaddress.IPv4Network], client: int) -> None:
    zones = Zones({f"zone-{number}": [str(network)] for number, network in enumerate(networks)})
    holding = [network for network in networks if ipaddress.IPv4Address(client) in network]
    longest = max(holding, key=lambda network: network.prefixlen, default=None)
    expected = f"zone-{networks.index(longest)}" if longest is not None else ""
    assert zones.of(str(ipaddress.IPv4Address(client))) == expected


@given(st.text())
def test_any_text_is_an_address_or_none(text: str) -> None:
    assert parse_address(text) is None or ZONES.of(text) in ("", "west", "east", "lab")
