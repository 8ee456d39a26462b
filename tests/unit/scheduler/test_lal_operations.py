"""lal's API as it is asked: any method, status 200 whatever happens, bodies within bounds."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.api_web import Web

from lalmesh.names import StreamKey
from lalmesh.runtime.api_tokens import ApiRole, ApiToken, hash_token
from lalmesh.runtime.recording import parse_rule
from lalmesh.runtime.scheduling import NamedStreams
from services.scheduler.lal_api._control import LalControl
from services.scheduler.lal_api._groups import Groups
from services.scheduler.lal_api._models import LalInfo
from services.scheduler.lal_api._operations import operations

OPERATOR = ApiToken(name="operator", role=ApiRole.OPERATOR, hash=hash_token("operator"))
TOKEN = {"Authorization": "Bearer operator"}
URL = b'{"url":"rtmp://192.0.2.1/live/cam"}'
INFO = LalInfo(server_id="1", bin_info="", lal_version="", api_version="", notify_version="", WebUiVersion="", start_time="")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "QUERY")


class FakeRelays:
    """Takes every relay."""

    def __init__(self) -> None:
        self.known = SimpleNamespace(pulls=list, relay=lambda _: None, wanted=lambda _: True)
        self.begun: list[tuple[StreamKey, Any]] = []
        self.stops: list[float] = []

    async def start_pull(self, stream: StreamKey, urls: list[str], **said: Any) -> Any:
        self.begun.append((stream, said["options"]))
        self.stops.append(said["stop_after_s"])
        return SimpleNamespace(id="a", urls=urls)


class FakeRecordings:
    """Takes every rule."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.ids = (f"r{number}" for number in itertools.count())
        self.known = SimpleNamespace(records=lambda: self.records)

    async def add(self, rule: Any, stream: StreamKey | None = None) -> Any:
        record = SimpleNamespace(id=next(self.ids), stream=str(stream or ""), rule=rule)
        self.records.append(record)
        return record

    async def remove(self, record_id: str) -> None:
        self.records[:] = [record for record in self.records if record.id != record_id]

    @property
    def shown(self) -> list[tuple[str, list[str]]]:
        """What is recorded, as what."""
        return [(record.stream, [made.value for made in record.rule.formats]) for record in self.records]


class Lal:
    """The operations, with fakes below."""

    def __init__(self, *, match_app: bool = True, published: tuple[str, ...] = (), **asking: Any) -> None:
        streams = self.streams = [StreamKey.parse(text) for text in published]
        directory = SimpleNamespace(is_published=streams.__contains__, streams=lambda: streams)

        async def find_streams(names: list[str], timeout_s: float) -> list[NamedStreams]:
            return [NamedStreams(tuple(stream for stream in streams if stream.name == name)) for name in names]

        nothing: Any = None
        service = SimpleNamespace(directory=directory, find_streams=find_streams)
        groups = Groups(cast(Any, service), nothing, nothing, match_app=match_app)
        self.relays = FakeRelays()
        self.recordings = FakeRecordings()
        control = LalControl(
            groups=groups,
            relays=cast(Any, self.relays),
            recordings=cast(Any, self.recordings),
            kicks=nothing,
            blacklisting=nothing,
        )
        self.web = Web(*operations(groups, control, lambda: INFO), **(asking or {"tokens": (OPERATOR,)}))

    async def code(self, method: str, path: str, body: bytes = b"", **headers: str) -> int:
        status, told = await self.web.told(method, path, body, **headers)
        assert status == 200
        return int(told["error_code"])


@pytest.mark.parametrize("method", METHODS)
async def test_any_method_will_do(method: str) -> None:
    lal = Lal()
    assert await lal.code(method, "/api/stat/lal_info") == 0
    assert await lal.code(method, "/api/stat/group") == 1002
    assert await lal.code(method, "/api/ctrl/start_relay_pull", URL, **TOKEN) == 0
    assert await lal.code(method, "/api/nothing") == await lal.code(method, "/api/") == 404


