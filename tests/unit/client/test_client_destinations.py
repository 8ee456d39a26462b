"""Which addresses must not be reached, however they are written."""

from __future__ import annotations

import pytest

from lalmesh.client._destinations import is_denied
from lalmesh.runtime.networks import Networks

DENIED = Networks(["169.254.0.0/16", "10.0.0.0/8", "::1", "fd00:ec2::254"])


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",  # by NAT64
        "64:ff9b::10.1.2.3",
        "2002:a9fe:a9fe::1",  # by 6to4
        "2002:a01:203:ffff::",
        "fd00:ec2::254",
        "::",
    ],
)
def test_what_leads_to_an_address_that_is_denied_is_denied(address: str) -> None:
    assert is_denied(address, DENIED)


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.1",
        "64:ff9b::192.0.2.1",
        "64:ff9b:1::a9fe:a9fe",
        "2002:c000:201::1",
        "2001:db8::a9fe:a9fe",
        "fe80::1%eth0",
        "cdn.example",
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    assert not is_denied(address, DENIED)


def test_what_is_written_as_ipv6_is_denied_by_networks_of_that_too() -> None:
    assert is_denied("64:ff9b::192.0.2.1", Networks(["64:ff9b::/96"]))
    assert is_denied("2002:c000:201::1", Networks(["2002::/16"]))
