"""`tocsin run` and `tocsin demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import Config, Data, configured, one_of


def demo(
    *,
    port: Annotated[int, typer.Option(help="Where the web page is.")] = 8780,
    once: Annotated[
        bool, typer.Option("--once", help="Stop at the end: exit 0 if every planted incident was found, else 1.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed plays the same day.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", show_default=False, help="Keep the data here. Default: not kept."),
    ] = None,
) -> None:
    """Play a day of a simulated shop with planted incidents and show what is found.

    Example: tocsin demo --once
    """
    from service.demo import run_demo

    raise typer.Exit(run_demo(port=port, once=once, seed=seed, data=data))


def run(  # noqa: PLR0913 -- the options of the command
    *,
    data: Data = None,
    host: Annotated[str | None, typer.Option(show_default=False, help="Address. Default: 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(show_default=False, help="Default: 8780; 0 takes one that is free.")
    ] = None,
    role: Annotated[str, typer.Option(metavar="all|api|worker", help="Which processes to run.")] = "all",
    config: Config = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Run the service until it is told to stop by Ctrl-C or SIGTERM.

    Example: tocsin run --data /var/lib/tocsin
    """
    role = one_of(role, ("all", "api", "worker"), "--role")
    settings = configured(data, config, api__host=host, api__port=port).settings
    from service.run import RunOptions
    from service.run import run as run_service

    options = RunOptions(role=role, config=config, supervised=supervised)  # type: ignore[arg-type]  # checked above
    raise typer.Exit(run_service(settings, options, lambda text: typer.echo(text, err=text.startswith(("OPEN", " ")))))
