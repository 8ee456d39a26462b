"""Logins in URLs."""

from __future__ import annotations

from urllib.parse import quote


def with_login(url: str, user: str, password: str) -> str:
    """`url`, which has none, with a login, so that it can be taken apart again."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}" if user else url
