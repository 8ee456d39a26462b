"""What is stored, and where."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import RemoteProtocolError
from lalmesh.names import StreamKey
from lalmesh.runtime.ownership import Epoch, UnitName
from lalmesh.runtime.reader import ReaderMemory
from services.hls import layout
from services.hls.cuts import Targets
from services.hls.layout import StoredState

CAM = StreamKey("live/eu", "cam 1")
STATE = StoredState(
    next_number=7,
    targets=Targets(duration_s=3, part=43_200),
    end=270_000,
    end_us=1_700_000_000_000_000,
    stored_us=1_700_000_001_000_000,
    configuration=((1, "h264", "0164"), (2, "aac", "1190")),
    memory=ReaderMemory(epoch=Epoch(1, 2), last=UnitName(b"1" * 16, 99), offset=-5, shifted=True, last_dts={1: 5, 2: 7}),
    renditions={"ts": {"window": {"format": 1}}},
    outdated=("1.2-3.ts", "1.2-3.m4s"),
)


def test_everything_of_a_stream_is_in_its_folder_and_carries_the_epoch() -> None:
    assert layout.file_path(CAM, "1.2-3.ts") == "hls/live%2Feu/cam%201/1.2-3.ts"
    assert layout.owner_path(CAM, Epoch(1, 2)) == "hls/live%2Feu/cam%201/owner/00000000000000000001.00000000000000000002"
    assert layout.epoch_in(layout.state_path(CAM, Epoch(1, 2))) == Epoch(1, 2)
    assert layout.epoch_in("hls/a/b/owner/notes.txt") is None
    assert layout.stream_of(layout.file_path(CAM, "x")) == CAM


def test_a_state_is_read_as_it_was_written() -> None:
    assert StoredState.parse(STATE.serialize()) == STATE


def test_a_state_of_a_version_that_did_not_say_what_may_go_is_read_all_the_same() -> None:
    found = json.loads(STATE.serialize())
    del found["outdated"]
    assert StoredState.parse(json.dumps(found).encode()) == replace(STATE, outdated=())


def test_a_state_that_would_have_other_files_removed_is_told() -> None:
    for wrong in (["../1.2-3.ts"], ["owner/1.2"], "1.2-3.ts", [7]):
        with pytest.raises(RemoteProtocolError):
            StoredState.parse(json.dumps(json.loads(STATE.serialize()) | {"outdated": wrong}).encode())


_CUT_SHORT = st.integers(0, len(STATE.serialize()) - 1).map(lambda size: STATE.serialize()[:size])


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode) | _CUT_SHORT)
def test_what_is_no_state_is_told_and_nothing_else(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        StoredState.parse(data)


def test_a_state_of_another_version_is_passed_over() -> None:
    with pytest.raises(RemoteProtocolError, match="version 2"):
        StoredState.parse(STATE.serialize().replace(b'"version":1', b'"version":2'))


@pytest.mark.parametrize("field", ["next", "target_s", "part", "end", "end_us", "stored_us"])
def test_a_state_with_a_word_for_a_number_is_told(field: str) -> None:
    damaged = json.loads(STATE.serialize()) | {field: "seven"}
    with pytest.raises(RemoteProtocolError):
        StoredState.parse(json.dumps(damaged).encode())
