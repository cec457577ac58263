from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cramjam
import orjson
import polars as pl
import pytest
from rich.console import Console

from service.scan import ScanOptions, ScanResult, scan
from service.scan_input import stream_of
from service.scan_report import print_report
from tocsin.errors import InputError

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
START = datetime(2026, 11, 24, 6, tzinfo=UTC)
USERS = ("ann", "bob", "cid", "dee")
ODD = "kernel module rootkit loaded by user mallory from 203.0.113.9"


def ordinary(count: int, *, begin: datetime = START) -> list[str]:
    """Lines of the same four users, ten seconds apart."""
    return [
        line(
            begin + timedelta(seconds=10 * number),
            f"session opened for user {USERS[number % 4]} from 10.0.0.{number % 4}",
        )
        for number in range(count)
    ]


def line(at: datetime, message: str) -> str:
    return orjson.dumps({"time": at.isoformat(), "message": message}).decode()


def with_odd(count: int = 2000, place: int = 1500) -> list[str]:
    lines = ordinary(count)
    lines[place] = line(START + timedelta(seconds=10 * place), ODD)
    return lines


def written(path: Path, lines: Sequence[str]) -> str:
    path.write_text("".join(f"{each}\n" for each in lines))
    return str(path)


def scanned(*paths: str, **options: object) -> ScanResult:
    return scan(paths, ScanOptions(**options), now=NOW)  # type: ignore[arg-type]  # as the test wants


def shown(result: ScanResult) -> str:
    out = io.StringIO()
    print_report(result, Console(file=out))
    return out.getvalue()


def test_what_never_happened_before_is_an_incident_with_its_line_number(tmp_path: Path) -> None:
    result = scanned(written(tmp_path / "auth.log", with_odd()))
    [incident] = result.document()["incidents"]
    assert incident["findings"][0]["lines"] == [1501]
    assert "user:mallory" in incident["entities"]


def test_the_document_has_the_promised_keys(tmp_path: Path) -> None:
    document = scanned(written(tmp_path / "auth.log", with_odd())).document()
    assert list(document) == ["lines", "streams", "incidents"]
    assert (document["lines"], document["streams"]) == (2000, ["auth"])
    [incident] = document["incidents"]
    assert list(incident) == [
        "incident_id",
        "severity",
        "title",
        "start_at",
        "end_at",
        "detectors",
        "entities",
        "findings",
    ]
    assert list(incident["findings"][0]) == ["detector", "severity", "p_value", "summary", "lines"]
    orjson.dumps(document)


def test_every_line_has_a_score_and_the_odd_one_the_highest(tmp_path: Path) -> None:
    lines = with_odd()
    lines[1200] = ""
    result = scanned(written(tmp_path / "auth.log", lines))
    result.write_scores(tmp_path / "scores.csv")
    scores = pl.read_csv(tmp_path / "scores.csv")
    assert scores.columns == ["line", "score"]
    assert scores["line"].to_list() == list(range(1, 2001))
    assert scores["score"].arg_max() == 1500
    assert scores["score"].head(999).max() == 0.0


def test_the_same_input_gives_the_same_document(tmp_path: Path) -> None:
    path = written(tmp_path / "auth.log", with_odd())
    assert scanned(path).document() == scanned(path).document()


def test_where_nothing_is_unusual_one_sentence_says_so(tmp_path: Path) -> None:
    result = scanned(written(tmp_path / "auth.log", ordinary(2000)))
    assert result.incidents == ()
    text = shown(result)
    assert text.count("\n") == 1
    assert text.startswith("Nothing unusual in the 1,000 events watched")


def test_an_incident_is_shown_with_title_time_entity_and_the_line_itself(tmp_path: Path) -> None:
    text = shown(scanned(written(tmp_path / "auth.log", with_odd())))
    assert "2026-11-24 10:10:00" in text
    assert "user mallory" in text
    assert f"1501  {ODD}" in text
    assert "1 incident in" in text
    assert "lines/s)" in text


def test_escapes_in_a_line_do_not_reach_the_terminal(tmp_path: Path) -> None:
    lines = with_odd()
    lines[1500] = line(START + timedelta(seconds=15_000), f"\x1b]0;owned\x07{ODD}\x1b[31m")
    text = shown(scanned(written(tmp_path / "auth.log", lines)))
    assert "\x1b" not in text
    assert "rootkit" in text


def test_lines_are_numbered_through_all_files_and_taken_in_time_order(tmp_path: Path) -> None:
    lines = with_odd()
    second, first = lines[1000:], lines[:1000]
    result = scanned(written(tmp_path / "b.log", second), written(tmp_path / "a.log", first))
    assert result.streams == ("a", "b")
    assert result.lines == 2000
    odd = [each for each in result.document()["incidents"] if 501 in each["findings"][0]["lines"]]
    assert len(odd) == 1


def test_compressed_files_are_read(tmp_path: Path) -> None:
    content = "\n".join(with_odd()).encode()
    (tmp_path / "auth.log.gz").write_bytes(gzip.compress(content))
    (tmp_path / "auth.log.zst").write_bytes(bytes(cramjam.zstd.compress(content)))
    expected = scanned(written(tmp_path / "auth.log", with_odd())).document()
    assert scanned(str(tmp_path / "auth.log.gz")).document() == expected
    assert scanned(str(tmp_path / "auth.log.zst")).document() == expected


