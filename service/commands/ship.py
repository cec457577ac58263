"""`tocsin ship`: files to a running service, with a progress bar."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.options import (
    FORMATS,
    Config,
    Form,
    Json,
    Key,
    KeyFile,
    Url,
    configured,
    key_text,
    note,
    one_of,
    print_json,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from service.ship import Shipped


def ship(  # noqa: PLR0913 -- the options of the command
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files to send, .gz too; - is standard input.")],
    *,
    stream: Annotated[str, typer.Option(metavar="NAME", help="The stream they go to, for example `nginx`.")],
    url: Url = None,
    key: Key = None,
    key_file: KeyFile = None,
    form: Form = "auto",
    time_field: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="The field that holds the time.")
    ] = None,
    message_field: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="The field that holds the text.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Begin at the first line, whatever was sent before.")] = False,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default=False, help="Where it is remembered how far each file was sent."),
    ] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Send files to a running service. The same command goes on where it was stopped; no line is taken twice.

    Example: tocsin ship /var/log/nginx/access.log --stream nginx
    """
    settings = configured(None, config).settings
    from ingest.batch import check_stream
    from service import ship as ships

    options = ships.ShipOptions(
        stream=check_stream(stream),
        url=url or settings.base_url,
        key=key_text(key, key_file),
        format=one_of(form, FORMATS, "--format"),  # type: ignore[arg-type]  # checked
        time_field=time_field,
        message_field=message_field,
        again=again,
        **({"state": state} if state else {}),
    )
    with _bar() as bar:
        shipped = ships.ship(files, options, settings.ship, _Shown(bar), time.sleep)
    _report(shipped, as_json=as_json)


class _Shown:
    """Shows what happens, on standard error."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)
        self._waited = False

    def begin(self, file: str, total_bytes: int | None) -> None:
        self._bar.update(self._task, description=Path(file).name, total=total_bytes, completed=0, said="")

    def moved(self, position: int, lines: int) -> None:
        self._waited = False
        self._bar.update(self._task, completed=position, said=f"{lines:,} lines")

    def waiting(self, reason: str, pause_s: float) -> None:
        if not self._waited:
            self._bar.console.print(f"waiting: {reason}", markup=False, highlight=False)
            self._waited = True
        self._bar.update(self._task, said=f"again in {pause_s:.0f} s")


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TextColumn("{task.fields[said]}"),
        console=Console(stderr=True),
        transient=True,
        disable=not Console(stderr=True).is_terminal,
    )


def _report(shipped: Sequence[Shipped], *, as_json: bool) -> None:
    if as_json:
        totals = {name: sum(getattr(each, name) for each in shipped) for name in ("lines", "accepted", "rejected")}
        print_json({**totals, "files": [asdict(each) for each in shipped]})
        return
    for each in shipped:
        begun = f", went on at byte {each.resumed_at:,}" if each.resumed_at else ""
        if not each.bytes and each.resumed_at:
            typer.echo(f"{each.file}: nothing new since it was sent last (--again sends it from the first line)")
            continue
        typer.echo(f"{each.file}: {each.accepted:,} lines taken, {each.rejected:,} rejected{begun}")
        for error in each.errors:
            note(f"  line {error['line']}: {error['detail']}")
