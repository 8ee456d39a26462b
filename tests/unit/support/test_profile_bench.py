"""The benchmark of profiles reads what py-spy and strace write: own time by function and package, calls for a unit and player."""

import re
from argparse import Namespace
from dataclasses import replace
from typing import Any

import pytest

from bench import profile
from bench._load import Usage
from bench._stacks import Placed, Stacks, added, calls_of, parse_frame, placed, stacks_of
from bench.profile import (
    CALLS_HEAD,
    FUNCTIONS_HEAD,
    HEAD,
    PLAYED,
    SHOWN_FUNCTIONS,
    Case,
    Sample,
    by_package,
    call_rows,
    cases,
    function_rows,
    introduction,
    needs,
    row,
    shortened,
    subjects,
    told,
)

LIB, LIBC = "/srv/.venv/lib/python3.11/site-packages", "/usr/lib/x86_64-linux-gnu/libc.so.6"
PYTHON_LIB = "/usr/lib/python3.11"
CYGRPC = f"{LIB}/grpc/_cython/cygrpc.cpython-311-x86_64-linux-gnu.so"
OUTER = f"<module> (/srv/.venv/bin/lalmesh:8);run ({LIB}/uvloop/__init__.py:92);uv_run (/project/build/libuv/src/unix/core.c:464)"
READER = "/srv/lalmesh/protocol/rtmp/_chunk_reader.py"
UNWATCHED = Usage(user_percent=20, system_percent=10, cpu_percent=30, rss_mb=100)
SAMPLE = Sample(
    usage=UNWATCHED,
    due_per_s=77,
    units_per_s=77,
    spied_per_s=76,
    traced_per_s=60,
    stacks=Stacks({"send (libc.so.6)": 60, "feed (lalmesh/a.py)": 39, "f (x.py)": 1}, {"kernel": 60, "lalmesh": 39, "x": 1}, 7),
    unread=0,
    is_late=False,
    calls={"io_submit": 240, "recvfrom": 480, "epoll_pwait": 240},
    units=240,
    closed=0,
)


def test_a_frame_is_a_function_and_a_path_whatever_brackets_the_function_has() -> None:
    frames = ["feed (/srv/lalmesh/bits.py:12)", "run.<locals>.wrapper (a/b.py)", "grpc::Call::Start(int) (call.cc:7)", "0x7f18"]
    assert [parse_frame(frame) for frame in frames] == [
        ("feed", "/srv/lalmesh/bits.py"),
        ("run.<locals>.wrapper", "a/b.py"),
        ("grpc::Call::Start(int)", "call.cc"),
        ("0x7f18", ""),
    ]


