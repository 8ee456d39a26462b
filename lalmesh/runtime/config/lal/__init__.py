"""lal's configuration file, taken as it is: what each of its keys means here, and a report of it (docs/migration-from-lal.md)."""

from lalmesh.runtime.config.lal._convert import convert
from lalmesh.runtime.config.lal._file import LalFile, parse_lal, read_lal
from lalmesh.runtime.config.lal._made import Conversion, Note
from lalmesh.runtime.config.lal._markdown import lal_keys_markdown
from lalmesh.runtime.config.lal._row import Fate, Row
from lalmesh.runtime.config.lal._rows import ROWS
from lalmesh.runtime.config.lal._yaml import lal_yaml

__all__ = [
    "ROWS",
    "Conversion",
    "Fate",
    "LalFile",
    "Note",
    "Row",
    "convert",
    "lal_keys_markdown",
    "lal_yaml",
    "parse_lal",
    "read_lal",
]
