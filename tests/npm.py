"""The clients for Node.js of `tests/node`, installed once for all tests, and programs that send with them."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"
INSTALL_S_MAX = 240.0  # 10 s on an idle machine
END_S_MAX = 60.0


@functools.cache
def node() -> str:
    """The program that runs JavaScript, beside which the clients lie; the test skips where there is none."""
    programs = [shutil.which(name) for name in ("node", "npm")]
    if None in programs:
        pytest.skip("node or npm is missing: apt-get install nodejs npm")
    program, npm = map(str, programs)
    lock = FOLDER / "package-lock.json"
    installed = FOLDER / "node_modules" / ".installed"
    with lock.open("rb") as wanted:
        fcntl.flock(wanted, fcntl.LOCK_EX)  # the other workers want the same
        pins = wanted.read()
        if not installed.exists() or installed.read_bytes() != pins:
            done = subprocess.run(
                [npm, "ci"], cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False
            )
            assert done.returncode == 0, f"npm ci: {done.stderr}"
            installed.write_bytes(pins)
    return program


@dataclass(frozen=True)
class Sender:
    """A program that hands orders to its client."""

    process: subprocess.Popen[str]

    def end(self) -> tuple[int, set[int]]:
        """Let it send what is left and end: how many orders there were, and the numbers of those it says it lost."""
        answer, _ = self.process.communicate(timeout=END_S_MAX)
        assert self.process.returncode == 0
        told = json.loads(answer)
        return told["sent"], set(told["lost"])


@contextmanager
def sender(script: str, address: str, **environment: str) -> Iterator[Sender]:
    """Run `tests/node/<script>.mjs`."""
    with subprocess.Popen(
        [node(), str(FOLDER / f"{script}.mjs")],
        env=os.environ | {"ADDRESS": address} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Sender(process)
        finally:
            process.kill()
