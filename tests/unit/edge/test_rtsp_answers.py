"""Who may, and which way a track takes, in virtual time and without a socket."""

from __future__ import annotations

from support.rtsp_stage import URL, Stage
from support.rtsp_talk import TCP, UDP
from support.virtual_time import in_virtual_time

from lalmesh.protocol.http_auth import ClientAuth
from lalmesh.runtime.authorisation import AccessSettings
from services.edge.rtsp_link import AuthSettings, RtspSettings


def too_often(stage: Stage) -> None:
    """Wrong credentials come from the address of the client, by whatever protocol."""
    access = stage.dialogue.context.access
    access.apply(AccessSettings(failures_per_minute=1))
    access.failed(stage.dialogue.address)
    assert access.is_too_often(stage.dialogue.address)


@in_virtual_time
async def test_without_free_ports_a_client_falls_back() -> None:
    stage = Stage()
    stage.ports.exhausted = True
    assert await stage.status(stage.talk.announce()) == 200
    assert await stage.status(stage.talk.setup(UDP.format(5000, 5001))) == 461
    assert await stage.status(stage.talk.setup(f"{UDP.format(5000, 5001)},{TCP.format(0, 1)}")) == 200


@in_virtual_time
async def test_what_is_encrypted_gets_no_udp() -> None:
    stage = Stage(protocol="rtsps")
    assert await stage.status(stage.talk.announce()) == 200
    assert await stage.status(stage.talk.setup(UDP.format(5000, 5001))) == 461
    assert not stage.ports.pairs


@in_virtual_time
async def test_what_comes_by_a_balancer_gets_no_udp_which_would_not_pass_it() -> None:
    stage = Stage(is_handed_on=True)
    assert await stage.status(stage.talk.announce()) == 200
    assert await stage.status(stage.talk.setup(UDP.format(5000, 5001))) == 461
    assert await stage.status(stage.talk.setup(f"{UDP.format(5000, 5001)},{TCP.format(0, 1)}")) == 200
    assert not stage.ports.pairs


@in_virtual_time
async def test_a_publisher_without_credentials_is_asked_for_them_as_often_as_it_is_wrong() -> None:
    stage = Stage(RtspSettings(auth=AuthSettings(publish_users={"alice": "in"})))
    for password in ("wrong", "wrong", "in"):
        answer = await stage.ask(stage.talk.announce())
        assert (answer.status, stage.scheduler.claims) == (401, [])
        user = ClientAuth("alice", password, bytes)
        assert user.challenged(answer.headers.all("www-authenticate"))
        answer = await stage.ask(stage.talk.announce(Authorization=user.authorization("ANNOUNCE", URL) or ""))
    assert (answer.status, stage.wire.closed) == (200, "")
    assert stage.registry.get_sample_value("edge_refused_total", {"protocol": "rtsp", "reason": "credentials"}) == 2.0


@in_virtual_time
async def test_who_was_wrong_too_often_is_kept_from_what_asks_for_a_login_and_from_nothing_else() -> None:
    for users, status in (({}, 200), ({"alice": "in"}, 403)):
        stage = Stage(RtspSettings(auth=AuthSettings(publish_users=users)))
        too_often(stage)
        assert await stage.status(stage.talk.announce()) == status


@in_virtual_time
async def test_who_has_logged_in_goes_on_though_its_address_is_wrong_too_often() -> None:
    stage = Stage(RtspSettings(auth=AuthSettings(publish_users={"alice": "in"})))
    user = ClientAuth("alice", "in", bytes)
    user.challenged((await stage.ask(stage.talk.announce())).headers.all("www-authenticate"))
    assert await stage.status(stage.talk.announce(Authorization=user.authorization("ANNOUNCE", URL) or "")) == 200
    too_often(stage)
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 200


@in_virtual_time
async def test_a_player_without_credentials_is_asked_for_them() -> None:
    stage = Stage(RtspSettings(auth=AuthSettings(play_users={"bob": "out"})))
    assert await stage.status(stage.talk.request("DESCRIBE")) == 401
    assert await stage.status(stage.talk.setup(TCP.format(0, 1))) == 401
    assert not stage.players
