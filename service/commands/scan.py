"""`tocsin scan`: what is unusual in files, without a service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alerts.untrusted import neutralised
from service.commands.options import (
    FORMATS,
    Config,
    Form,
    Json,
    configured,
    log_warnings_only,
    note,
    one_of,
    print_json,
)

if TYPE_CHECKING:
    from service.scan import Scanned, ScanResult

_FINDINGS_SHOWN = 5  # of an incident, gravest first; --json has all
_LINES_SHOWN = 2  # of a finding
_LINE_CHARS = 160


def scan(  # noqa: PLR0913 -- the options of the command
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files to read, .gz too; - is standard input.")],
    *,
    form: Form = "auto",
    train_fraction: Annotated[
        float, typer.Option(metavar="SHARE", help="Share at the beginning that is learned from and not judged.")
    ] = 0.5,
    budget: Annotated[
        float | None, typer.Option(metavar="N", show_default=False, help="Incidents a day you want to hear of.")
    ] = None,
    scores_out: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Write a score for every line, as CSV.")
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Find what is unusual in files, without a service: learn from the first part, judge the rest.

    Example: tocsin scan /var/log/auth.log
    """
    settings = configured(None, config).settings
    log_warnings_only()
    from service import scan as scans
    from service.build import now

    options = scans.ScanOptions(
        format=one_of(form, FORMATS, "--format"),  # type: ignore[arg-type]  # checked
        train_fraction=train_fraction,
        budget_per_day=settings.panel.budget_per_day if budget is None else budget,
        limits=settings.limits,
        parse=settings.parse,
        panel=settings.panel,
        detectors=settings.detectors,
        policy=settings.policy,
    )
    with _progress() as progress:
        result = scans.scan(files, options, now=now(), progress=progress)
    if scores_out is not None:
        result.write_scores(scores_out)
    if as_json:
        print_json(result.document())
        return
    _print(result)


@contextmanager
def _progress() -> Iterator[Callable[[str, float | None], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, share: float | None) -> None:
            bar.update(task, description=what, completed=share or 0.0, total=None if share is None else 1.0)

        yield tell


def _print(result: ScanResult) -> None:
    for text in result.notes:
        note(text)
    for each in result.incidents:
        _print_incident(each, result)
    held = f"; {result.held_back} more did not fit the budget (--budget)" if result.held_back else ""
    rate = result.lines / max(result.seconds, 1e-3)
    typer.echo(
        f"{len(result.incidents)} incidents in {result.watched:,} lines, {result.trained:,} before them learned{held} "
        f"({result.seconds:.1f} s, {rate:,.0f} lines/s)"
    )


def _print_incident(scanned: Scanned, result: ScanResult) -> None:
    from service.scan import line_numbers

    incident = scanned.incident
    begun, ended = incident.opened_at, max(finding.end_at for finding in scanned.findings)
    typer.echo(f"[{incident.severity:3}] {neutralised(incident.title, _LINE_CHARS)}")
    typer.echo(f"      {begun:%Y-%m-%d %H:%M:%S} to {ended:%Y-%m-%d %H:%M:%S}, by {', '.join(incident.detectors)}")
    for finding in scanned.findings[:_FINDINGS_SHOWN]:
        numbers = line_numbers(finding, result.numbers)
        where = f"line {numbers[0]}" if len(numbers) == 1 else f"lines {numbers[0]} to {numbers[-1]}" if numbers else ""
        typer.echo(f"      - {neutralised(finding.summary, _LINE_CHARS)}" + (f" ({where})" if where else ""))
        for event in finding.event_ids[:_LINES_SHOWN]:
            if event in result.texts:
                typer.echo(f"          {neutralised(result.texts[event], _LINE_CHARS)}")
    if len(scanned.findings) > _FINDINGS_SHOWN:
        typer.echo(f"      - and {len(scanned.findings) - _FINDINGS_SHOWN} more")
    typer.echo("")
