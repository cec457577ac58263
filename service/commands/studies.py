"""`tocsin evaluate` and `tocsin bench`: how good and how fast, measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands.options import Json, log_warnings_only, print_json, print_table
from tocsin.errors import InputError

#: Name -> the function that gives its rows; imported when asked for.
EVALUATIONS: Mapping[str, str] = {"parsing": "evaluation.parsing:evaluate"}
BENCHES: Mapping[str, str] = {
    "e2e": "service.bench:e2e",
    "ingest": "service.bench_ingest:ingest",
    "parse": "service.bench_parse:parse",
}

_DATA = Path("../shared/data")  # where a checkout of ours has the labelled sets


def evaluate(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"What to measure: {', '.join(EVALUATIONS)}.")],
    *,
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="A folder with labelled data sets.")] = _DATA,
    scores_out: Annotated[
        Path | None, typer.Option(metavar="DIR", show_default=False, help="Write the scores, for tools of your own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how good Tocsin is on real, labelled data, beside rivals and published numbers.

    Example: tocsin evaluate parsing --data datasets
    """
    study = _found(name, EVALUATIONS, "evaluation")
    log_warnings_only()
    if not data.is_dir():
        raise InputError(f"--data: {data} is no folder")
    if scores_out is not None:
        raise InputError(f"--scores-out: {name} groups lines, it gives them no scores")
    rows = study(data)
    if as_json:
        print_json({"evaluation": name, "rows": rows})
        return
    print_table(rows, ("dataset", "split", "method", "metric", "value", "spread", "published"))


def bench(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"What to measure: {', '.join(BENCHES)}.")],
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Finish within 60 s.")] = False,
    as_json: Json = False,
) -> None:
    """Measure how fast Tocsin is on this machine, beside peers.

    Example: tocsin bench e2e --quick
    """
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # as the worker has it; read when polars is first imported
    study = _found(name, BENCHES, "benchmark")
    log_warnings_only()
    result = study(quick=quick)
    if as_json:
        print_json({"bench": name, **result})
        return
    print_table(result["rows"], ("case", "method", "peer", "value", "unit"))
    if result["ratios"]:
        print_table(result["ratios"], ("case", "against", "ratio"))


def _found(name: str, known: Mapping[str, str], kind: str) -> Callable[..., Any]:
    if name not in known:
        raise InputError(f"there is no {kind} {name!r}; there are {', '.join(sorted(known))}")
    module, _, function = known[name].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found
