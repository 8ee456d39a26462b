"""The OpenAPI document as one page of HTML: no script, nothing from elsewhere, so that any policy lets it be shown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from services.scheduler.api._openapi import ITEMS

Schema = Mapping[str, Any]

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
h2 { border-bottom: 2px solid var(--line); margin-top: 2.5rem; text-transform: capitalize; }
section { border: 1px solid var(--line); border-radius: .4rem; margin: 1rem 0; padding: .3rem 1rem .8rem; }
h3 { font: 600 1rem/1.6 ui-monospace, monospace; margin: .5rem 0; overflow-wrap: anywhere; }
h3 b { display: inline-block; min-width: 4.5rem; }
h4 { margin: .8rem 0 .2rem; }
code { background: var(--soft); border-radius: .2rem; padding: .05rem .25rem; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
td { border-top: 1px solid var(--line); padding: .25rem .5rem .25rem 0; vertical-align: top; }
td:first-child { white-space: nowrap; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
#: of the page: its style and nothing else
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_BOUNDS = {
    "minimum": "from",
    "maximum": "to",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
    "minLength": "characters from",
    "maxLength": "to",
    "minItems": "items from",
    "maxItems": "to",
    "pattern": "matching",
    "format": "as",
}


def make_page(document: Schema) -> str:
    """The page."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    body = "".join((f"<h1>{title}</h1>", _intro(info), *_tags(document), *_models(document)))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _intro(info: Schema) -> str:
    return (
        f'<p>{escape(info["summary"])} The document for programs is <a href="/openapi.json">/openapi.json</a>. '
        "Problems are answered as RFC 9457 has it, with every field that is wrong. A token is sent as "
        "<code>Authorization: Bearer TOKEN</code>.</p>"
    )


def _tags(document: Schema) -> Iterable[str]:
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2>"
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    yield _operation(path, method, operation)


def _operation(path: str, method: str, operation: Schema) -> str:
    parts = [
        f'<section id="{escape(operation["operationId"])}"><h3><b>{method.upper()}</b> {escape(path)}</h3>',
        f"<p>{escape(operation['summary'])} {escape(operation['description'])}</p>",
    ]
    if operation["parameters"]:
        rows = (_row(each["name"], each["schema"], each, each["required"]) for each in operation["parameters"])
        parts.append(f"<h4>Parameters</h4>{_table(rows)}")
    if "requestBody" in operation:
        body = operation["requestBody"]
        kinds = ", ".join(_kind(content["schema"]) for content in body["content"].values())
        parts.append(f"<h4>Body</h4><p>{kinds}{'' if body['required'] else ', or none'}</p>")
    parts.append(f"<h4>Answers</h4>{_table(_answer(*each) for each in sorted(operation['responses'].items()))}</section>")
    return "".join(parts)


def _answer(status: str, response: Schema) -> str:
    if "$ref" in response:
        return f"<tr><td>{status}</td><td>a problem</td></tr>"
    kinds = (_kind(content["schema"]) + _events(content) for content in response.get("content", {}).values())
    return f"<tr><td>{status}</td><td>{escape(response['description'])} {', '.join(kinds)}</td></tr>"


def _events(content: Schema) -> str:
    """What the data of the events of a stream may be."""
    of_kinds = [each["properties"]["data"] for each in content.get(ITEMS, {}).get("oneOf", ()) if "data" in each["properties"]]
    return f" of events, whose data is {' or '.join(_kind(data['contentSchema']) for data in of_kinds)}" if of_kinds else ""


def _models(document: Schema) -> Iterable[str]:
    yield "<h2>Models</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", ())
        rows = (_row(field, kind, kind, field in required) for field, kind in schema.get("properties", {}).items())
        kind = "" if "properties" in schema else f"<p>{_kind(schema)}</p>"
        said = escape(schema.get("description", ""))
        yield f'<section id="{escape(name)}"><h3>{escape(name)}</h3><p>{said}</p>{kind}{_table(rows)}</section>'


def _table(rows: Iterable[str]) -> str:
    return f"<table>{''.join(rows)}</table>"


def _row(name: str, schema: Schema, said: Schema, required: bool) -> str:
    text = escape(said.get("description", ""))
    needed = " <b>required</b>" if required else ""
    default = f"; <code>{escape(repr(schema['default']))}</code> by default" if schema.get("default") is not None else ""
    return f"<tr><td><code>{escape(name)}</code></td><td>{_kind(schema)}{default}{needed}</td><td>{text}</td></tr>"


def _kind(schema: Schema) -> str:
    """What values a schema allows, in words."""
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(map(_kind, schema[several]))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}{_bounds(schema)}"
    return f"{escape(str(schema.get('type', 'anything')))}{_bounds(schema)}"


def _bounds(schema: Schema) -> str:
    return "".join(f" {word} <code>{escape(str(schema[name]))}</code>" for name, word in _BOUNDS.items() if name in schema)
