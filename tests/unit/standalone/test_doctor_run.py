"""All checks together: each within its time, none in the way of another; what is printed; the exit status."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from lalmesh.runtime.config import Config, Role
from services.standalone import doctor_cli
from services.standalone.cli import app
from services.standalone.doctor import (
    CHECKS,
    Examined,
    Finding,
    Place,
    Status,
    as_json,
    as_text,
    examine,
    exit_status,
    failed,
    ok,
    warning,
)
from services.standalone.doctor._threads import in_thread

LIMIT_S = 0.05


async def well(_: Place) -> list[Finding]:
    return [ok("a", "is well")]


async def hangs(_: Place) -> list[Finding]:
    await asyncio.Event().wait()
    return []


async def hangs_in_a_thread(_: Place) -> list[Finding]:
    await in_thread(time.sleep, 30)
    return []


async def breaks(_: Place) -> list[Finding]:
    raise RuntimeError("of ours")


@pytest.mark.parametrize(
    ("role", "section", "key"),
    [
        ("edge", {"edge": {"workers": 3, "rtsp": {"udp_ports": "20000-20003"}}}, "edge.rtsp.udp_ports"),
        (
            "standalone",
            {"edge": {"workers": 2, "rtsp": {"udp_ports": "shared", "shared_udp_port": 65534}}},
            "edge.rtsp.shared_udp_port",
        ),
        ("origin", {"origin": {"workers": 2, "grpc": {"port": 65535}}}, "origin.grpc.port"),
        ("hls", {"edge": {"workers": 3, "rtsp": {"udp_ports": "20000-20003"}}}, ""),
    ],
)
async def test_a_node_cannot_start_whose_workers_do_not_all_get_ports(role: Role, section: dict[str, Any], key: str) -> None:
    found = await CHECKS["configuration"](Place(Config.model_validate(section), role))
    told = [each.subject for each in found if each.status is Status.FAILED and "ports" in each.found]
    assert told == ([key] if key else [])


@pytest.mark.parametrize("bad", [hangs, hangs_in_a_thread])
async def test_a_check_that_hangs_is_a_finding_and_the_others_tell(bad: object) -> None:
    examined = await examine(Place(Config(), "edge", limit_s=LIMIT_S), {"one": bad, "two": well})  # type: ignore[dict-item]
    assert [each.status for each in examined.findings["one"]] == ["failed"]
    assert examined.findings["two"] == [ok("a", "is well")]
    assert examined.hung


async def test_a_check_that_breaks_is_a_finding() -> None:
    examined = await examine(Place(Config(), "edge", limit_s=LIMIT_S), {"one": breaks, "two": well})
    assert [each.found for each in examined.findings["one"]] == ["broke off: RuntimeError: of ours"]
    assert not examined.hung


async def test_a_thread_gives_its_result_or_its_error() -> None:
    assert await in_thread(sum, (1, 2)) == 3
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)


MIXED = Examined({"ports": [ok("a", "free"), failed("b", "taken", "end it")], "names": [warning("c", "slow", "wait")]}, hung=False)


def test_a_person_gets_lines_with_the_remedy_below() -> None:
    text = as_text(Place(Config(), "edge"), "e1", MIXED)
    assert "failed   ports          b: taken\n                        -> end it\n" in text
    assert text.endswith("1 failed, 1 warning, 0 skipped, 1 ok")
    assert "a: free" in text
    assert "a: free" not in as_text(Place(Config(), "edge"), "e1", MIXED, quiet=True)


def test_a_program_gets_an_object() -> None:
    told = json.loads(as_json(Place(Config(), "edge"), "e1", MIXED))
    assert (told["role"], told["node"], told["ok"]) == ("edge", "e1", False)
    assert told["findings"][1] == {"check": "ports", "status": "failed", "subject": "b", "found": "taken", "remedy": "end it"}


def test_only_what_failed_makes_the_exit_status() -> None:
    assert exit_status(MIXED) == 1
    assert exit_status(Examined({"names": [warning("c", "slow", "wait")]}, hung=False)) == 0


def test_the_command_looks_as_the_role_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Place] = []

    def examined(place: Place) -> Examined:
        places.append(place)
        return MIXED

    monkeypatch.setattr(doctor_cli, "_examined", examined)
    words = ["doctor", "--role", "edge", "--set", "edge.rtmp.port=1936", "--api", "http://s1:8083", "--limit", "2", "--json"]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, json.loads(done.output)["ok"]) == (1, False)
    (place,) = places
    assert (place.role, place.api, place.limit_s, place.config.edge.rtmp.port) == ("edge", "http://s1:8083", 2.0, 1936)


def test_a_configuration_that_cannot_be_read_is_said() -> None:
    done = CliRunner().invoke(app, ["doctor", "--set", "edge.rtmp.prot=1"])
    assert done.exit_code == 1
    assert "edge.rtmp.port" in done.output


async def test_what_a_role_cannot_start_without_is_told() -> None:
    examined = await examine(Place(Config(), "edge", limit_s=5), {"configuration": CHECKS["configuration"]})
    assert [each.subject for each in examined.findings["configuration"]] == ["cluster.key"]
