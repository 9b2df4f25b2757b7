"""`/docs`: the OpenAPI description as a page, made on the server; it needs no script."""

from typing import Any

from tracker.pages import Pages


def docs_page(spec: dict[str, Any]) -> str:
    """Return the page for an OpenAPI document."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            shown = _operation(spec, method, path, operation)
            groups.setdefault(operation["tags"][0] or "other", []).append(shown)
    return Pages("config").text("docs.html", spec=spec, groups=groups)


def _operation(spec: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return {
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "parameters": [
            {"name": p["name"], "in": p["in"], "required": p.get("required", False), "type": _type(spec, p["schema"])}
            for p in operation["parameters"]
        ],
        "body": {"about": body.get("description", ""), "fields": _fields(spec, body)} if body is not None else None,
        "answers": [_answer(spec, status, answer) for status, answer in operation["responses"].items()],
    }


def _answer(spec: dict[str, Any], status: str, answer: dict[str, Any]) -> dict[str, Any]:
    content = answer.get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    media = next(iter(content), "")
    text = answer["description"] if media in {"", "application/json"} else f"{answer['description']} ({media})"
    return {"status": status, "text": text, "fields": _fields(spec, schema)}


def _fields(spec: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    schema = _resolved(spec, schema)
    required = schema.get("required", [])
    return [
        {"name": name, "type": _type(spec, field), "required": name in required}
        for name, field in schema.get("properties", {}).items()
    ]


def _resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        return found
    return schema


def _type(spec: dict[str, Any], schema: dict[str, Any]) -> str:
    """Say a schema in a few words."""
    schema = _resolved(spec, schema)
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    for many in ("anyOf", "oneOf"):
        if many in schema:
            return " or ".join(dict.fromkeys(_type(spec, one) for one in schema[many]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(spec, schema.get('items', {}))}"
    if kind == "object" and "title" in schema and "properties" in schema:
        return str(schema["title"])
    return str(schema.get("format", kind))
