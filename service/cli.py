"""The command `tocsin`: which commands there are, and what becomes of their errors."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from service.commands import check, keys, running, scan, ship, sql, studies, webhooks
from tocsin.errors import TocsinError

_CANNOT = 2  # exit status of bad usage and bad input

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: starts faster, reads the same in a pipe
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(running.demo)
app.command()(running.run)
app.command()(scan.scan)
app.command()(ship.ship)
app.command()(sql.sql)
app.add_typer(keys.app, name="key")
app.add_typer(webhooks.app, name="webhook")
app.command()(check.doctor)
app.add_typer(check.config_app, name="config")
app.command()(studies.evaluate)
app.command()(studies.bench)


def main() -> int:
    """Run the command line and return its exit status."""
    try:
        app()
    except TocsinError as error:
        typer.echo(f"tocsin: {error}", err=True)
        return _CANNOT
    return 0


def _print_version(wanted: bool) -> None:  # noqa: FBT001 -- called by typer
    if wanted:
        typer.echo(f"tocsin {version('tocsin')}")
        raise typer.Exit


@app.callback()
def tocsin(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Finds what is unusual in logs, events, transactions and metrics, and says why."""
