"""What a refused sender is told in the words of its own protocol, wherever the refusal comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response

from api.problems import ProblemError


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The refusals of one protocol."""

    speaks: Callable[[str], bool]  # whether it is spoken at this path
    refuse: Callable[[Headers, ProblemError], Response]  # the answer, by the headers of the request


def refusal(dialects: Sequence[Dialect], path: str, headers: Headers, problem: ProblemError) -> Response | None:
    """The answer to a problem at `path`; None where none of `dialects` is spoken."""
    for dialect in dialects:
        if dialect.speaks(path):
            return dialect.refuse(headers, problem)
    return None


def without_retry_after(headers: Mapping[str, str]) -> dict[str, str]:
    """For protocols whose clients give up after a number of tries: the pauses they make by themselves grow."""
    return {name: value for name, value in headers.items() if name.lower() != "retry-after"}
