"""What a pull passes on of its source."""

from __future__ import annotations

import pytest

from lalmesh.names import ANY_APP, StreamKey
from lalmesh.runtime.relay_rules import expand
from lalmesh.runtime.scheduling import RelayJob
from services.edge.relaying._pull import _asked


@pytest.mark.parametrize(
    ("source", "target", "to"),
    [
        ("http://a/live%20hd/cam.flv", "rtsp://b/{app}/{name}", "rtsp://b/live%20hd/cam"),
        ("rtsp://a/live%20hd/cam", "rtmp://b/{app}/{name}", "rtmp://b/live hd/cam"),
        ("rtmp://a/live%20hd/cam", "rtmp://b/{app}/{name}", "rtmp://b/live%20hd/cam"),
        ("rtsp://a/gate#2/cam", "rtmp://b/{app}/{name}", "rtmp://b/gate#2/cam"),
        ("rtsp://a/%ff/cam", "rtmp://b/{app}/{name}", "rtmp://b/live/cam"),
        ("rtsp://a/cam", "rtmp://b/{app}/{name}", "rtmp://b/live/cam"),
    ],
)
def test_where_applications_mean_nothing_that_of_the_source_is_named_as_the_target_writes_it(
    source: str, target: str, to: str
) -> None:
    cam = StreamKey(ANY_APP, "cam")
    job = RelayJob(id="1", is_push=False, stream=cam, urls=(source,))
    assert expand(target, cam, _asked(job, source)) == to


def test_elsewhere_the_stream_has_its_own() -> None:
    job = RelayJob(id="1", is_push=False, stream=StreamKey("app", "cam"), urls=("rtmp://a/live/cam",))
    assert expand("rtmp://b/{app}/{name}", job.stream, _asked(job, job.urls[0])) == "rtmp://b/app/cam"
