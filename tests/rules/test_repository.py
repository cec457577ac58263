"""The map matches the territory: folders, make targets, pinned versions."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def folders() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name.partition("/")[0] for name in listed.splitlines() if "/" in name}


def test_every_folder_is_on_the_map_and_every_folder_on_the_map_exists() -> None:
    named = set(re.findall(r"^\| `([\w.]+)/`", (ROOT / "ARCHITECTURE.md").read_text(), flags=re.MULTILINE))
    assert named == folders()


def test_files_named_in_the_map_exist() -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.\w+)`", (ROOT / "ARCHITECTURE.md").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_no_other_distribution_owns_one_of_our_names() -> None:
    names = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    foreign = {
        name: owners for name, owners in packages_distributions().items() if name in names and set(owners) != {"tocsin"}
    }
    assert not foreign, f"installed over ours: {foreign}"


def test_the_pins_name_no_address_and_no_local_build() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9._-]+==[\w.]+", pin)] == []
    assert "torch==2.13.0" in pins


def test_the_pins_of_the_clients_for_node_name_no_registry() -> None:
    pins = json.loads((ROOT / "tests" / "node" / "package-lock.json").read_text())["packages"]
    asked = pins.pop("")
    assert set(asked["dependencies"].values()) <= {pin["version"] for pin in pins.values()}
    assert [name for name, pin in pins.items() if "resolved" in pin or "integrity" not in pin] == []


def test_every_dependency_is_pinned() -> None:
    pinned = {pin.partition("==")[0] for pin in (ROOT / "constraints.txt").read_text().split()}
    project = PROJECT["project"]
    wanted = [*project["dependencies"]]
    for extra in ("cpu", "postgres", "dev"):
        wanted += project["optional-dependencies"][extra]
    names = {re.split(r"[\[<>=~ ]", requirement)[0].lower() for requirement in wanted}
    assert names <= pinned


def test_the_change_log_begins_with_what_is_not_released_or_the_present_version() -> None:
    first = re.search(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert first is not None
    assert first[1].startswith(("Unreleased", PROJECT["project"]["version"]))
