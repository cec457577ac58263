"""The container files say what the program understands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from service.layers import key_paths
from service.settings import Settings, configuration

DOCKER = Path(__file__).parents[3] / "docker"


def test_the_image_sets_settings_that_exist() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    environ = dict(re.findall(r"(TOCSIN__\w+)=(\S+)", text))
    settings = configuration(None, environ).settings
    assert settings.data == Path("/var/lib/tocsin")
    assert (settings.api.host, settings.api.port) == ("0.0.0.0", 8780)


def test_the_image_runs_as_a_user_that_is_not_root() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    assert "USER tocsin" in lines
    assert lines.index("USER tocsin") < next(n for n, line in enumerate(lines) if line.startswith("ENTRYPOINT"))


@pytest.mark.parametrize("name", ["compose.yaml", "compose.postgres.yaml"])
def test_a_compose_file_sets_settings_that_exist_and_writes_only_to_its_volume(name: str) -> None:
    services = yaml.safe_load((DOCKER / name).read_text())["services"]
    tocsin = services["tocsin"]
    known = {path.replace(".", "__").upper() for path in key_paths(Settings)}
    for variable in tocsin.get("environment", {}):
        assert variable.removeprefix("TOCSIN__").removesuffix("_FILE") in known
    assert tocsin["read_only"] is True
    assert tocsin["volumes"] == ["data:/var/lib/tocsin"]


def test_the_grace_at_a_stop_is_longer_than_a_stop_may_take() -> None:
    run = Settings().run
    for name in ("compose.yaml", "compose.postgres.yaml"):
        grace = yaml.safe_load((DOCKER / name).read_text())["services"]["tocsin"]["stop_grace_period"]
        assert float(grace.removesuffix("s")) > run.drain_s + run.worker_stop_s


def test_everything_the_wheel_is_made_of_is_in_the_build() -> None:
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    project = (DOCKER.parent / "pyproject.toml").read_text()
    packages = re.search(r"^packages = \[(.*)\]", project, flags=re.MULTILINE)
    assert packages is not None
    names = re.findall(r'"(\w+)"', packages[1])
    assert [
        name for name in [*names, "pyproject.toml", "constraints.txt", "LICENSE"] if f"!{name}" not in ignored
    ] == []
