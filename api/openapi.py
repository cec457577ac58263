"""The OpenAPI document: the framework's, with what every operation shares: its scope, the key, the problems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from api.auth import Needs, Scope
from api.guard import is_public
from api.problems import PROBLEM_JSON

#: Marks an operation of somebody else's protocol, which is answered in its words, also when it is refused.
PROTOCOL = "x-protocol"

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_EVERYWHERE = {
    "400": "A parameter or the body cannot be understood; `detail` says which",
    "422": "A field is missing or not what it must be; `errors` lists all of them",
    "503": "No room or no storage just now; come back after `Retry-After` seconds",
}
_WITH_KEY = {
    "401": "No key, or one that is unknown, revoked or expired",
    "403": "The key does not hold the scope",
}
_KEYS = {
    "key": {"type": "http", "scheme": "bearer", "description": "`tocsin key create` makes one."},
    "password": {"type": "http", "scheme": "basic", "description": "The key as the password; any user name."},
}
_GENERATED = ("HTTPValidationError", "ValidationError")  # the framework's shape of a 422; ours is a problem


def scope_of(route: APIRoute) -> Scope | None:
    """The scope a key needs for a route; None when it needs none."""
    return next((part.call.scope for part in route.dependant.dependencies if isinstance(part.call, Needs)), None)


def api_routes(routers: Iterable[APIRouter]) -> Iterator[APIRoute]:
    """The routes of some routers, which the application does not list itself."""
    for router in routers:
        yield from (route for route in router.routes if isinstance(route, APIRoute))


class Application(FastAPI):
    """The framework's application, which tells more about itself."""

    def include(self, routers: Sequence[APIRouter]) -> None:
        """Take the routes of `routers` on."""
        self._routers = tuple(routers)
        for router in routers:
            self.include_router(router)

    def openapi(self) -> dict[str, Any]:
        """The document of `/openapi.json`."""
        if self.openapi_schema is None:
            self.openapi_schema = self._complete(super().openapi())
        return self.openapi_schema

    def _complete(self, document: dict[str, Any]) -> dict[str, Any]:
        components = document["components"]
        components["securitySchemes"] = _KEYS
        for name in _GENERATED:
            components["schemas"].pop(name, None)
        for route in api_routes(self._routers):
            if route.include_in_schema:
                scope = None if is_public(route.path_format) else scope_of(route)
                for method in route.methods or ():
                    _complete(document["paths"][route.path_format][method.lower()], scope)
        return document


def _complete(operation: dict[str, Any], scope: Scope | None) -> None:
    answers = _EVERYWHERE | (_WITH_KEY if scope else {})
    if scope:
        operation["security"] = [{"key": []}, {"password": []}]
        operation["x-scope"] = scope.value
    responses = operation["responses"]
    takes = bool(operation.get("parameters") or operation.get("requestBody"))
    for code, text in answers.items():
        if takes or code not in {"400", "422"}:
            responses.setdefault(code, {"description": text})
    if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
        responses.setdefault("404", {"description": "There is no such thing, or it belongs to another tenant"})
    if "requestBody" in operation:
        responses.setdefault("415", {"description": "The Content-Type is not one this takes"})
    if PROTOCOL in operation:
        responses.pop("422", None)  # its only parameters are texts
    if "422" in responses:
        responses["422"]["description"] = _EVERYWHERE["422"]
    if PROTOCOL not in operation:
        _add_problems(responses)
    operation["responses"] = dict(sorted(responses.items()))


def _add_problems(responses: dict[str, Any]) -> None:
    for code, response in responses.items():
        if not code.startswith("2"):
            response["content"] = {PROBLEM_JSON: {"schema": _PROBLEM}}
