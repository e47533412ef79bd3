"""API page: the OpenAPI description as plain HTML, which needs no script and nothing from
elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.responses import HTMLResponse

from redraft.server.json_object import JsonObject

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
summary { cursor: pointer; padding: .45rem 0; font-family: ui-monospace, monospace;
  overflow-wrap: anywhere; }
details { border-top: 1px solid #8886; }
code, .method { font-family: ui-monospace, monospace; font-size: .92em; }
.method { display: inline-block; min-width: 4.2rem; font-weight: 700; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .4rem 0 1rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; }
p.words { white-space: pre-line; }
"""


def add_api_page(app: FastAPI) -> None:
    """Serve the page at /docs."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
        return HTMLResponse(api_page(app.openapi()), headers=headers)


def api_page(description: JsonObject) -> str:
    """Return an OpenAPI description as a page of HTML."""
    title = f"{description['info']['title']} {description['info']['version']}: HTTP API"
    routes: list[str] = []
    for path, methods in description["paths"].items():
        routes += [_route(method, path, one, description) for method, one in methods.items()]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<main><h1>{escape(title)}</h1>"
        '<p>All routes, and the fields of their bodies. For programs: <a href="openapi.json">'
        f"openapi.json</a>.</p>{''.join(routes)}</main></body></html>"
    )


def _route(method: str, path: str, route: JsonObject, description: JsonObject) -> str:
    body = _body_schema(route, description)
    words = (body or {}).get("description", "") or route.get("description", "")
    parts = [f'<p class="words">{escape(words)}</p>'] if words else []
    if parameters := route.get("parameters"):
        fields = {one["name"]: one["schema"] for one in parameters}
        required = [one["name"] for one in parameters if one.get("required")]
        parts.append(_table("Parameters", fields, required, description))
    if body and body.get("properties"):
        parts.append(_table("Body", body["properties"], body.get("required", ()), description))
    head = f'<span class="method">{escape(method.upper())}</span> {escape(path)}'
    return f"<details><summary>{head}</summary>{''.join(parts) or '<p>No body.</p>'}</details>"


def _body_schema(route: JsonObject, description: JsonObject) -> JsonObject | None:
    content = route.get("requestBody", {}).get("content", {})
    for kind in content.values():
        return _resolved(kind["schema"], description)
    return None


def _table(name: str, fields: JsonObject, required: Any, description: JsonObject) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td><code>{escape(_type(schema))}</code></td>"
        f"<td>{_remarks(schema, field in required)}</td></tr>"
        for field, schema in fields.items()
    )
    head = "<tr><th>name</th><th>type</th><th></th></tr>"
    return f'<h2>{name}</h2><div class="wide" tabindex="0"><table>{head}{rows}</table></div>'


def _type(schema: JsonObject) -> str:
    """Return a schema's type in one line."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            found = dict.fromkeys(_type(one) for one in schema[choice])
            return " or ".join(one for one in found if one != "null")
    if "enum" in schema or "const" in schema:
        return " or ".join(repr(one) for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _remarks(schema: JsonObject, required: bool) -> str:
    found = ["required"] if required else []
    default = schema.get("default")
    if isinstance(default, str | int | float):
        found.append(f"default {default!r}")
    for one in (schema, *schema.get("anyOf", ())):
        for word, sign in (("minimum", "≥"), ("maximum", "≤"), ("exclusiveMinimum", ">")):
            if word in one:
                found.append(f"{sign} {one[word]}")
    return escape(", ".join(found))


def _resolved(schema: JsonObject, description: JsonObject) -> JsonObject:
    """Follow a reference into the description's components."""
    found = schema
    while "$ref" in found:
        name = str(found["$ref"]).rpartition("/")[2]
        found = description["components"]["schemas"][name]
    return found
