"""Pages of which a part is written by a command: what stands between two marks."""

from __future__ import annotations


def with_marked(page: str, begin: str, end: str, text: str) -> str:
    """The page with `text` between its marks, in the place of what was there.

    Raises:
        ValueError: it has not both.
    """
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page needs {begin} and {end}")
    return f"{before}{begin}{text}{end}{after}"
