"""The style of the code, as tests: every rule names what to do instead."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from detectors.registry import DETECTORS

ROOT = Path(__file__).parents[2]
PACKAGES = ("tocsin", "ingest", "graphs", "detectors", "evaluation", "alerts", "storage", "api", "service")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60  # without the docstring
NESTING_MAX = 3

BANNED_IMPORTS = {
    "pickle": "tocsin.state (JSON and safetensors)",
    "cPickle": "tocsin.state (JSON and safetensors)",
    "dill": "tocsin.state (JSON and safetensors)",
    "joblib": "tocsin.state (JSON and safetensors)",
    "jsonpickle": "tocsin.state (JSON and safetensors)",
    "shelve": "tocsin.state (JSON and safetensors)",
    "marshal": "tocsin.state (JSON and safetensors)",
    "requests": "httpx2",
    "httpx": "httpx2",
    "logging": "structlog",
    "argparse": "typer, in service/cli.py",
}
#: Modules that may import what is banned, and why.
EXCEPTED_IMPORTS = {
    ("service/log.py", "logging"),  # it directs the log of other libraries into ours
}
#: The clock is an argument everywhere but in `service` and in benchmarks.
BANNED_CALLS = {
    "datetime.now": "the time as an argument",
    "datetime.utcnow": "the time as an argument",
    "datetime.today": "the time as an argument",
    "time.time": "the time as an argument",
    "time.time_ns": "the time as an argument",
    "torch.load": "tocsin.state.load_state",
    "eval": "a parser",
    "exec": "a function",
}
#: The four loops that outlive whatever one turn of them raises.
BROAD_EXCEPTS = {
    "detectors/panel.py": "one detector of a batch",
    "service/worker.py": "one step of the pipeline",
    "service/pipeline.py": "one step of the pipeline",
    "alerts/deliver.py": "one delivery",
    "service/schedule.py": "one scheduled job",
}


@cache
def python_files() -> tuple[Path, ...]:
    return tuple(sorted(file for name in PACKAGES for file in (ROOT / name).rglob("*.py")))


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Every module that `file` imports, also by `from package import module`."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_every_module_says_what_it_is_for() -> None:
    silent = [name_of(file) for file in python_files() if not ast.get_docstring(tree_of(file))]
    assert not silent, f"begin with a docstring that says what the file is for: {silent}"


def test_files_fit_in_a_few_screens() -> None:
    long = {name_of(file): lines for file in python_files() if (lines := file.read_text().count("\n")) > FILE_LINES_MAX}
    assert not long, f"split by what they do, at most {FILE_LINES_MAX} lines: {long}"


def test_functions_fit_on_a_screen() -> None:
    long = {
        f"{name_of(file)}:{function.lineno} {function.name}": lines
        for file in python_files()
        for function in functions(file)
        if (lines := body_lines(function)) > FUNCTION_LINES_MAX
    }
    assert not long, f"split, at most {FUNCTION_LINES_MAX} lines without the docstring: {long}"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    docstring = ast.get_docstring(function, clean=False)
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    return length - ((first.end_lineno or 0) - first.lineno + 1 if docstring else 0)


def test_nesting_is_shallow() -> None:
    deep = [
        f"{name_of(file)}:{function.lineno} {function.name}"
        for file in python_files()
        for function in functions(file)
        if depth(function.body) > NESTING_MAX
    ]
    assert not deep, f"return early or name the inner part, at most {NESTING_MAX} levels: {deep}"


def depth(body: list[ast.stmt]) -> int:
    deepest = 0
    for statement in body:
        if isinstance(statement, ast.With | ast.AsyncWith | ast.Try):  # neither a branch nor a loop
            parts = [statement.body, *(handler.body for handler in getattr(statement, "handlers", []))]
            parts += [getattr(statement, name, []) for name in ("orelse", "finalbody")]
            deepest = max(deepest, *map(depth, parts))
        elif isinstance(statement, ast.For | ast.AsyncFor | ast.While | ast.If):
            # `elif` is an `if` in the `else` of another: as deep as it looks, not deeper.
            otherwise: list[ast.stmt] = getattr(statement, "orelse", [])
            chained = isinstance(statement, ast.If) and len(otherwise) == 1
            inner = [*statement.body, *([] if chained else otherwise)]
            deepest = max(deepest, 1 + depth(inner), depth(otherwise) if chained else 0)
    return deepest


def test_banned_libraries_are_not_imported() -> None:
    found = [
        f"{name_of(file)}:{line} imports {module}: use {BANNED_IMPORTS[root]}"
        for file in python_files()
        for line, module in imported(file)
        if (root := module.partition(".")[0]) in BANNED_IMPORTS and (name_of(file), root) not in EXCEPTED_IMPORTS
    ]
    assert not found, "\n".join(found)


def test_the_clock_and_other_banned_calls_stay_out() -> None:
    found = [
        f"{name_of(file)}:{node.lineno} calls {called}: use {BANNED_CALLS[called]}"
        for file in python_files()
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call)
        and (called := ast.unparse(node.func).removeprefix("datetime.datetime.").removeprefix("dt.")) in BANNED_CALLS
        and not (called.startswith(("datetime", "time")) and name_of(file).startswith("service/"))
    ]
    assert not found, "\n".join(found)


def test_only_the_settings_read_the_environment() -> None:
    found = [
        f"{name_of(file)}:{node.lineno}: settings are arguments; only service/settings.py and the commands read them"
        for file in python_files()
        if not name_of(file).startswith("service/")
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv", "os.environb"}
    ]
    assert not found, "\n".join(found)


def test_broad_excepts_stand_only_in_the_four_loops() -> None:
    found = [
        f"{name_of(file)}:{node.lineno}: name what may be raised"
        for file in python_files()
        if name_of(file) not in BROAD_EXCEPTS
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and not reraises(node)
    ]
    assert not found, "\n".join(found)


def reraises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_no_file_is_dead() -> None:
    sources = [
        *python_files(),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "benchmarks").rglob("*.py"),
        ROOT / "docs/generate.py",
    ]
    used = {module for file in sources for _, module in imported(file)}
    # Named in text: detectors are built from the registry, the command line from pyproject, others run with -m.
    texts = "\n".join(file.read_text() for file in [*python_files(), ROOT / "pyproject.toml"])
    dead = []
    for file in python_files():
        module = name_of(file).removesuffix(".py").replace("/", ".")
        if file.name in {"__init__.py", "__main__.py"} or "migrations" in file.parts or module in used:
            continue
        if not re.search(rf"[\"'`]{re.escape(module)}[:\"'`]", texts):
            dead.append(module)
    assert not dead, f"imported by nothing: {dead}"


def test_a_todo_carries_the_number_of_an_issue() -> None:
    found = [
        f"{name_of(file)}:{number}"
        for file in python_files()
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(r"\b(TODO|FIXME|XXX)\b(?! #\d+)", line)
    ]
    assert not found, f"do it, or file an issue and name it: {found}"


def test_import_linter_knows_every_detector() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (independent,) = [contract["modules"] for contract in contracts if contract["type"] == "independence"]
    assert sorted(independent) == sorted(f"detectors.{name}" for name in DETECTORS)


@pytest.mark.parametrize("file", tracked("*.md"), ids=name_of)
def test_a_document_has_one_title(file: Path) -> None:
    outside = re.sub(r"^```.*?^```", "", file.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert len(re.findall(r"^# ", outside, flags=re.MULTILINE)) == 1


def test_the_repository_speaks_of_tocsin_alone() -> None:
    foreign = re.compile(
        r"(?<![\w/.-])/(?:work|farm|root)/\w|\b(?:pypi\.org|files\.pythonhosted\.org|registry\.npmjs\.org|deb\.debian\.org)\b"
    )
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for file in tracked()
        if file.suffix not in {".png", ".gz", ".zst"} and "vendor" not in file.parts and file != Path(__file__)
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1)
        if foreign.search(line)
    ]
    assert not found, "\n".join(found)
