"""Where values come from: a YAML file, the environment, ``--set``. Each source gives entries and problems, in its own order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lalmesh.runtime.config._keys import ENV_DELIMITER, ENV_PREFIX, Key, Kind, all_keys, all_sections, join
from lalmesh.runtime.config._problem import Problem
from lalmesh.runtime.config._suggest import unknown_key

MAX_FILE_BYTES = 1 << 20  #: the sample with all its comments is a fiftieth of it

#: Kubernetes tells every pod of the services beside it: a service called lalmesh-edge sets LALMESH_EDGE_PORT_1935_TCP and its like.
_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")


@dataclass(slots=True, frozen=True)
class Entry:
    """One value that was given."""

    path: str  #: of a known key
    value: object
    source: str  #: in words, for people


Found = Entry | Problem


def from_file(path: Path) -> Iterator[Found]:
    """What the YAML file at `path` gives."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        yield Problem(str(path), f"cannot be read: {exc.strerror}")
        return
    if len(data) > MAX_FILE_BYTES:
        yield Problem(str(path), f"larger than {MAX_FILE_BYTES} bytes")
        return
    yield from _YamlFile(str(path)).read(data)


def from_environ(environ: Mapping[str, str]) -> Iterator[Found]:
    """What the variables of `environ` that start with ``LALMESH_`` give."""
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or _is_service_link(name):
            continue
        path = name.removeprefix(ENV_PREFIX).lower().replace(ENV_DELIMITER, ".")
        key = all_keys().get(path)
        if key is None:
            yield Problem(path, unknown_key(path), f"environment variable {name}")
        else:
            yield Entry(path, parse_text(key, text), f"environment variable {name}")


def from_sets(sets: Sequence[str]) -> Iterator[Found]:
    """What the ``KEY=VALUE`` texts of ``--set`` give."""
    for assignment in sets:
        path, equals, text = assignment.partition("=")
        key = all_keys().get(path)
        if not equals:
            yield Problem(path, "expected KEY=VALUE", "--set")
        elif key is None:
            yield Problem(path, unknown_key(path), "--set")
        else:
            yield from _no_secret(Entry(path, parse_text(key, text), "--set"), key)


def parse_text(key: Key, text: str) -> object:
    """`text` as the kind of `key` is written outside of YAML; `text` itself where it is not, for the models to refuse."""
    parse = _TEXT_PARSERS.get(key.kind)
    return text if parse is None else parse(text)


def _integer(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        return text


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _boolean(text: str) -> object:
    return {"true": True, "false": False}.get(text.lower(), text)


def _optional_boolean(text: str) -> object:
    return None if text.lower() in ("", "null") else _boolean(text)


def _texts(text: str) -> object:
    """``a,b``; brackets as YAML would have them may surround it."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return [item.strip().strip("\"'") for item in inner.split(",") if item.strip()]


_TEXT_PARSERS: Mapping[Kind, Callable[[str], object]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "optional_boolean": _optional_boolean,
    "texts": _texts,
}


def _is_service_link(name: str) -> bool:
    return ENV_DELIMITER not in name and _SERVICE_LINK.search(name) is not None


def _no_secret(entry: Entry, key: Key) -> Iterator[Found]:
    """`entry`, unless it is a secret in a place that others read: configuration files are shared, command lines are public."""
    if key.secret and entry.value != "":
        yield Problem(key.path, f"a secret, taken only from {key.path}_file or the environment variable {key.env}", entry.source)
    else:
        yield entry


class _YamlFile:
    """A YAML document read along the tree of known keys, so that every finding has its line."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, data: bytes) -> Iterator[Found]:
        try:
            loader = yaml.SafeLoader(data)
            node = loader.get_single_node()
            found = [] if node is None else list(self._section(loader, node, ""))
        except yaml.MarkedYAMLError as exc:
            yield self._syntax(exc)
        except (yaml.YAMLError, UnicodeDecodeError) as exc:
            yield Problem(self._name, f"not YAML: {' '.join(str(exc).split())}")
        except (ValueError, RecursionError) as exc:  # a timestamp with a 13th month; a thousand brackets
            yield Problem(self._name, f"cannot be read as YAML: {exc}")
        else:
            yield from found

    def _syntax(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        return Problem(self._name, f"{where}{error.problem or error.context}")

    def _line(self, node: yaml.Node) -> str:
        return f"{self._name} line {node.start_mark.line + 1}"

    def _section(self, loader: yaml.SafeLoader, node: yaml.Node, path: str) -> Iterator[Found]:
        if node.tag == "tag:yaml.org,2002:null":  # a section whose keys are all commented out
            return
        if not isinstance(node, yaml.MappingNode):
            yield Problem(path or self._name, "a section of keys is needed here", self._line(node))
            return
        seen: set[str] = set()
        for name_node, value_node in node.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
            below = join(path, name)
            if name in seen:
                yield Problem(below, "given twice", self._line(name_node))
                continue
            seen.add(name)
            yield from self._member(loader, value_node, below, self._line(name_node))

    def _member(self, loader: yaml.SafeLoader, node: yaml.Node, path: str, line: str) -> Iterator[Found]:
        if path in all_sections():
            yield from self._section(loader, node, path)
            return
        key = all_keys().get(path)
        if key is None:
            yield Problem(path, unknown_key(path), line)
        else:
            yield from _no_secret(Entry(path, loader.construct_document(node), line), key)
