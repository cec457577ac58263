"""`GET /docs`: the API reference, drawn from the OpenAPI document without a script or a foreign host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_DEPTH_MAX = 6  # of an example; our models are flatter


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One parameter or member."""

    name: str
    place: str  # path, query, header, or "" for a member of the body
    type: str
    text: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation, ready for the template."""

    anchor: str
    method: str
    path: str
    title: str
    paragraphs: tuple[str, ...]
    scope: str
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    body_types: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]
    answer: tuple[Field, ...]
    curl: str


def endpoints(openapi: Mapping[str, Any], address: str) -> dict[str, list[Endpoint]]:
    """The operations by tag, in the order they were declared.

    Args:
        openapi: the document of `/openapi.json`.
        address: where the service is reached, for the examples.
    """
    by_tag: dict[str, list[Endpoint]] = {}
    for path, operations in openapi["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                endpoint = _endpoint(openapi, address, path, method, operation)
                by_tag.setdefault(operation.get("tags", ["service"])[0], []).append(endpoint)
    return by_tag


def _endpoint(
    openapi: Mapping[str, Any], address: str, path: str, method: str, operation: Mapping[str, Any]
) -> Endpoint:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    good = next((code for code in sorted(operation["responses"]) if code.startswith("2")), "")
    answer = operation["responses"].get(good, {}).get("content", {}).get("application/json", {}).get("schema", {})
    return Endpoint(
        anchor=anchor(method, path),
        method=method.upper(),
        path=path,
        title=operation.get("summary", ""),
        paragraphs=tuple(operation.get("description", "").split("\n\n")),
        scope=operation.get("x-scope", ""),
        parameters=tuple(_parameters(openapi, operation)),
        body=tuple(_members(openapi, schema)),
        body_types=tuple(content),
        answers=tuple((code, str(told.get("description", ""))) for code, told in operation["responses"].items()),
        answer=tuple(_members(openapi, answer)),
        curl=_curl(openapi, address, path, method, content),
    )


def anchor(method: str, path: str) -> str:
    """The fragment under which `/docs` explains an operation."""
    words = path.replace("{", "").replace("}", "").replace("/", "-").replace("_", "-").strip("-")
    return f"{method.lower()}-{words}"


def _parameters(openapi: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Field]:
    for parameter in operation.get("parameters", ()):
        schema = parameter.get("schema", {})
        yield Field(
            name=parameter["name"],
            place=parameter["in"],
            type=_type(openapi, schema).removesuffix(" | null"),
            text=parameter.get("description", schema.get("description", "")),
            required=bool(parameter.get("required")),
        )


def _members(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Field]:
    resolved = _resolve(openapi, schema)
    required = set(resolved.get("required", ()))
    for name, member in resolved.get("properties", {}).items():
        yield Field(
            name=name,
            place="",
            type=_type(openapi, member),
            text=str(member.get("description", "")),
            required=name in required,
        )


def _resolve(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    if not reference:
        return schema
    resolved: Mapping[str, Any] = openapi["components"]["schemas"][reference.rpartition("/")[2]]
    return resolved


def _type(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " | ".join(_type(openapi, part) for part in schema["anyOf"])
    if "$ref" in schema:
        return str(_resolve(openapi, schema).get("title", schema["$ref"].rpartition("/")[2]))
    if schema.get("type") == "array":
        return f"list of {_type(openapi, schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")


def _curl(openapi: Mapping[str, Any], address: str, path: str, method: str, content: Mapping[str, Any]) -> str:
    words = ["curl", "-sS"]
    if method != "get":
        words.append(f"-X {method.upper()}")
    words.append('-H "Authorization: Bearer $TOCSIN_KEY"')
    if "application/x-ndjson" in content:
        words.append("--data-binary @FILE")
    elif "application/json" in content:
        example = json.dumps(_example(openapi, content["application/json"]["schema"]), ensure_ascii=False)
        words.append(f"-H 'Content-Type: application/json' -d '{example}'")
    return " ".join([*words, f"'{address}{path}'"])


def _example(openapi: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Any:
    schema = _resolve(openapi, schema)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "default" in schema:
        return schema["default"]
    if "anyOf" in schema and depth < _DEPTH_MAX:
        return _example(openapi, schema["anyOf"][0], depth + 1)
    if schema.get("type") == "object" and depth < _DEPTH_MAX:
        required = set(schema.get("required", ()))
        return {
            name: _example(openapi, member, depth + 1)
            for name, member in schema.get("properties", {}).items()
            if name in required or not required
        }
    if schema.get("type") == "array":
        return [_example(openapi, schema.get("items", {}), depth + 1)]
    known = {"integer": schema.get("minimum", 1), "number": 10, "boolean": True, "string": "text"}
    return "2026-12-01T00:00:00Z" if schema.get("format") == "date-time" else known.get(str(schema.get("type")), "text")
