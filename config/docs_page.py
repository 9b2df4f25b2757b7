"""`/docs`: the OpenAPI description as a page, made on the server; it needs no script."""

from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Leadline API</title>
<link rel="stylesheet" href="/docs.css">
</head>
<body>
<header>
<h1>Leadline API <small>{{ spec.info.version }}</small></h1>
<p>Send <code>Authorization: Bearer &lt;key&gt;</code>. Errors are <code>application/problem+json</code>.
The machine-readable description is at <a href="/openapi.json">/openapi.json</a>.</p>
<nav aria-label="Sections">{% for tag in groups %}<a href="#{{ tag }}">{{ tag }}</a>{% endfor %}</nav>
</header>
<main>
{% for tag, operations in groups.items() %}
<section id="{{ tag }}" aria-labelledby="h-{{ tag }}">
<h2 id="h-{{ tag }}">{{ tag }}</h2>
{% for op in operations %}
<details>
<summary><span class="method {{ op.method }}">{{ op.method }}</span> <code>{{ op.path }}</code>
<span class="summary">{{ op.summary }}</span></summary>
{% if op.description %}<p>{{ op.description }}</p>{% endif %}
{% if op.parameters %}
<h3>Parameters</h3>
<table><thead><tr><th scope="col">Name</th><th scope="col">In</th><th scope="col">Type</th></tr></thead><tbody>
{% for p in op.parameters %}
<tr><td><code>{{ p.name }}</code>{% if p.required %} (required){% endif %}</td><td>{{ p.in }}</td><td>{{ p.type }}</td></tr>
{% endfor %}</tbody></table>
{% endif %}
{% if op.body %}<h3>Body</h3><p>{{ op.body.about }}</p>{{ fields(op.body) }}{% endif %}
<h3>Answers</h3>
<ul>{% for answer in op.answers %}<li><code>{{ answer.status }}</code> {{ answer.text }}
{% if answer.fields %}{{ fields(answer) }}{% endif %}</li>{% endfor %}</ul>
</details>
{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
"""

FIELDS = """{% macro fields(of) %}{% if of.fields %}
<table><thead><tr><th scope="col">Field</th><th scope="col">Type</th></tr></thead><tbody>
{% for f in of.fields %}<tr><td><code>{{ f.name }}</code>{% if f.required %} (required){% endif %}</td>
<td>{{ f.type }}</td></tr>{% endfor %}
</tbody></table>{% endif %}{% endmacro %}
"""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2530; --soft: #56616e; --line: #d9dfe6; --paper: #ffffff; --wash: #f5f7f9;
  --accent: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #a3afbb; --line: #323c47; --paper: #14191f;
  --wash: #1c232b; --accent: #7db8f2; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 small { color: var(--soft); font-size: .6em; font-weight: 400; }
h2 { margin: 2rem 0 .5rem; text-transform: capitalize; }
h3 { font-size: .95rem; margin: 1rem 0 .25rem; }
a { color: var(--accent); }
nav { display: flex; flex-wrap: wrap; gap: .75rem; }
code { font: .9em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; padding: 0 .75rem; }
details[open] { background: var(--wash); padding-bottom: .75rem; }
summary { cursor: pointer; padding: .6rem 0; }
.method { display: inline-block; font: 600 .75rem/1 ui-monospace, monospace; min-width: 3.5rem; }
.summary { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .5rem .3rem 0; text-align: left; vertical-align: top; }
"""

_ENVIRONMENT = Environment(
    loader=DictLoader({"page": FIELDS + PAGE}), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def docs_page(spec: dict[str, Any]) -> str:
    """Return the page for an OpenAPI document."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            shown = _operation(spec, method, path, operation)
            groups.setdefault(operation["tags"][0] or "other", []).append(shown)
    return _ENVIRONMENT.get_template("page").render(spec=spec, groups=groups)


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
