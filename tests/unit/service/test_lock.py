"""One process owns a part of a data folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.lock import owned, owner_of
from tocsin.errors import LockedError, StorageError


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with owned(tmp_path, "api"), pytest.raises(LockedError, match=f"process {os.getpid()} runs the api"):
        owned(tmp_path, "api").__enter__()


def test_the_parts_of_a_folder_are_owned_separately(tmp_path: Path) -> None:
    with owned(tmp_path, "api"), owned(tmp_path, "worker"):
        assert owner_of(tmp_path, "api") == owner_of(tmp_path, "worker") == os.getpid()


def test_what_was_given_back_can_be_owned_again(tmp_path: Path) -> None:
    with owned(tmp_path, "api"):
        pass
    assert owner_of(tmp_path, "api") is None
    with owned(tmp_path, "api"):
        pass


def test_a_process_that_was_killed_owns_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from service.lock import owned\n"
        "with owned(pathlib.Path(sys.argv[1]), 'worker'): print('mine', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"mine\n"
        assert owner_of(tmp_path, "worker") == process.pid
        process.kill()
        process.wait()
        with owned(tmp_path, "worker"):
            assert owner_of(tmp_path, "worker") == os.getpid()


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="lock-api: cannot be written: No such file"):
        owned(tmp_path / "none", "api").__enter__()
