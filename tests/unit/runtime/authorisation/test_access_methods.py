"""lal's secret, signed URLs, passwords, addresses: good, wrong, expired, missing, for somebody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.names import StreamKey
from lalmesh.runtime.authorisation import (
    Action,
    Allowed,
    LalSecret,
    Method,
    NotThis,
    Passwords,
    PlainLogin,
    Request,
    SignedUrls,
    fields_of,
    lal_secret_of,
    signed_query,
)
from lalmesh.runtime.networks import Networks

STREAM = StreamKey("live", "test110")
PLAY = Request(action=Action.PLAY, stream=STREAM, protocol="rtmp", address="192.0.2.7")
NOW_S = 1_767_225_600.0
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def judged(method: Method, request: Request) -> bool:
    judgement = method.judge(request, NOW_S, {})
    assert isinstance(judgement, Allowed | NotThis)
    return isinstance(judgement, Allowed)


def shows(query: str, request: Request = PLAY) -> Request:
    return replace(request, query=query)


# lal: reference section 7.1


def test_lal_secret_is_the_md5_of_key_and_name() -> None:
    assert lal_secret_of("test110", "q191201771") == "700997e1595a06c9ffa60ebef79105b0"


@pytest.mark.parametrize(
    ("query", "is_right"),
    [
        ("lal_secret=700997e1595a06c9ffa60ebef79105b0", True),
        ("a=b&lal_secret=700997E1595A06C9FFA60EBEF79105B0", True),  # lal takes capitals of the hash
        ("lal_secret=Pengrl", True),
        ("lal_secret=pengrl", False),  # lal's defect: it lowered one side, so that a secret with capitals never matched
        ("lal_secret=PENGRL", False),  # ... and this one passed for pengrl
        ("lal_secret=700997e1595a06c9ffa60ebef79105b1", False),
        ("lal_secret=", False),
        ("", False),
    ],
)
def test_lal_secret_takes_the_hash_and_the_master_secret_as_it_is_written(query: str, is_right: bool) -> None:
    assert judged(LalSecret("q191201771", "Pengrl"), shows(query)) is is_right


def test_lal_secret_without_master_secret_or_key_takes_nothing_empty() -> None:
    assert not judged(LalSecret("k"), shows("lal_secret="))
    assert not judged(LalSecret("", "master"), shows(f"lal_secret={lal_secret_of('test110', '')}"))


# signed URLs


def query(
    key: bytes = KEY, action: Action = Action.PLAY, stream: StreamKey = STREAM, *, lasts_s: int = 60, address: str = ""
) -> str:
    return signed_query(key, action, stream, expires_s=int(NOW_S) + lasts_s, key_id="k1", address=address)


SIGNED = SignedUrls({"k1": KEY, "k2": OTHER_KEY})


def test_the_signature_is_over_the_documented_lines() -> None:
    lines = "lalmesh-url-1\nplay\nlive/test110\n1767225660\nk1\n192.0.2.0/24"
    expected = base64.urlsafe_b64encode(hmac.new(KEY, lines.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    assert fields_of(query(address="192.0.2.0/24"))["sign"] == expected


def test_signed_urls_let_in_for_what_they_were_made() -> None:
    assert judged(SIGNED, shows(query()))
    assert judged(SIGNED, shows("a=b&" + query(address="192.0.2.0/24")))
    assert judged(SIGNED, shows(query(address="192.0.2.7")))
    assert judged(SIGNED, replace(shows(query(address="192.0.2.7")), address="::ffff:192.0.2.7"))
    rotated = signed_query(OTHER_KEY, Action.PLAY, STREAM, expires_s=int(NOW_S) + 1, key_id="k2")
    assert judged(SIGNED, shows(rotated))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "sign=&expires=1&key=k1",
        query(lasts_s=-1),
        query(OTHER_KEY),
        query(action=Action.PUBLISH),
        query(stream=StreamKey("live", "other")),
        query(stream=StreamKey("live2", "test110")),
        query(address="198.51.100.0/24"),
        query(address="192.0.2.0/24").replace("0%2F24", "0%2F0").replace("0/24", "0/0"),
        query().replace("key=k1", "key=k2"),
        query().replace("key=k1", "key=k3"),
        query().replace("expires=17", "expires=27"),
        query().replace("sign=", "sign=x"),
        query() + "&" * 20_000,
    ],
)
def test_signed_urls_are_good_for_nothing_else(wrong: str) -> None:
    assert not judged(SIGNED, shows(wrong))


def test_a_network_that_is_none_is_not_signed() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        query(address="nowhere")


@given(st.text(), st.text(max_size=20))
def test_any_query_is_judged(text: str, value: str) -> None:
    for shown in (text, f"sign={value}&expires={value}&key=k1&address={value}", f"lal_secret={value}"):
        assert not judged(SIGNED, shows(shown))
        assert not judged(LalSecret("k", "m" * 30), shows(shown))


# passwords


USERS = Passwords({"alice": "in"}, {"bob": "out"})


def test_users_log_in_for_their_action_alone() -> None:
    assert judged(USERS, replace(PLAY, login=PlainLogin("bob", "out")))
    assert judged(USERS, shows("user=bob&pass=out"))
    assert not judged(USERS, replace(PLAY, login=PlainLogin("alice", "in")))
    assert judged(USERS, replace(PLAY, action=Action.PUBLISH, login=PlainLogin("alice", "in")))


@pytest.mark.parametrize("login", [None, PlainLogin("bob", ""), PlainLogin("bob", "in"), PlainLogin("", ""), PlainLogin("eve", "")])
def test_nobody_else_logs_in(login: PlainLogin | None) -> None:
    assert not judged(USERS, replace(PLAY, login=login))


# addresses and queries


def test_networks_know_both_families_and_mapped_addresses() -> None:
    networks = Networks(("192.0.2.0/24", "2001:db8::/32"))
    assert "192.0.2.9" in networks
    assert "::ffff:192.0.2.9" in networks
    assert "2001:db8::1%eth0" in networks
    assert "198.51.100.1" not in networks
    assert "" not in networks


def test_of_a_field_given_twice_the_first_counts() -> None:
    assert fields_of("token=a&token=b") == {"token": "a"}
