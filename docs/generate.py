"""Writes `docs/reference` from the code: settings, commands, endpoints, SQL views. `make docs` runs it.

A test compares the files with what this would write, so that nothing is undocumented and nothing documented is gone.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import sys
import tempfile
import textwrap
import tokenize
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from detectors.registry import DETECTORS, settings_class
from service.build import openapi
from service.cli import app
from service.settings import Settings
from storage.views import VIEWS

FOLDER = Path(__file__).parent / "reference"
_MADE = "*Written by `make docs` from the code; change it there.*\n"


def documents() -> dict[str, str]:
    """File name to content."""
    return {
        "configuration.md": configuration(),
        "commands.md": commands(),
        "http.md": http(),
        "sql.md": sql(),
    }


def configuration() -> str:
    """Every setting with its default and the reason for it."""
    parts = [
        "# Settings",
        _MADE,
        textwrap.dedent("""\
        Nothing has to be set. Settings come from, later ones win: the defaults below, a TOML file (`--config FILE`,
        else `DATA/tocsin.toml` when it exists), the environment (`TOCSIN__SECTION__KEY`, lists as JSON), flags of the
        command. `tocsin config check` prints what is in force and where each value comes from. An unknown key is
        refused.

        ```toml
        [api]
        port = 9000

        [detectors.novelty]
        age_days = 60
        ```
        """),
    ]
    top = [field for field in dataclasses.fields(Settings) if not section_of(Settings, field.name)]
    parts.append(_table(Settings, [field.name for field in top if field.name != "detectors"]))
    for field in dataclasses.fields(Settings):
        section = section_of(Settings, field.name)
        if section is not None:
            parts += [f"## [{field.name}]", inspect.getdoc(section) or "", _table(section)]
            parts += list(_nested(section, field.name))
    for name in DETECTORS:
        chosen = settings_class(name)
        parts += [f"## [detectors.{name}]", inspect.getdoc(chosen) or "", _table(chosen)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _nested(owner: type, path: str) -> Iterator[str]:
    for field in dataclasses.fields(owner):
        section = section_of(owner, field.name)
        if section is not None:
            yield f"## [{path}.{field.name}]"
            yield inspect.getdoc(section) or ""
            yield _table(section)


def section_of(owner: type, name: str) -> type | None:
    """The dataclass that a field holds; None when it holds a plain value."""
    hint = typing.get_type_hints(owner)[name]
    return hint if dataclasses.is_dataclass(hint) and isinstance(hint, type) else None


def _table(owner: type, names: list[str] | None = None) -> str:
    reasons = reasons_of(owner)
    rows = [
        f"| `{field.name}` | `{_default(field)}` | {reasons[field.name]} |"
        for field in dataclasses.fields(owner)
        if section_of(owner, field.name) is None and (names is None or field.name in names)
    ]
    return "\n".join(["| key | default | why |", "|---|---|---|", *rows]) if rows else ""


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if isinstance(value, tuple | list):
        return "[" + ", ".join(f'"{item}"' if isinstance(item, str) else str(item) for item in value) + "]"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, int) and value >= 10_000:
        return f"{value:_}"
    return f'"{value}"' if isinstance(value, str | Path) else str(value)


def reasons_of(owner: type) -> dict[str, str]:
    """The comment behind each field of a dataclass, or above it when it begins with `#:`."""
    source = textwrap.dedent(inspect.getsource(owner))
    comments = {
        token.start[0]: token.string.lstrip("#: ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
            above = []
            line = statement.lineno - 1
            while line in comments and source.splitlines()[line - 1].lstrip().startswith("#:"):
                above.insert(0, comments[line])
                line -= 1
            words = " ".join([*above, *(comments[line] for line in lines if line in comments)])
            found[statement.target.id] = words.replace("|", "\\|")
    return found


def commands() -> str:
    """Every command with its arguments."""
    parts = ["# Commands", _MADE]
    for words, command in _commands(typer.main.get_command(app), ("tocsin",)):
        parts.append(f"## {' '.join(words)}")
        parts.append(inspect.cleandoc(command.help or "").replace("\b\n", ""))
        parts.append(_parameters(command))
    parts.append(
        "Exit codes: 0 done, 1 the check did not hold, 2 bad usage or input. "
        "`--json` prints one JSON object on standard output and nothing else."
    )
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    children = getattr(command, "commands", None)
    if not children:
        yield words, command
        return
    for name, child in children.items():
        if not child.hidden:
            yield from _commands(child, (*words, name))


def _parameters(command: Any) -> str:
    rows = []
    for parameter in command.params:
        if parameter.name in {"help", "install_completion", "show_completion"} or getattr(parameter, "hidden", False):
            continue
        name = ", ".join(parameter.opts) if parameter.opts[0].startswith("-") else parameter.name.upper()
        default = parameter.default
        shown = "" if default in (None, False, (), []) or callable(default) else f" Default: `{default}`."
        rows.append(f"| `{name}` | {(getattr(parameter, 'help', None) or '').strip()}{shown} |".replace("\n", " "))
    return "\n".join(["| argument | meaning |", "|---|---|", *rows]) if rows else ""


def http() -> str:
    """Every endpoint with its parameters and answers."""
    with tempfile.TemporaryDirectory() as folder:
        document = openapi(Path(folder))
    parts = [
        "# HTTP",
        _MADE,
        (
            "Errors are RFC 9457 problem documents; `detail` names the line, field or position. "
            "The running service shows the same with examples at `/docs`, and as data at `/openapi.json`."
        ),
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(f"## {method.upper()} {path}")
            parts.append(operation.get("description") or operation.get("summary", ""))
            if operation.get("x-scope"):
                parts.append(f"Scope: `{operation['x-scope']}`.")
            rows = [
                f"| `{parameter['name']}` | {parameter['in']} | {parameter.get('description', '')} |"
                for parameter in operation.get("parameters", ())
            ]
            if rows:
                parts.append("\n".join(["| parameter | in | meaning |", "|---|---|---|", *rows]))
            parts.append("Answers: " + ", ".join(f"`{code}`" for code in operation["responses"]) + ".")
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def sql() -> str:
    """Every view with its columns."""
    parts = [
        "# SQL views",
        _MADE,
        (
            "Read-only SQL in DuckDB's dialect, by `tocsin sql`, `POST /v1/sql` or the page. "
            "Lists are lists, times are `TIMESTAMP WITH TIME ZONE`. SQLite and PostgreSQL show the same views (all but "
            "`events`) to programs that connect to the database itself; lists are JSON text there."
        ),
    ]
    for view, columns in VIEWS.items():
        rows = [f"| `{column}` | {sentence} |" for column, sentence in columns.items()]
        parts += [f"## {view}", "\n".join(["| column | meaning |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in documents().items():
        (FOLDER / name).write_text(content)
        sys.stdout.write(f"docs/reference/{name}\n")


if __name__ == "__main__":
    main()
