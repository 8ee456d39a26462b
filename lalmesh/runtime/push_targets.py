"""Targets of pushes as they may be shown. Platforms take a stream by a key that is the name in the URL: ``rtmp://a.example/app/KEY``."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from lalmesh.runtime.relay_rules import without_secrets
from lalmesh.runtime.secrets_in_urls import HIDDEN, without_parts

NAME = "{name}"  #: in a template: the name of the stream, which is shown elsewhere too


def shown_target(url: str, name: str = NAME) -> str:
    """The target without login and query; its last part may be a key, unless it is `name`, that of the stream."""
    shown = without_secrets(url)
    head, key = _split(shown)
    return shown if not key or unquote(key) in (name, NAME) else f"{head}{HIDDEN}"


def without_key(text: str, url: str, name: str) -> str:
    """`text`, such as the word of a target, without the key that `shown_target` hides of `url`; likewise for URLs in it."""
    return without_parts(without_secrets(text), _hidden(url, name))


def _hidden(url: str, name: str) -> Iterator[str]:
    key = _split(without_secrets(url))[1]
    if key and unquote(key) not in (name, NAME):
        yield from {key, unquote(key)}


def _split(url: str) -> tuple[str, str]:
    """What is before the last part of the path, and that; nothing where there is no path. Slashes behind it name nothing."""
    scheme, separator, rest = url.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    before, inner, key = path.rpartition("/")
    return f"{scheme}{separator}{host}{slash}{before}{inner}", key
