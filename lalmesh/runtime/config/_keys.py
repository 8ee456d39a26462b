"""The catalogue of keys, read off the models: what exists, what it takes, what it is for."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from lalmesh.runtime.config._base import Allowed, ConfigModel
from lalmesh.runtime.config._config import Config

ENV_PREFIX = "LALMESH_"
ENV_DELIMITER = "__"

Kind = Literal["text", "secret", "choice", "integer", "number", "boolean", "optional_boolean", "number_or_word", "texts"]

_PLAIN_KINDS: Mapping[object, Kind] = {str: "text", SecretStr: "secret", int: "integer", float: "number", bool: "boolean"}
_KIND_WORDS: Mapping[Kind, str] = {
    "text": "text",
    "secret": "a secret",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "optional_boolean": "true, false or null",
    "number_or_word": "a number or a word",
}


@dataclass(slots=True, frozen=True, kw_only=True)
class Key:
    """One value of the configuration."""

    path: str  #: ``edge.rtmp.port``
    kind: Kind
    default: object  #: of a type that YAML and JSON know; secrets as empty text
    allowed: str  #: in words
    description: str
    low: float | None = None  #: least number
    high: float | None = None  #: largest number
    live: bool = False  #: whether it can change while a node runs
    by_api: bool = False  #: also over the API

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return ENV_PREFIX + self.path.upper().replace(".", ENV_DELIMITER)

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return self.kind == "secret"


@dataclass(slots=True, frozen=True, kw_only=True)
class Section:
    """A named group of keys and sections."""

    path: str  #: ``edge.rtmp``, empty for the root
    description: str
    keys: tuple[Key, ...]
    sections: tuple[Section, ...]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    def walk(self) -> Iterator[Section]:
        """The section itself and all below it, in the order of the file."""
        yield self
        for section in self.sections:
            yield from section.walk()


@cache
def root() -> Section:
    """The whole tree."""
    return _section(Config, "")


@cache
def all_keys() -> Mapping[str, Key]:
    """Every key by its path, in the order of the file."""
    return {key.path: key for section in root().walk() for key in section.keys}


@cache
def all_sections() -> Mapping[str, Section]:
    """Every section by its path, the root among them."""
    return {section.path: section for section in root().walk()}


def join(parent: str, name: str) -> str:
    """The path of `name` in the section at `parent`."""
    return f"{parent}.{name}" if parent else name


def plain(value: object) -> object:
    """`value` of a key as YAML and JSON know it.

    A secret is revealed: whoever shows the result must ask `Key.secret` first.
    """
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, tuple) else value


def value_at(config: Config, path: str) -> object:
    """The value of the key at `path`, as `plain` gives it."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return plain(value)


def _section(model: type[ConfigModel], path: str) -> Section:
    keys, sections = [], []
    for name, field in model.model_fields.items():
        below = join(path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, ConfigModel):
            sections.append(_section(field.annotation, below))
        else:
            keys.append(_key(model, name, below))
    return Section(path=path, description=(model.__doc__ or "").strip(), keys=tuple(keys), sections=tuple(sections))


def _key(model: type[ConfigModel], name: str, path: str) -> Key:
    field = model.model_fields[name]
    live = name in model.live or name in model.live_by_file
    kind = _kind(field.annotation)
    return Key(
        path=path,
        kind=kind,
        default=plain(field.default),
        allowed=_allowed(kind, field),
        description=field.description or "",
        live=live,
        by_api=live and name not in model.live_by_file and kind != "secret",
        low=next((mark.ge for mark in field.metadata if isinstance(mark, Ge)), None),  # type: ignore[arg-type]  # numbers all
        high=next((mark.le for mark in field.metadata if isinstance(mark, Le)), None),  # type: ignore[arg-type]
    )


def _kind(annotation: object) -> Kind:
    origin = get_origin(annotation)
    if origin is Literal:
        return "choice"
    if origin is tuple:
        return "texts"
    if origin is types.UnionType:
        return "optional_boolean"
    if origin is Union:  # of an annotated type, which none of the others is
        return "number_or_word"
    return _PLAIN_KINDS[annotation]


def _allowed(kind: Kind, field: FieldInfo) -> str:
    words = next((mark.text for mark in field.metadata if isinstance(mark, Allowed)), None)
    if words is not None:
        return words
    match kind:
        case "choice":
            return "one of " + ", ".join(get_args(field.annotation))
        case "texts":
            return "a list, each " + _item_words(field)
        case _:
            return _KIND_WORDS[kind] + _range(field)


def _item_words(field: FieldInfo) -> str:
    item = get_args(field.annotation)[0]
    return next((mark.text for mark in get_args(item) if isinstance(mark, Allowed)), "text")


def _range(field: FieldInfo) -> str:
    low = next((mark.ge for mark in field.metadata if isinstance(mark, Ge)), None)
    high = next((mark.le for mark in field.metadata if isinstance(mark, Le)), None)
    return "" if low is None else f" from {low} to {high}"
