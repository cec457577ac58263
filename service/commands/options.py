"""Options that several commands share, each with one help text, and what they are turned into."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alerts.untrusted import neutralised
from tocsin.errors import InputError

if TYPE_CHECKING:
    from service.client import Client
    from service.settings import Configuration, Settings
    from storage.store import Store

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", show_default=False, help="Data folder. Default: ./tocsin-data or as set."),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", show_default=False, help="Settings in TOML. Default: DIR/tocsin.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", show_default=False, help="Ask a running service, not a data folder."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="TOCSIN_KEY", show_default=False, help="Key for the service; `ps` shows it to others."
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", show_default=False, help="A file that holds the key."),
]
Tenant = Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose.")]

FORMATS = ("auto", "ndjson", "json", "csv", "text")
Form = Annotated[
    str, typer.Option("--format", metavar="|".join(FORMATS), show_default=False, help="What the files hold.")
]

_CELL_CHARS_MAX = 2000  # of a value in a table
_TIMEOUT_S = 60.0  # a query may take 30 s


def configured(data: Path | None, config: Path | None, **flags: object) -> Configuration:
    """Read the settings.

    Args:
        data: `--data`.
        config: `--config`.
        flags: further flags by key path, with `__` for the dot.
    """
    from service.settings import configuration

    overrides = {"data": data} | {name.replace("__", "."): flag for name, flag in flags.items()}
    return configuration(config, None, overrides)


def used_folder(data: Path | None, config: Path | None) -> Settings:
    """Settings of a data folder that is there, with a log of warnings only.

    Raises:
        InputError: it is not.
    """
    settings = configured(data, config).settings
    if not settings.data.is_dir():
        raise InputError(f"{settings.data}: there is no such data folder (--data)")
    log_warnings_only()
    return settings


def log_warnings_only() -> None:
    """A command talks by itself; its log is for what went wrong."""
    from service.log import LogSettings, set_up_logging

    set_up_logging(LogSettings(format="console", level="warning"))


@contextmanager
def folder_store(data: Path | None, config: Path | None) -> Iterator[Store]:
    """The database of a data folder, also beside a running service.

    Raises:
        InputError: nothing was ever kept there.
    """
    from service.build import opened_store

    settings = used_folder(data, config)
    with opened_store(settings) as store:
        yield store


@contextmanager
def service_client(url: str, key: str | None, key_file: Path | None) -> Iterator[Client]:
    """A running service."""
    from service.client import Client

    with Client(url, key_text(key, key_file), timeout_s=_TIMEOUT_S) as client:
        yield client


def key_text(key: str | None, key_file: Path | None) -> str | None:
    """The key, wherever it was given."""
    if key_file is None:
        return key.strip() if key else None
    try:
        return key_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"--key-file: {key_file} cannot be read: {error.strerror}") from error


def one_of(value: str, known: tuple[str, ...], option: str) -> str:
    """Return `value` if it is known.

    Raises:
        InputError: it is not.
    """
    if value not in known:
        raise InputError(f"{option}: {value!r} is none of {', '.join(known)}")
    return value


def print_json(value: object) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def print_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Some columns of rows that have names, as aligned text."""
    print_rows(columns, [[row.get(column) for column in columns] for row in rows])


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows as aligned text, as wide as it has to be: the terminal wraps, a pipe does not care."""
    lines = [list(columns), *([_text(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def note(text: str) -> None:
    """A word to the person at the terminal, on standard error, so that a pipe gets results alone."""
    typer.echo(text, err=True)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple | set | frozenset):
        value = ",".join(map(str, sorted(value) if isinstance(value, set | frozenset) else value)) or "-"
    if isinstance(value, datetime):
        value = _plain(value)
    # Lines are other people's text: an escape sequence in one must not speak to this terminal.
    return neutralised(str(value), _CELL_CHARS_MAX)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
