"""The OpenAPI 3.1 document of some operations, made of the models that check requests and that answers are written by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

import lalmesh
from lalmesh.runtime.api_tokens import ApiRole
from services.scheduler.api._operation import Operation
from services.scheduler.api._problem import MEDIA_TYPE, ProblemModel

VERSION = "3.1.0"
JSON = "application/json"
_REF = "#/components/schemas/{model}"
_SECURITY = "token"
ITEMS = "x-itemSchema"

Schema = dict[str, Any]

#: what a problem of a status is about, where its phrase does not say it
_SAID = {
    HTTPStatus.BAD_REQUEST: "Something in the request is not as it has to be.",
    HTTPStatus.UNAUTHORIZED: "A token is needed.",
    HTTPStatus.FORBIDDEN: "The token has another role; or without one, the request is not of a program on the scheduler's machine.",
    HTTPStatus.NOT_FOUND: "There is none of that name.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come in time.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too long.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is no JSON.",
    HTTPStatus.TOO_MANY_REQUESTS: "The address has shown too many tokens that are none.",
    HTTPStatus.SERVICE_UNAVAILABLE: "It cannot be told or done now; ask again later.",
}
_RETRY: Mapping[str, Schema] = {
    "Retry-After": {"description": "Seconds until another try may do.", "required": True, "schema": {"type": "integer"}}
}
_HEADERS: Mapping[HTTPStatus, Mapping[str, Schema]] = {
    HTTPStatus.TOO_MANY_REQUESTS: _RETRY,
    HTTPStatus.SERVICE_UNAVAILABLE: _RETRY,
    HTTPStatus.UNAUTHORIZED: {
        "WWW-Authenticate": {"description": "Bearer.", "required": True, "schema": {"type": "string"}},
    },
}
#: before it is known what is asked for
_NO_HTTP: Schema = {
    "description": "The request is no HTTP, or its first line is too long.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


def make_document(operations: Sequence[Operation]) -> Schema:
    """The document."""
    schemas, definitions = _schemas(operations)
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, definitions)
    statuses = sorted({status for operation in operations for status in problems_of(operation)})
    of_parameters = {model for each in operations for model in (each.query, each.headers, each.parts) if model is not None}
    for model in of_parameters:
        if not _is_referred_to(name := _name(schemas[model, "validation"]), paths, definitions):
            definitions.pop(name, None)
    return {
        "openapi": VERSION,
        "info": {
            "title": "lalmesh",
            "version": lalmesh.__version__,
            "summary": "The scheduler's HTTP API: streams, nodes, sessions and what is done with them, for the whole cluster.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "responses": {_problem_name(status): _problem(status) for status in statuses},
            "securitySchemes": {
                _SECURITY: {"type": "http", "scheme": "bearer", "description": "A token of `scheduler.http.tokens`."}
            },
        },
    }


def problems_of(operation: Operation) -> list[HTTPStatus]:
    """The problems that an operation may answer with."""
    if operation.refusal is not None:
        return []
    found = {HTTPStatus.BAD_REQUEST, HTTPStatus.SERVICE_UNAVAILABLE, *operation.problems}
    if operation.role > ApiRole.ANYBODY:
        found |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
    if operation.body is not None:
        found |= {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE}
    return sorted(found)


def operation_id(operation: Operation) -> str:
    """What generated clients call it: ``get_v1_streams_app_name``."""
    words = re.findall(r"\w+", operation.path.replace("-", "_"))
    return "_".join((operation.method.lower(), *words))


def _schemas(operations: Sequence[Operation]) -> tuple[Mapping[Any, Schema], dict[str, Schema]]:
    """References to all models, and what they refer to."""
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ProblemModel, "serialization"): None}
    for operation in operations:
        asked = (operation.parts, operation.query, operation.headers, operation.body)
        wanted |= {(model, "validation"): None for model in asked if model is not None}
        wanted |= {(model, "serialization"): None for model in operation.events().values()}
        wanted |= {(model, "serialization"): None for model in operation.answers.values() if model is not None}
    references, made = models_json_schema(list(wanted), ref_template=_REF)
    return references, made.get("$defs", {})


def _operation(operation: Operation, schemas: Mapping[Any, Schema], definitions: Mapping[str, Schema]) -> Schema:
    made: Schema = {
        "operationId": operation_id(operation),
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": _description(operation),
        "parameters": [
            *_path_parameters(operation, schemas, definitions),
            *_parameters(operation.query, "query", schemas, definitions),
            *_parameters(operation.headers, "header", schemas, definitions),
        ],
        "responses": {str(status.value): response for status, response in _responses(operation, schemas)},
        "security": _security(operation),
        "x-role": operation.role.name.lower(),
    }
    if operation.body is not None:
        schema = schemas[operation.body, "validation"]
        made["requestBody"] = {"required": operation.body_required, "content": {JSON: {"schema": schema}}}
    return made


def _description(operation: Operation) -> str:
    role = f"Needs the role {operation.role.name.lower()}." if operation.role > ApiRole.ANYBODY else ""
    return " ".join(text for text in (operation.description, role) if text)


def _security(operation: Operation) -> list[Schema]:
    match operation.role:
        case ApiRole.ANYBODY:
            return []
        case _ if operation.refusal is not None:
            return [{}, {_SECURITY: []}]  # who may not is told so as everything else is
        case ApiRole.VIEWER:
            return [{}, {_SECURITY: []}]  # whether it needs one is configured
        case _:
            return [{_SECURITY: []}]


def _path_parameters(operation: Operation, schemas: Mapping[Any, Schema], definitions: Mapping[str, Schema]) -> Iterable[Schema]:
    known = _fields(operation.parts, schemas, definitions) if operation.parts is not None else {}
    for name in re.findall(r"\{(\w+)\}", operation.path):
        yield _parameter(name, "path", known.get(name, {"type": "string", "minLength": 1}), required=True)


def _parameters(
    model: type[BaseModel] | None, where: str, schemas: Mapping[Any, Schema], definitions: Mapping[str, Schema]
) -> Iterable[Schema]:
    if model is None:
        return
    required = definitions[_name(schemas[model, "validation"])].get("required", ())
    for name, schema in _fields(model, schemas, definitions).items():
        yield _parameter(name, where, schema, required=name in required)


def _fields(model: type[BaseModel], schemas: Mapping[Any, Schema], definitions: Mapping[str, Schema]) -> Mapping[str, Schema]:
    fields: Mapping[str, Schema] = definitions[_name(schemas[model, "validation"])].get("properties", {})
    return fields


def _parameter(name: str, where: str, schema: Schema, *, required: bool) -> Schema:
    schema = _without_null(schema)
    made = {"name": name, "in": where, "required": required, "schema": schema}
    description = schema.pop("description", "")
    return made | ({"description": description} if description else {})


def _without_null(schema: Schema) -> Schema:
    """What can be written in a URL: a value, or nothing at all."""
    schema = {name: value for name, value in schema.items() if name != "title" and not (name == "default" and value is None)}
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    del schema["anyOf"]
    return {**kinds[0], **schema}


def _responses(operation: Operation, schemas: Mapping[Any, Schema]) -> Iterable[tuple[HTTPStatus, Schema]]:
    for status, model in operation.answers.items():
        response: Schema = {"description": status.phrase}
        if model is not None:
            response["content"] = {JSON: {"schema": schemas[model, "serialization"]}}
        elif operation.media_type != JSON:
            response["content"] = {operation.media_type: {"schema": {"type": "string"}, **_events(operation, schemas)}}
        yield status, response
    if operation.refusal is not None:
        yield HTTPStatus.BAD_REQUEST, _NO_HTTP
    for status in problems_of(operation):
        if status not in operation.answers:
            yield status, {"$ref": f"#/components/responses/{_problem_name(status)}"}


def _events(operation: Operation, schemas: Mapping[Any, Schema]) -> Schema:
    """What each event of a stream is, as OpenAPI 3.2 says it in `itemSchema`, which 3.1 does not know."""
    if not (events := operation.events()):
        return {}
    data: Schema = {"type": "string", "contentMediaType": JSON}
    kinds = [
        {"properties": {"event": {"const": kind}, "data": {**data, "contentSchema": schemas[model, "serialization"]}}}
        for kind, model in events.items()
    ]
    later = {"properties": {"event": {"not": {"enum": list(events)}}}, "description": "Of a node of a later version."}
    texts = {name: {"type": "string"} for name in ("id", "event")}
    item = {"type": "object", "required": ["id", "event", "data"], "properties": {**texts, "data": data}, "oneOf": [*kinds, later]}
    return {ITEMS: item}


def _problem_name(status: HTTPStatus) -> str:
    return f"Problem{status.value}"


def _problem(status: HTTPStatus) -> Schema:
    content: Schema = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=ProblemModel.__name__)}}}
    if status is HTTPStatus.BAD_REQUEST:
        content |= _NO_HTTP["content"]
    made: Schema = {"description": _SAID.get(status, status.phrase), "content": content}
    return made | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _is_referred_to(name: str, paths: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether a schema is used beside as the parameters that it was taken apart into."""
    return f"'{_REF.format(model=name)}'" in repr((paths, definitions))
