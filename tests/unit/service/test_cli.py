"""The command line: what it prints where, and its exit status."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.build import opened_store
from service.cli import main
from service.settings import Settings


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Tocsin = Callable[..., Ended]


@pytest.fixture
def tocsin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Tocsin]:
    """Runs the command in this process, in a folder of its own."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tocsin", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        try:
            status = main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Ended(status, *capsys.readouterr())

    yield run
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder that was used before."""
    folder = tmp_path / "data"
    folder.mkdir()
    with opened_store(Settings(data=folder)):
        pass
    return folder


def test_help_and_version_start_without_the_heavy_libraries() -> None:
    code = (
        "import sys, service.cli; print(sorted({'polars', 'torch', 'duckdb', 'fastapi', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_version_is_told(tocsin: Tocsin) -> None:
    ended = tocsin("--version")
    assert (ended.status, ended.out.split()[0]) == (0, "tocsin")


@pytest.mark.parametrize(
    "words",
    [
        ("demo",),
        ("run",),
        ("scan",),
        ("ship",),
        ("sql",),
        ("doctor",),
        ("evaluate",),
        ("bench",),
        ("key", "create"),
        ("key", "list"),
        ("key", "revoke"),
        ("webhook", "add"),
        ("webhook", "list"),
        ("webhook", "test"),
        ("webhook", "replay"),
        ("config", "check"),
    ],
    ids=" ".join,
)
def test_every_command_explains_itself_with_an_example(tocsin: Tocsin, words: tuple[str, ...]) -> None:
    ended = tocsin(*words, "--help")
    assert ended.status == 0
    assert f"Example: tocsin {' '.join(words)}" in " ".join(ended.out.split())


def test_an_unknown_command_is_bad_usage(tocsin: Tocsin) -> None:
    assert tocsin("sing").status == 2


def test_an_error_of_ours_is_one_line_without_a_trace(tocsin: Tocsin) -> None:
    ended = tocsin("config", "check", "--config", "none.toml")
    assert ended == Ended(2, "", "tocsin: none.toml: cannot be read: No such file or directory\n")


@pytest.mark.parametrize(("command", "known"), [("evaluate", "parsing"), ("bench", "e2e")])
def test_an_unknown_study_lists_those_that_are_known(tocsin: Tocsin, command: str, known: str) -> None:
    ended = tocsin(command, "nonsense")
    assert ended.status == 2
    assert "'nonsense'" in ended.err
    assert known in ended.err


def test_a_role_that_is_none_is_refused(tocsin: Tocsin) -> None:
    assert tocsin("run", "--role", "boss").err == "tocsin: --role: 'boss' is none of all, api, worker\n"


def test_config_check_prints_every_setting_with_its_origin(
    tocsin: Tocsin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOCSIN__API__PORT", "9000")
    monkeypatch.setenv("TOCSIN__STORE__URL", "postgresql://me:hunter2@db/x")
    ended = tocsin("config", "check", "--data", tmp_path)
    lines = ended.out.splitlines()
    assert ended.status == 0
    assert "api.port = 9000  # environment TOCSIN__API__PORT" in lines
    assert 'api.host = "127.0.0.1"  # default' in lines
    assert f'data = "{tmp_path}"  # flag' in lines
    assert 'store.url = "postgresql://me:***@db/x"  # environment TOCSIN__STORE__URL' in lines
    assert "hunter2" not in ended.out + ended.err
    rows = {row["key"]: row for row in tocsin("config", "check", "--json").json["settings"]}
    assert rows["api.port"]["value"] == "9000"


def test_a_key_is_shown_once_and_only_its_hash_is_kept(tocsin: Tocsin, data: Path) -> None:
    made = tocsin("key", "create", "--data", data, "--scope", "ingest", "--scope", "read", "--name", "web", "--json")
    key = made.json["key"]
    listed = tocsin("key", "list", "--data", data)
    assert "ingest,read" in listed.out
    assert "web" in listed.out
    secret = key.rpartition("_")[2]
    assert secret not in listed.out + listed.err
    assert not any(secret.encode() in file.read_bytes() for file in data.rglob("*") if file.is_file())


def test_the_key_alone_is_on_standard_output(tocsin: Tocsin, tmp_path: Path) -> None:
    made = tocsin("key", "create", "--data", tmp_path / "new")
    assert made.status == 0
    assert made.out.startswith("tocsin_")
    assert made.out.count("\n") == 1
    assert "shown this once" in made.err


def test_a_key_is_revoked_once(tocsin: Tocsin, data: Path) -> None:
    key_id = tocsin("key", "create", "--data", data, "--json").json["key_id"]
    assert tocsin("key", "revoke", key_id, "--data", data).status == 0
    assert tocsin("key", "revoke", key_id, "--data", data).status == 2
    (row,) = tocsin("key", "list", "--data", data, "--json").json["keys"]
    assert row["revoked_at"] is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scope", "root"), "--scope: 'root' is none of ingest, read, query, admin"),
        (("--tenant", "../x"), "--tenant: '../x': 1 to 64 of a-z"),
        (("--expires-days", "0"), "--expires-days: has to be more than 0"),
    ],
)
def test_a_key_that_cannot_be_meant_is_refused(
    tocsin: Tocsin, data: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = tocsin("key", "create", "--data", data, *arguments)
    assert ended.status == 2
    assert message in ended.err


@pytest.mark.parametrize("words", [("key", "list"), ("webhook", "list"), ("sql", "SELECT 1")], ids=" ".join)
def test_a_data_folder_that_is_not_there_is_not_made(tocsin: Tocsin, tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = tocsin(*words, "--data", tmp_path / "none")
    assert (ended.status, ended.err) == (2, f"tocsin: {tmp_path / 'none'}: there is no such data folder (--data)\n")
    assert not (tmp_path / "none").exists()


def test_a_webhook_is_added_and_listed_without_its_secret(tocsin: Tocsin, data: Path) -> None:
    added = tocsin("webhook", "add", "https://example.com/x", "--data", data, "--severity-min", "50", "--json").json
    assert added["secret"].startswith("whsec_")
    listed = tocsin("webhook", "list", "--data", data)
    assert added["webhook_id"] in listed.out
    assert "https://example.com/x" in listed.out
    assert added["secret"] not in listed.out
    assert tocsin("webhook", "list", "--data", data, "--tenant", "other").out == ""


@pytest.mark.parametrize(
    ("receiver", "message"),
    [
        ("ftp://example.com", "url"),
        ("http://127.0.0.1:9/x", "url"),
        ("https://10.0.0.1/x", "url"),
    ],
)
def test_a_webhook_that_never_could_be_reached_is_refused(
    tocsin: Tocsin, data: Path, receiver: str, message: str
) -> None:
    ended = tocsin("webhook", "add", receiver, "--data", data)
    assert ended.status == 2
    assert message in ended.err.lower()
    assert "Traceback" not in ended.err


def test_a_test_of_a_webhook_that_nobody_sends_says_so(tocsin: Tocsin, data: Path) -> None:
    added = tocsin("webhook", "add", "https://example.com/x", "--data", data, "--json").json
    ended = tocsin("webhook", "test", added["webhook_id"], "--data", data, "--wait", "0")
    assert ended.status == 1
    assert "is the service running?" in ended.out
    assert tocsin("webhook", "test", "wh_none", "--data", data).status == 2
    assert tocsin("webhook", "replay", "99", "--data", data).status == 2


def test_sql_prints_a_table_csv_or_one_json_object(tocsin: Tocsin, data: Path) -> None:
    query = "SELECT 1 AS a, 'x,y' AS b UNION ALL SELECT 2, NULL ORDER BY a"
    assert tocsin("sql", query, "--data", data).out == "a  b\n1  x,y\n2  -\n"
    assert tocsin("sql", query, "--data", data, "--format", "csv").out == 'a,b\n1,"x,y"\n2,\n'
    assert tocsin("sql", query, "--data", data, "--format", "json").json == {
        "columns": ["a", "b"],
        "rows": [[1, "x,y"], [2, None]],
    }
    assert tocsin("sql", query, "--data", data, "--format", "xml").status == 2


def test_sql_that_would_change_something_is_refused(tocsin: Tocsin, data: Path) -> None:
    ended = tocsin("sql", "DROP TABLE incidents", "--data", data)
    assert ended.status == 2
    assert ended.err.startswith("tocsin: ")


def test_text_of_others_cannot_speak_to_the_terminal(tocsin: Tocsin, data: Path) -> None:
    out = tocsin("sql", "SELECT chr(27) || '[31mred' AS a", "--data", data).out
    assert "\x1b" not in out
    assert "red" in out


def test_sql_says_when_there_is_more(tocsin: Tocsin, data: Path) -> None:
    ended = tocsin("sql", "SELECT * FROM range(10)", "--data", data, "--limit", "3")
    assert ended.out.count("\n") == 4
    assert "more than 3 rows" in ended.err


def test_a_service_that_is_not_there_is_one_line(tocsin: Tocsin) -> None:
    ended = tocsin("sql", "SELECT 1", "--url", "http://127.0.0.1:9")
    assert ended.status == 2
    assert ended.err.startswith("tocsin: http://127.0.0.1:9: cannot connect")
    assert ended.err.count("\n") == 1


def test_a_key_is_read_from_a_file(tocsin: Tocsin, tmp_path: Path) -> None:
    ended = tocsin("sql", "SELECT 1", "--url", "http://127.0.0.1:9", "--key-file", tmp_path / "none")
    assert ended.err.startswith("tocsin: --key-file: ")


def test_scan_reads_files_and_prints_one_json_object(tocsin: Tocsin, tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("".join(f"2026-03-01T10:{n // 60:02}:{n % 60:02}Z worker {n} done\n" for n in range(600)))
    ended = tocsin("scan", log, "--json", "--scores-out", tmp_path / "scores.csv")
    assert ended.status == 0
    assert ended.json["lines"] == 600
    assert (tmp_path / "scores.csv").read_text().startswith("line,score\n")
    assert (tmp_path / "scores.csv").read_text().count("\n") == 601
    assert tocsin("scan", tmp_path / "none.log").status == 2