def test_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "auth.log", with_odd())
    with Path(path).open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        result = scanned("-")
    assert (result.streams, len(result.incidents)) == (("stdin",), 1)


def test_a_file_larger_than_what_is_read_at_once_keeps_its_line_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.scan_input._CHUNK_BYTES", 20_000)
    result = scanned(written(tmp_path / "auth.log", with_odd()))
    assert result.document()["incidents"][0]["findings"][0]["lines"] == [1501]


def test_csv_rows_are_numbered_by_their_lines_with_the_header_as_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [orjson.loads(each) for each in with_odd()]
    path = written(tmp_path / "auth.csv", ["time,message", *(f"{row['time']},{row['message']}" for row in rows)])
    for size in (4 * 2**20, 20_000):
        monkeypatch.setattr("service.scan_input._CHUNK_BYTES", size)
        result = scanned(path)
        assert result.document()["incidents"][0]["findings"][0]["lines"] == [1502]
        assert result.lines == 2001


def test_lines_without_a_time_follow_the_line_before_them(tmp_path: Path) -> None:
    lines = with_odd()
    lines[1500] = orjson.dumps({"message": ODD}).decode()
    [incident] = scanned(written(tmp_path / "auth.log", lines)).incidents
    assert incident.incident.opened_at == START + timedelta(seconds=14_990)


def test_a_file_without_times_is_scanned_and_says_what_was_assumed(tmp_path: Path) -> None:
    lines = [orjson.loads(each)["message"] for each in with_odd()]
    result = scanned(written(tmp_path / "auth.log", lines))
    assert result.document()["incidents"][0]["findings"][0]["lines"] == [1501]
    assert "no time was found" in shown(result)


def test_lines_that_cannot_be_read_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = with_odd()
    lines[10] = "{broken"
    result = scanned(written(tmp_path / "auth.log", lines))
    assert result.document()["incidents"][0]["findings"][0]["lines"] == [1501]
    assert "1 lines could not be read" in shown(result)


def test_with_a_budget_of_nothing_nothing_is_found(tmp_path: Path) -> None:
    assert scanned(written(tmp_path / "auth.log", with_odd()), budget_per_day=0).incidents == ()


def test_the_whole_file_can_be_watched_without_learning_first(tmp_path: Path) -> None:
    result = scanned(written(tmp_path / "auth.log", with_odd()), train_fraction=0.0)
    assert (result.trained, result.watched) == (0, 2000)
    assert 1501 in result.document()["incidents"][0]["findings"][0]["lines"]


def bad_input(folder: Path) -> dict[str, tuple[str, str]]:
    """Path and what the message says."""
    (folder / "empty.log").touch()
    (folder / "binary.log").write_bytes(os.urandom(50_000))
    (folder / "latin.log").write_bytes("\n".join(["caf\xe9 ouvert"] * 300).encode("latin-1"))
    (folder / "wide.log").write_bytes("\n".join(["hello there"] * 300).encode("utf-16"))
    whole = gzip.compress("\n".join(with_odd()).encode())
    (folder / "cut.log.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.log.zst").write_bytes(bytes(cramjam.zstd.compress(b"hello\n" * 9999))[:-9])
    (folder / "fake.log.gz").write_bytes(b"\x1f\x8bno gzip at all")
    (folder / "blank.log").write_text("\n\n\n")
    return {
        "missing": ("missing.log", "No such file"),
        "folder": (".", "Is a directory"),
        "empty": ("empty.log", "it is empty"),
        "binary": ("binary.log", "a binary file (a zero byte at position"),
        "latin": ("latin.log", "not UTF-8 (line 1)"),
        "wide": ("wide.log", "UTF-16"),
        "cut": ("cut.log.gz", "damaged compression"),
        "cut zstd": ("cut.log.zst", "cut short"),
        "fake": ("fake.log.gz", "damaged compression"),
        "blank": ("blank.log", "no line could be read"),
    }


@pytest.mark.parametrize(
    "what", ["missing", "folder", "empty", "binary", "latin", "wide", "cut", "cut zstd", "fake", "blank"]
)
def test_bad_input_is_one_clear_line_that_names_the_file(tmp_path: Path, what: str) -> None:
    name, words = bad_input(tmp_path)[what]
    path = str(tmp_path / name)
    with pytest.raises(InputError) as caught:
        scanned(path)
    assert str(caught.value).startswith(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"), [("train_fraction", 1.0), ("train_fraction", -0.1), ("budget_per_day", -1)]
)
def test_options_that_cannot_be_meant_are_refused(option: str, value: float) -> None:
    with pytest.raises(InputError, match="--"):
        ScanOptions(**{option: value})  # type: ignore[arg-type]  # as the test wants


@pytest.mark.parametrize(
    ("path", "stream"),
    [
        ("-", "stdin"),
        ("/var/log/auth.log", "auth"),
        ("syslog.2.gz", "syslog"),
        ("a b\u00e9.json.zst", "a_b_"),
        ("access.log-20261124", "access.log-20261124"),
        ("...", "file"),
    ],
)
def test_a_stream_is_named_after_its_file(path: str, stream: str) -> None:
    assert stream_of(path) == stream
