"""`tocsin scan`: what is unusual in files, without a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import FORMATS, Config, Form, Json, configured, log_warnings_only, one_of, print_json


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
    from rich.console import Console

    from service import scan as scans
    from service.build import now
    from service.scan_report import print_report, shown_progress

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
    with shown_progress(Console(stderr=True)) as progress:
        result = scans.scan(files, options, now=now(), progress=progress)
    if scores_out is not None:
        result.write_scores(scores_out)
    if as_json:
        print_json(result.document())
        return
    print_report(result, Console())
