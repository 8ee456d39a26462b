from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.errors import InvalidName
from lalmesh.names import StreamKey
from lalmesh.runtime.record_paths import RecordPath, parse_record_path

CAM = StreamKey("live/hd", "cam")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/record/", RecordPath(None, "")),
        ("/record/live/hd/cam/", RecordPath(CAM, "")),
        ("/record/live/hd/cam/1.flv", RecordPath(CAM, "1.flv")),
        ("/record/live%2Fhd/c%61m/%31.flv", RecordPath(CAM, "1.flv")),
    ],
)
def test_stream_and_file_are_found(path: str, found: RecordPath) -> None:
    assert parse_record_path(path, match_app=True) == found


def test_where_applications_mean_nothing_the_stream_has_none() -> None:
    assert parse_record_path("/record/live/cam/", match_app=False).stream == StreamKey("-", "cam")


@pytest.mark.parametrize(
    "path", ["/record/x", "/record/cam/", "/record/../cam/x", "/record/live/%ff/x", "/%72ecord/live/cam/x", ""]
)
def test_what_can_be_no_recording_is_refused(path: str) -> None:
    with pytest.raises(InvalidName):
        parse_record_path(path, match_app=True)


@given(st.text())
def test_any_path_is_one_or_is_refused(text: str) -> None:
    with contextlib.suppress(InvalidName):
        assert parse_record_path(f"/record/{text}", match_app=True)
