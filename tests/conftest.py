"""Databases for tests: a SQLite file each, or a database each of a PostgreSQL server that this process starts."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import create_engine, text

settings.register_profile("tocsin", deadline=None)  # a busy machine is no failure; pytest-timeout ends what hangs
settings.load_profile("tocsin")

_numbers = itertools.count()


def _programs() -> Path | None:
    """Where PostgreSQL's server programs are; the newest version wins."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


def _as_server(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    plain = [str(part) for part in command]
    if os.geteuid() != 0:
        return plain
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *plain]


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a private server, without a database; skipped where its programs are missing."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs are missing: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="tocsin-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data, port = folder / "data", _free_port()
    settings = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c max_connections=200 -c shared_buffers=32MB"
    start = _as_server(
        programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-t", "120", "-o", settings, "start"
    )
    stop = _as_server(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    try:
        make = _as_server(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        _run([*make, "--locale=C"])
        _run(start)
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}"
        finally:
            _run(stop)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database that is dropped after the test."""
    name = f"tocsin_{next(_numbers)}"
    driver = postgres_server.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(f"{driver}/postgres", isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield f"{postgres_server}/{name}"
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tocsin.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes do not name a test: compressed ones hold the time, and all workers must know it by one name."""
    return argname if isinstance(val, bytes) else None
