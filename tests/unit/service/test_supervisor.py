"""The worker is kept running, and ended in order."""

from __future__ import annotations

import os
import queue
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from service.supervisor import RunSettings, Supervisor

QUICK = RunSettings(restart_s_min=0.01, restart_s_max=0.05, worker_stop_s=20.0)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def started(notes: Path) -> list[int]:
    """Process ids of the children so far, in order."""
    return [int(line) for line in notes.read_text().split()] if notes.exists() else []


def child(notes: Path, then: str, on_stop: str = "sys.exit(0)") -> list[str]:
    """A program that notes its process id once it can be stopped."""
    code = (
        "import os, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: ({on_stop}))\n"
        f"open({str(notes)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    )
    return [sys.executable, "-c", code + then]


def nobody(_status: int) -> None:
    raise AssertionError("it should not have given up")


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    supervisor = Supervisor(child(notes, "time.sleep(60)"), QUICK, on_end=nobody)
    supervisor.start()
    wait_for(lambda: len(started(notes)) == 1)
    os.kill(started(notes)[0], signal.SIGKILL)
    wait_for(lambda: len(started(notes)) == 2)
    supervisor.stop()
    assert len(started(notes)) == 2


def test_a_child_that_cannot_run_is_not_started_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    ended: queue.Queue[int] = queue.Queue()
    supervisor = Supervisor(child(notes, "sys.exit(2)"), QUICK, on_end=ended.put)
    supervisor.start()
    assert ended.get(timeout=30.0) == 2
    supervisor.stop()
    assert len(started(notes)) == 1


def test_a_stop_lets_the_child_end_by_itself(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    goodbye = f"open({str(tmp_path / 'bye')!r}, 'w').close(), sys.exit(0)"
    supervisor = Supervisor(child(notes, "time.sleep(60)", goodbye), QUICK, on_end=nobody)
    supervisor.start()
    wait_for(lambda: len(started(notes)) == 1)
    supervisor.stop()
    assert (tmp_path / "bye").exists()


def test_a_child_that_does_not_end_is_ended(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    deaf = child(notes, "while True: time.sleep(1)", on_stop="None")
    supervisor = Supervisor(deaf, RunSettings(worker_stop_s=0.5), on_end=nobody)
    supervisor.start()
    wait_for(lambda: len(started(notes)) == 1)
    begun = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - begun < 10.0
    assert not Path(f"/proc/{started(notes)[0]}").exists()


def test_the_child_sees_our_end_in_its_standard_input(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    code = (
        "import sys, pathlib, time\n"
        "from service.supervisor import RunSettings, Supervisor\n"
        f"s = Supervisor({child(notes, 'sys.stdin.read(); sys.exit(0)')!r}, RunSettings(), on_end=print)\n"
        "s.start()\n"
        f"while not pathlib.Path({str(notes)!r}).exists(): time.sleep(0.01)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == -signal.SIGKILL
    wait_for(lambda: not Path(f"/proc/{started(notes)[0]}").exists())
