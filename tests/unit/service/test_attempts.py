from pathlib import Path

import pytest

from service.attempts import Attempts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "attempts.json"


def test_a_step_that_kills_the_process_is_counted_over_restarts(file: Path) -> None:
    assert [Attempts(file).begin(7, 5).count for _ in range(3)] == [1, 2, 3]


def test_more_entries_that_arrived_meanwhile_do_not_make_it_another_step(file: Path) -> None:
    Attempts(file).begin(7, 5)
    assert Attempts(file).begin(7, 50).count == 2


def test_its_first_entry_alone_is_another_step(file: Path) -> None:
    Attempts(file).begin(7, 5)
    assert Attempts(file).begin(7, 1).count == 1


def test_a_step_that_was_survived_counts_no_more(file: Path) -> None:
    attempts = Attempts(file)
    attempts.begin(7, 5)
    attempts.survived()
    assert attempts.begin(7, 5).count == 1
    assert Attempts(file).begin(12, 5).count == 1


def test_half_a_file_begins_the_count_again(file: Path) -> None:
    file.write_bytes(b"[7, 5")
    assert Attempts(file).begin(7, 5).count == 1


def test_where_nothing_can_be_written_it_counts_within_the_process(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    attempts = Attempts(tmp_path / "state" / "attempts.json")
    assert [attempts.begin(7, 5).count for _ in range(2)] == [1, 2]
    attempts.survived()
    assert attempts.begin(7, 5).count == 1