@pytest.mark.parametrize(("method", "code"), [("GET", 405), ("HEAD", 405), ("POST", 0), ("PUT", 0)])
async def test_what_a_page_can_have_a_browser_send_changes_nothing_without_a_token(method: str, code: int) -> None:
    lal = Lal(remote="127.0.0.1")
    assert await lal.code(method, "/api/ctrl/start_relay_pull", URL) == code
    assert len(lal.relays.begun) == (code == 0)


async def test_who_may_not_is_told_so_with_status_200() -> None:
    assert await Lal().code("POST", "/api/ctrl/kick_session", b"{}") == 401


PULL = b'{"url":"rtmp://192.0.2.1/live/cam",%s}'


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("start_relay_pull", b""),
        ("start_relay_pull", b"no JSON"),
        ("start_relay_pull", b"[" * 10_000),
        ("start_relay_pull", b'["url"]'),
        ("start_relay_pull", b'{"url":""}'),
        ("start_relay_pull", b'{"url":7}'),
        ("start_relay_pull", PULL % b'"pull_timeout_ms":%s' % (b"9" * 400)),
        ("start_relay_pull", PULL % b'"auto_stop_pull_after_no_out_ms":%s' % (b"9" * 400)),
        ("start_relay_pull", PULL % b'"pull_retry_num":true'),
        ("start_relay_pull", b'{"url":"%s"}' % (b"a" * 70_000)),
        ("kick_session", b'{"stream_name":"cam"}'),
        ("kick_session", b'{"session_id":"FLVSUB1"}'),
        ("add_ip_blacklist", b'{"ip":"192.0.2.1"}'),
        ("add_ip_blacklist", b'{"ip":"192.0.2.1","duration_sec":0}'),
        ("start_rtp_pub", b"{}"),
        ("start_record", b'{"stream_name":"cam","formats":"flv"}'),
    ],
)
async def test_a_body_that_is_not_as_it_has_to_be_is_a_param_missing(name: str, body: bytes) -> None:
    lal = Lal()
    assert await lal.code("POST", f"/api/ctrl/{name}", body, **TOKEN) == 1002
    assert not lal.relays.begun


async def test_a_body_may_be_of_any_type_and_have_fields_of_anything() -> None:
    lal = Lal()
    body = PULL % b'"rtsp_mode":1,"debug_dump_packet":"x"'
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert await lal.code("POST", "/api/ctrl/start_relay_pull", body, **TOKEN, **form) == 0
    [(stream, options)] = lal.relays.begun
    assert (str(stream), options.rtsp_udp, options.retries, options.start_timeout_s) == ("live/cam", True, 0, 10.0)


@pytest.mark.parametrize(
    ("more", "start_s", "retries", "stop_s"),
    [
        (b"", 10.0, 0, -1.0),
        (b',"pull_timeout_ms":2500,"pull_retry_num":3,"auto_stop_pull_after_no_out_ms":1500', 2.5, 3, 1.5),
        (b',"pull_timeout_ms":0,"pull_retry_num":-1,"auto_stop_pull_after_no_out_ms":-1', 600.0, -1, -1.0),
        (b',"auto_stop_pull_after_no_out_ms":0', 10.0, 0, 0.0),  # somebody waits
    ],
)
async def test_a_pull_is_tried_and_ended_as_its_body_says(more: bytes, start_s: float, retries: int, stop_s: float) -> None:
    lal = Lal()
    body = b'{"url":"rtmp://192.0.2.1/live/cam"%s}' % more
    assert await lal.code("POST", "/api/ctrl/start_relay_pull", body, **TOKEN) == 0
    [(_, options)] = lal.relays.begun
    assert (options.start_timeout_s, options.retries, options.rtsp_udp, lal.relays.stops) == (start_s, retries, False, [stop_s])


async def test_where_there_is_no_stream_groups_are_null() -> None:
    status, told = await Lal().web.told("GET", "/api/stat/all_group")
    assert (status, told) == (200, {"error_code": 0, "desp": "succ", "data": {"groups": None}})


