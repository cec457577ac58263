"""`tocsin doctor` and `tocsin config check`: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import typer

from service.commands.options import (
    Config,
    Data,
    Json,
    configured,
    log_warnings_only,
    note,
    print_json,
    print_table,
)

config_app = typer.Typer(help="Settings.", no_args_is_help=True)


def doctor(
    *,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check an installation and say what to do about what is wrong. Exits 1 when something is.

    Example: tocsin doctor --data /var/lib/tocsin
    """
    from service import doctor as doctors
    from service.build import now

    settings = configured(data, config).settings
    log_warnings_only()
    checks = doctors.examine(settings, now())
    failed = [check for check in checks if check.verdict == "fail"]
    if as_json:
        print_json({"ok": not failed, "checks": [doctors.as_row(check) for check in checks]})
    else:
        print_table([doctors.as_row(check) for check in checks], ("check", "verdict", "detail"))
        for check in checks:
            if check.advice and check.verdict != "ok":
                note(f"{check.name}: {check.advice}")
    raise typer.Exit(1 if failed else 0)


@config_app.callback()
def _config() -> None:
    """Settings."""


@config_app.command("check")
def config_check(*, data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """Read the settings, check them, and print each with its origin. Secrets are masked.

    Example: tocsin config check --config tocsin.toml
    """
    found = configured(data, config)
    from service.masking import shown

    rows = shown(found)
    if as_json:
        print_json({"file": str(found.file) if found.file else None, "settings": rows})
        return
    for row in rows:
        typer.echo(f"{row['key']} = {row['value']}  # {row['origin']}")
    note(f"the settings are in order; file: {found.file or 'none'}")
