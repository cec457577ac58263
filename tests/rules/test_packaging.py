"""The wheel installs into an empty environment and runs there, without torch and without this checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: str | Path, cwd: Path) -> str:
    answer = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=500
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_package_and_what_it_reads_at_run_time(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert [name for name in listed if name not in names and (ROOT / name).exists()] == []
    assert [name for name in names if name.startswith(("tests/", "docs/", "benchmarks/"))] == []


PACKAGES = ("tocsin", "ingest", "graphs", "detectors", "evaluation", "alerts", "storage", "api", "service")


def test_the_installed_program_scans_a_log(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    installer = Path(sys.executable).with_name("uv")
    python = environment / "bin" / "python"
    pins: list[str | Path] = ["-c", ROOT / "constraints.txt", wheel]
    if installer.exists():
        run(installer, "pip", "install", "-q", "-p", python, *pins, cwd=tmp_path)
    else:
        run(python, "-m", "pip", "install", "-q", *pins, cwd=tmp_path)
    lines = [f"2026-03-01T00:{minute:02}:{second:02}Z INFO worker done" for minute in range(50) for second in range(60)]
    lines.insert(2900, "2026-03-01T00:48:20Z FATAL kernel panic on disk sda")
    (tmp_path / "app.log").write_text("\n".join(lines) + "\n")
    tocsin = environment / "bin" / "tocsin"
    assert run(tocsin, "--version", cwd=tmp_path).strip().endswith("0.1.0")
    found = json.loads(run(tocsin, "scan", "app.log", "--json", cwd=tmp_path))
    assert found["lines"] == len(lines)
    assert [line for incident in found["incidents"] for each in incident["findings"] for line in each["lines"]] == [
        2901
    ]
