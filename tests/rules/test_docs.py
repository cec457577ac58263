"""Every setting, command, endpoint, view and column is documented, and links lead somewhere."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

from detectors.registry import DETECTORS, settings_class
from service.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_generate"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["configuration.md", "commands.md", "http.md", "sql.md"])
def test_the_reference_is_what_the_code_says(name: str, generate: ModuleType) -> None:
    made = getattr(generate, name.removesuffix(".md"))()
    assert (ROOT / "docs" / "reference" / name).read_text() == made, "run `make docs`"


def test_every_default_has_a_reason(generate: ModuleType) -> None:

    silent: list[str] = []
    todo: list[tuple[str, type]] = [
        ("", Settings),
        *((f"detectors.{name}.", settings_class(name)) for name in DETECTORS),
    ]
    while todo:
        path, owner = todo.pop()
        reasons = generate.reasons_of(owner)
        for field in dataclasses.fields(owner):
            section = generate.section_of(owner, field.name)
            if section is not None:
                todo.append((f"{path}{field.name}.", section))
            elif len(reasons.get(field.name, "")) < 8:
                silent.append(f"{path}{field.name}")
    assert not silent


def documents() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return [ROOT / name for name in listed]


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_inside_the_repository_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (document.parent / unquote(link)).exists()] == []


def test_the_readme_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.index("make demo") < text.index("make test") < 4000
