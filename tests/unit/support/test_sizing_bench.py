"""What a load takes is worked out from the page, which says itself what it was measured with."""

import pytest

from bench.sizing import NotMeasured, sections

PAGE = """\
<!-- rtsp: written by `make bench-rtsp ARGS=--report` -->
## RTSP: 200 players of one stream

| players   | % of a core |
| --------- | ----------: |
| RTSP, UDP |        20.4 |
<!-- /rtsp -->

<!-- fanout: written by `make bench-fanout ARGS=--report` -->
## Fan-out: many players of one stream

| server  | players | % of a core |
| ------- | ------: | ----------: |
| lalmesh |   1,000 |        50.0 |
| floor   |         |        40.0 |
<!-- /fanout -->
"""


def test_players_are_those_that_the_row_says_or_else_the_title() -> None:
    found = sections(PAGE)
    assert found["rtsp"].players(found["rtsp"].row(players="RTSP, UDP")) == 200
    assert found["fanout"].players(found["fanout"].row(server="lalmesh")) == 1000
    with pytest.raises(NotMeasured, match="how many players"):
        found["fanout"].players(found["fanout"].row(server="floor"))
