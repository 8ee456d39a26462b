"""The table of all keys of lal's configuration file, by section and key."""

from __future__ import annotations

from collections.abc import Mapping

from lalmesh.runtime.config.lal._row import Row
from lalmesh.runtime.config.lal._rows_control import CONTROL_ROWS
from lalmesh.runtime.config.lal._rows_media import MEDIA_ROWS

ROWS: Mapping[str, Row] = {row.key: row for row in (*MEDIA_ROWS, *CONTROL_ROWS)}
