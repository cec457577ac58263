import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)  # two minutes on two idle cores; tests share theirs
def test_the_demo_finds_every_incident_that_its_detectors_claim() -> None:
    command = [sys.executable, "-P", "-m", "service", "demo", "--once", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=590, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISSED" not in done.stdout
    assert "seconds to alert" in done.stdout  # the heading of a column, on one line where there is no terminal
