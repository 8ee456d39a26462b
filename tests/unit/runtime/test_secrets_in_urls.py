from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lalmesh.runtime.addresses import host_of, host_port, plain
from lalmesh.runtime.secrets_in_urls import (
    CREDENTIALS,
    HIDDEN,
    SECRETS,
    without_credentials,
    without_echo,
    without_login,
    without_secrets,
)


def test_secrets_are_hidden_whatever_their_case_and_the_rest_stays_as_it_is() -> None:
    assert without_secrets("a=1&Token=x&lal_secret=&b=%20&flag") == f"a=1&Token={HIDDEN}&lal_secret={HIDDEN}&b=%20&flag"
    assert without_secrets("%74oken=x&x=token=y") == f"%74oken={HIDDEN}&x=token=y"
    assert without_secrets("") == ""


@given(st.sampled_from(sorted(SECRETS)), st.text(alphabet="abc123", min_size=4))
def test_no_secret_gets_through(name: str, value: str) -> None:
    assert f"={value}" not in without_secrets(f"{name}={value}")


def test_what_lets_somebody_in_is_cut_out_of_a_query_and_the_rest_stays() -> None:
    query = "a=1&token=x&%73ign=y&b=%20&user=u&Pass=p&_HLS_msn=3&hls_pass=z&access_token=t&auth=s&signature=w"
    assert without_credentials(query) == "a=1&b=%20&_HLS_msn=3"
    assert CREDENTIALS > SECRETS, "what is hidden from logs is not for playlists either"


def test_a_url_is_shown_without_its_login() -> None:
    for login in ("u:p@", "u@", "u:p%40:q@", "u:p q@", "u:a@b@", ""):
        assert without_login(f"rtmp://{login}h:1935/live/a@b") == "rtmp://h:1935/live/a@b"
    assert [without_login(text) for text in ("rtmp://u:p@h", "live/a@b", "")] == ["rtmp://h", "live/a@b", ""]


def test_what_a_server_repeats_of_its_url_is_hidden_where_it_stands_by_itself() -> None:
    url = "rtmp://me:p%40ss@a/live/cam?token=tok-9&b=1"
    said = "cam?token=tok-9&b=1 of me: p@ss is wrong, tok-9 is over; b is 1, and xtok-9 another"
    assert without_echo(said, url) == "cam?*** of me: *** is wrong, *** is over; b is 1, and xtok-9 another"
    assert {without_echo("all of it", bare) for bare in ("rtmp://a/live/cam", "rtmp://u:@a/live/cam?token=", "")} == {"all of it"}


def test_the_host_of_a_peer_is_found_and_in_its_normal_form() -> None:
    peers = {"192.0.2.1:5": "192.0.2.1", "[2001:DB8::1]:5": "2001:db8::1", "[::ffff:192.0.2.1]:5": "192.0.2.1"}
    assert {peer: host_of(peer) for peer in peers} == peers
    for host in ("192.0.2.1", "2001:db8::1", "?", "", "host"):
        assert host_of(host) == host
    assert host_of(host_port("::1", 80)) == plain("0:0::1") == "::1"