@pytest.mark.parametrize("name", [b'"cam"', b'"cam","app_name":"live"', b'"live/cam"', b'"other/live/cam"'])
async def test_where_applications_mean_nothing_what_was_begun_with_one_is_ended_with_it(name: bytes) -> None:
    lal = Lal(match_app=False, published=("-/cam",))
    body = b'{"stream_name":%s}' % name
    assert await lal.code("POST", "/api/ctrl/start_record", body, **TOKEN) == 0
    assert await lal.code("POST", "/api/ctrl/stop_record", body, **TOKEN) == 0
    assert await lal.code("POST", "/api/ctrl/stop_record", body, **TOKEN) == 1003


async def test_where_they_mean_something_another_one_is_another_stream() -> None:
    lal = Lal(published=("live/cam",))
    assert await lal.code("POST", "/api/ctrl/start_record", b'{"stream_name":"cam"}', **TOKEN) == 0
    assert await lal.code("POST", "/api/ctrl/stop_record", b'{"stream_name":"cam","app_name":"x"}', **TOKEN) == 1003
    assert await lal.code("POST", "/api/ctrl/stop_record", b'{"stream_name":"cam","app_name":"live"}', **TOKEN) == 0


def record_body(name: str = "cam", **said: Any) -> bytes:
    return json.dumps({"stream_name": name, **said}).encode()


@pytest.mark.parametrize("name", ["cam", "live/cam"])
async def test_recording_is_stopped_though_the_stream_has_gone(name: str) -> None:
    lal = Lal(published=("live/cam",))
    await lal.recordings.add(parse_rule("* flv"))  # by a pattern, which is nobody's to stop here
    assert await lal.code("POST", "/api/ctrl/start_record", record_body(), **TOKEN) == 0
    lal.streams.clear()
    assert await lal.code("POST", "/api/ctrl/stop_record", record_body("other"), **TOKEN) == 1003
    assert await lal.code("POST", "/api/ctrl/stop_record", record_body(name), **TOKEN) == 0
    assert lal.recordings.shown == [("", ["flv"])]
    assert await lal.code("POST", "/api/ctrl/stop_record", record_body(name), **TOKEN) == 1003


async def test_formats_that_are_not_recorded_yet_are_added_and_all_are_stopped() -> None:
    lal = Lal(published=("live/cam",))
    for formats, told in ((["flv"], "r0"), (["mp4", "flv"], "r1"), (["flv"], "r0"), (["mp4"], "r1"), (["flv", "mp4"], "r0")):
        _, answer = await lal.web.told("POST", "/api/ctrl/start_record", record_body(formats=formats), **TOKEN)
        assert (answer["error_code"], answer["data"]["record_id"]) == (0, told)
    assert lal.recordings.shown == [("live/cam", ["flv"]), ("live/cam", ["mp4"])]
    assert await lal.code("POST", "/api/ctrl/start_record", record_body(formats=["avi"]), **TOKEN) == 1002
    assert await lal.code("POST", "/api/ctrl/stop_record", record_body(), **TOKEN) == 0
    assert lal.recordings.shown == []


async def test_of_several_streams_of_one_name_the_one_that_is_there_is_meant_and_no_other_is_stopped() -> None:
    lal = Lal(published=("live/cam",))
    for app in ("live", "tv"):
        await lal.recordings.add(parse_rule("* flv"), StreamKey.of(app, "cam"))
    assert await lal.code("POST", "/api/ctrl/stop_record", record_body(), **TOKEN) == 0
    assert await lal.code("POST", "/api/ctrl/stop_record", record_body(), **TOKEN) == 1002
    assert lal.recordings.shown == [("tv/cam", ["flv"])]
    await lal.recordings.add(parse_rule("* flv"), StreamKey.of("live", "cam"))
    lal.streams.clear()
    assert await lal.code("POST", "/api/ctrl/stop_record", record_body(), **TOKEN) == 1002
    assert await lal.code("POST", "/api/ctrl/stop_record", record_body(app_name="tv"), **TOKEN) == 0
    assert lal.recordings.shown == [("live/cam", ["flv"])]
