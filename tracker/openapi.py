"""The OpenAPI 3.1 description, made from the route table."""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tracker.model import Output
from tracker.web import PROBLEM_JSON, Media, Route

REF = "#/components/schemas/{model}"


class ProblemFault(Output):
    path: str
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemFault] = []


def describe(routes: Sequence[Route], *, version: str) -> dict[str, Any]:
    """Return the document for `/openapi.json`."""
    schemas, definitions = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = re.sub(r"\{(\w+)(:[^}]*)?\}", r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leadline",
            "version": version,
            "description": "Conversation-first server for product-led lead nurturing.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "desk": {"type": "apiKey", "in": "cookie", "name": "leadline_desk_session"},
            },
        },
    }


Mode = Literal["validation", "serialization"]


def _schemas(routes: Sequence[Route]) -> tuple[dict[tuple[type[BaseModel], Mode], Any], dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], Mode], None] = {(Problem, "serialization"): None}
    for route in routes:
        if isinstance(route.body, type) and issubclass(route.body, BaseModel):
            wanted[route.body, "validation"] = None
        if route.form is not None:
            wanted[route.form, "validation"] = None
        wanted[route.query, "validation"] = None
        for model in route.answers.values():
            if isinstance(model, type):
                wanted[model, "serialization"] = None
    schemas, definitions = models_json_schema(list(wanted), ref_template=REF)
    return {(model, mode): schema for (model, mode), schema in schemas.items()}, definitions["$defs"]  # type: ignore[misc]


def _operation(route: Route, schemas: dict[tuple[type[BaseModel], Mode], Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "tags": [route.tag],
        "parameters": list(_parameters(route)),
        "responses": {str(status): _answer(status, model, schemas) for status, model in sorted(route.answers.items())},
    }
    for status in sorted(_errors(route)):
        operation["responses"].setdefault(str(status), _problem(status, schemas))
    if route.scope is not None:
        operation["security"] = [{"key": []}]
        operation["description"] = f"Needs a key with the scope `{route.scope}`."
    if route.session:
        operation["security"] = [{"desk": []}]
    if route.form is not None:
        content = {"application/x-www-form-urlencoded": {"schema": schemas[route.form, "validation"]}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.body is not None:
        schema = route.schema or schemas.get((route.body, "validation"), {})
        operation["requestBody"] = {
            "required": not route.optional,
            "content": {"application/json": {"schema": schema}},
        }
    return operation


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    schema = route.query.model_json_schema(ref_template=REF)
    for name, field in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": _inline(field, schema.get("$defs", {}))}
    if route.creates:
        text = "A repeat with the same key and body gets the answer of the first, for 24 hours."
        yield {"name": "Idempotency-Key", "in": "header", "description": text, "schema": {"type": "string"}}


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return the schema with its references replaced: parameters cannot carry definitions."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inline(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
        return {key: _inline(value, definitions) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inline(value, definitions) for value in schema]
    return schema


def _errors(route: Route) -> set[int]:
    errors = {422, 503, *route.errors}
    if route.scope is not None:
        errors |= {401, 403}
    if route.body is not None:
        errors |= {400, 413, 415}
    if "{" in route.path:
        errors |= {404}
    return errors


def _answer(status: int, model: Any, schemas: dict[tuple[type[BaseModel], Mode], Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if isinstance(model, Media):
        answer["content"] = {model.type: {"schema": {"type": "string"}}}
    elif model is not None:
        answer["content"] = {"application/json": {"schema": schemas[model, "serialization"]}}
    return answer


def _problem(status: int, schemas: dict[tuple[type[BaseModel], Mode], Any]) -> dict[str, Any]:
    schema = schemas[Problem, "serialization"]
    answer: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {PROBLEM_JSON: {"schema": schema}},
    }
    if status in {429, 503}:
        answer["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return answer
