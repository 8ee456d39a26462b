"""What is installed runs where it is said to: pip refuses a package that wants a later Python only where that Python is."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

PYTHON = "3.11.2"  #: of Debian 12
ROOT = Path(__file__).resolve().parents[2]


def test_debian_12_has_a_python_that_takes_every_package() -> None:
    pinned = [line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    wanted = {each.metadata["Name"].lower(): each.metadata["Requires-Python"] for each in metadata.distributions()}
    asked = {name: wanted[name.lower()] for name in pinned if name.lower() in wanted}
    assert len(asked) > 50
    assert {name: spec for name, spec in asked.items() if spec and PYTHON not in SpecifierSet(spec)} == {}