@pytest.mark.parametrize(
    ("path", "file", "package"),
    [
        (READER, "lalmesh/protocol/rtmp/_chunk_reader.py", "lalmesh.protocol.rtmp"),
        ("/home/me/services/lalmesh/media.py", "lalmesh/media.py", "lalmesh"),
        ("/srv/lalmesh/services/edge/fanout.py", "services/edge/fanout.py", "services.edge"),
        ("/srv/lalmesh/rpc/lalmesh/v1/link_pb2.py", "lalmesh/rpc/lalmesh/v1/link_pb2.py", "lalmesh.rpc.lalmesh.v1"),
        (f"{LIB}/services/edge/fanout.py", "services/edge/fanout.py", "services.edge"),
        (f"{LIB}/aiohttp/services/web.py", "aiohttp/services/web.py", "aiohttp"),
        (f"{LIB}/google/_upb/_message.abi3.so", "google/_upb/_message.so", "protobuf"),
        (CYGRPC, "grpc/_cython/cygrpc.so", "grpc"),
        (f"{LIB}/_cffi_backend.cpython-311-x86_64-linux-gnu.so", "_cffi_backend.so", "_cffi_backend"),
        ("/project/uvloop/loop.c", "uvloop/loop.c", "uvloop"),
        ("/project/build/libuv-x86_64/src/unix/core.c", "libuv-x86_64/src/unix/core.c", "uvloop"),
        ("/usr/lib/python3.11/asyncio/runners.py", "asyncio/runners.py", "asyncio"),
        ("/usr/lib/python3.11/lib-dynload/_asyncio.cpython-311-x86_64-linux-gnu.so", "_asyncio.so", "asyncio"),
        ("/usr/lib/python3.11/json/encoder.py", "json/encoder.py", "Python's library"),
        (LIBC, "libc.so.6", "C library"),
        ("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "libcrypto.so.3", "libcrypto"),
        ("/usr/bin/python3.11", "python3.11", "Python"),
        ("/opt/_internal/cpython-3.11.15/include/python3.11/object.h", "object.h", ""),
        ("<string>", "<string>", ""),
        ("", "", ""),
    ],
)
def test_a_path_is_shortened_and_says_the_package(path: str, file: str, package: str) -> None:
    assert placed(path) == Placed(file, package)


def test_own_time_is_that_of_the_innermost_function_whatever_line_it_is_at() -> None:
    raw = (
        f"{OUTER};feed ({READER}:12) 3\n{OUTER};feed ({READER}:14) 2\n{OUTER};feed ({READER}:14);take (/srv/lalmesh/bits.py:1) 4\n"
    )
    found = stacks_of(raw)
    assert found.functions == {"feed (lalmesh/protocol/rtmp/_chunk_reader.py)": 5, "take (lalmesh/bits.py)": 4}
    assert (found.packages, found.busy) == ({"lalmesh.protocol.rtmp": 5, "lalmesh": 4}, 9)
    assert list(found.functions.values()) == [5, 4]


def test_time_in_a_call_of_the_c_library_is_the_kernels_and_the_rest_of_that_library_its_own() -> None:
    raw = (
        f"{OUTER};send ({LIBC}) 3\n{OUTER};__libc_recv ({LIBC}) 1\n{OUTER};0x7f18e3d85d8a ({LIBC}) 2\n{OUTER};send ({READER}:9) 5\n"
    )
    found = stacks_of(raw)
    assert found.packages == {"lalmesh.protocol.rtmp": 5, "kernel": 4, "C library": 2}
    assert found.functions["C code (libc.so.6)"] == 2


def test_functions_of_a_library_without_names_are_one_and_a_header_is_of_whoever_included_it() -> None:
    header = "/opt/_internal/cpython-3.11.15/include/python3.11/object.h"
    raw = f"{OUTER};0x7f01 ({CYGRPC}) 1\n{OUTER};0x7f02 ({CYGRPC}) 2\n{OUTER};Py_DECREF ({header}:602) 4\nf (/a/b.c:1) 1\n"
    found = stacks_of(raw)
    assert found.functions == {"Py_DECREF (object.h)": 4, "C code (grpc/_cython/cygrpc.so)": 3, "f (b.c)": 1}
    assert found.packages == {"uvloop": 4, "grpc": 3, "unknown": 1}


def test_who_waits_is_not_at_work() -> None:
    calls = [f"epoll_pwait ({LIBC})", f"__pthread_cond_wait ({LIBC});0x7f1 ({LIBC})", f"epoll_wait ({LIBC})", f"poll ({READER}:1)"]
    found = stacks_of("".join(f"{OUTER};{call} 2\n" for call in calls))
    assert (found.waiting, found.busy, found.functions) == (6, 2, {"poll (lalmesh/protocol/rtmp/_chunk_reader.py)": 2})


def test_who_waits_for_a_lock_of_python_is_not_at_work_where_that_waits_in_the_c_library() -> None:
    program, wait = "/usr/bin/python3.11", f"Condition.wait ({PYTHON_LIB}/threading.py:320)"
    lock = f"PyThread_acquire_lock_timed ({program})"
    waits = [f"{wait};{lock};0x7f1 ({LIBC});0x7f2 ({LIBC})", f"{wait};{lock};0x7f1 ({LIBC})"]
    works = [f"{wait};{lock}", f"{lock};take ({READER}:1);0x7f1 ({LIBC})", f"0x7f1 ({LIBC})"]
    found = stacks_of("".join(f"{OUTER};{stack} 2\n" for stack in (*waits, *works)))
    assert (found.waiting, found.busy) == (4, 6)


def test_nothing_was_seen_where_nothing_was_written() -> None:
    assert (stacks_of(""), calls_of("")) == (Stacks({}, {}), {})


def test_rounds_are_added_up_and_come_in_the_order_of_all_of_them() -> None:
    parts = [Stacks({"a (x.py)": 3, "b (x.py)": 2}, {"x": 5}, 1), Stacks({"b (x.py)": 2}, {"x": 2}, 1)]
    assert list(added(parts).functions.items()) == [("b (x.py)", 4), ("a (x.py)", 3)]
    assert (added(parts).packages, added(parts).waiting) == ({"x": 7}, 2)


def test_calls_are_read_with_errors_and_without_and_their_sum_is_none() -> None:
    summary = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 74.08    0.036966           6      5524           sendto
 17.05    0.008510          20       414       138 recvfrom
  7.83    0.003908          14       277           epoll_pwait
  0.00    0.000000           0         1           pwrite64
------ ----------- ----------- --------- --------- ----------------
100.00    0.049901           7      6216       138 total
"""
    assert calls_of(summary) == {"sendto": 5524, "recvfrom": 414, "epoll_pwait": 277, "pwrite64": 1}


def test_a_line_of_functions_has_name_file_and_share_of_the_time_at_work() -> None:
    assert function_rows(SAMPLE.stacks) == [
        ["`send`", "libc.so.6", "60.0"],
        ["`feed`", "lalmesh/a.py", "39.0"],
        ["`f`", "x.py", "1.0"],
    ]
    many = Stacks({f"f{number} (x.py)": 1 for number in range(99)}, {"x": 99})
    assert len(function_rows(many)) == SHOWN_FUNCTIONS
    assert shortened("operator|(a)") == "operator/(a)"
    assert len(shortened("f" * 200)) == profile.LONGEST_NAME


def test_packages_that_have_little_are_named_together() -> None:
    seen = Stacks({}, {"kernel": 500, "services.edge": 486, "a": 7, "b": 7})
    assert by_package(seen) == "By package: kernel 50%, services.edge 49%, others 1%."
    assert by_package(Stacks({}, {"kernel": 999, "a": 1})) == "By package: kernel 100%."


def test_calls_are_those_for_a_unit_and_player_and_a_second_at_the_pace_of_before() -> None:
    assert call_rows([SAMPLE], 2) == [
        ["`recvfrom`", "154", "1"],
        ["`io_submit`", "77", "0.5"],
        ["`epoll_pwait`", "77", "0.5"],
        ["all", "308", "2"],
    ]
    doubled = [SAMPLE, replace(SAMPLE, calls={"recvfrom": 240})]
    assert call_rows(doubled, 1)[0] == ["`recvfrom`", "116", "1.5"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"closed": 3}, "3 players were closed"),
        ({"units_per_s": 60}, "60 units a second came in, of 77"),
        ({"spied_per_s": 60}, "60 units a second came in under py-spy, of 77"),
        ({"traced_per_s": 10}, ""),
        ({"stacks": Stacks({}, {}, 9)}, "py-spy saw nobody at work"),
        ({"calls": {}}, "strace counted nothing"),
        ({"units": 0}, "strace counted nothing"),
    ],
)
def test_a_server_that_fell_behind_before_strace_looked_says_nothing(change: dict[str, Any], problem: str) -> None:
    assert replace(SAMPLE, **change).problem == problem


def test_a_path_has_a_name_of_its_own_a_way_to_be_played_and_what_commits_tell_of_it() -> None:
    every = cases(1)
    assert len({case.label for case in every}) == len({case.shown for case in every}) == len(every)
    assert all(case.played in PLAYED for case in every if case.players)
    assert all(re.search(r"\b[0-9a-f]{8}\b", case.changed) for case in every)
    assert [case.receivers for case in every] == [1, 500, 1, 20, 1, 1, 1, 1]


def test_a_small_load_has_all_paths_with_one_of_each_at_least() -> None:
    loads = [(case.publishers, case.players) for case in cases(0.001)]
    assert loads == [(1, 0), (1, 1), (1, 1), (1, 1), (1, 0), (1, 0), (1, 0), (1, 0)]


def test_a_path_is_left_out_where_a_program_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "PROGRAM", __file__)
    monkeypatch.setattr("bench._rounds.needs_of_a_cluster", lambda: "etcd is not installed")
    monkeypatch.setattr(profile, "spy", lambda: "/usr/bin/py-spy")
    monkeypatch.setattr("shutil.which", lambda *_: "/usr/bin/strace")
    every = cases(1)
    assert [needs(case) for case in every] == [""] * 6 + ["etcd is not installed"] * 2
    monkeypatch.setattr("shutil.which", lambda *_: None)
    assert {subject.missing for subject in subjects(Namespace(), every)} == {"strace is not installed"}
    monkeypatch.setattr(profile, "spy", lambda: None)
    assert {needs(case) for case in every} == {"py-spy is not installed"}


def test_a_path_is_told_with_its_load_its_tables_and_what_was_done_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "stream_kbps", lambda _: 2600)
    case = Case(label="fanout", shown="Fan-out", publishers=1, players=2, changed="one call (0b9129d9)")
    title, load, functions, calls, done = told(case, [replace(SAMPLE, unread=2, is_late=True)])
    assert (title, done) == ("### Fan-out", "What was found on this path before, and done: one call (0b9129d9).")
    assert load.startswith("One stream of 2.6 Mbit/s, 2 players. By package: kernel 60%")
    assert "2 looks could not read a stack. py-spy says that it fell behind" in load
    assert all(head in functions for head in FUNCTIONS_HEAD)
    assert all(head in calls for head in (*CALLS_HEAD, "a unit and player"))
    assert row(case, [SAMPLE]) == ["Fan-out", "30.0", "77", "3896", "100", "7", "76", "60"]
    assert len(row(case, [SAMPLE])) == len(HEAD)


def test_where_fewer_play_while_calls_are_counted_the_calls_are_shared_out_to_those(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "stream_kbps", lambda _: 2600)
    case = Case(label="rtp", shown="RTSP", publishers=1, players=200, traced_players=20, changed="")
    _, load, _, calls, _ = told(case, [SAMPLE])
    assert load.startswith("One stream of 2.6 Mbit/s, 200 players, 20 while calls are counted.")
    assert call_rows([SAMPLE], 20)[0][-1] in calls


@pytest.mark.parametrize("native", [True, False])
def test_the_text_says_what_was_looked_at_and_that_it_is_for_no_other_figure(native: bool) -> None:
    said = introduction(Namespace(rate=35, seconds=15, rounds=2, native=native))
    assert "35 times a second, for 15 s in each of 2 rounds" in said
    assert "no other figure of this page is of one" in said
    assert ("frames of C too" in said) is native
