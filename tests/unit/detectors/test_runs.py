"""Extremes come in runs, and a run counts once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from detectors.detector import SCORES
from detectors.runs import Runs

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def units(*rows: tuple[str, float, float]) -> pl.DataFrame:
    """SCORES of (stream, minutes after T0, score)."""
    given = pl.DataFrame(rows, schema=["stream", "minute", "score"], orient="row")
    start = pl.Series("start", [T0 + timedelta(minutes=minute) for minute in given["minute"]], dtype=SCORES["start"])
    return given.select("stream", "score").with_columns(start)


def begins(runs: Runs, *rows: tuple[str, float, float]) -> list[bool]:
    return list(map(bool, runs.begins(units(*rows), np.ones(len(rows), np.bool_), 900.0)))


def test_of_a_flood_one_unit_counts() -> None:
    assert begins(Runs(), *(("web", minute / 10, 4.0) for minute in range(100))).count(True) == 1


def test_the_strongest_of_a_moment_counts_and_a_stronger_one_later_too() -> None:
    assert begins(Runs(), ("web", 0, 3.0), ("web", 0, 5.0), ("web", 1, 4.0), ("web", 2, 6.0)) == [
        False,
        True,
        False,
        True,
    ]


def test_after_a_pause_a_new_run_begins() -> None:
    assert begins(Runs(), ("web", 0, 5.0), ("web", 14, 4.0), ("web", 30, 4.0)) == [True, False, True]


def test_streams_have_runs_of_their_own() -> None:
    assert begins(Runs(), ("web", 0, 5.0), ("auth", 0, 5.0)) == [True, True]


def test_a_run_goes_on_in_the_next_batch_and_after_a_restart() -> None:
    runs = Runs()
    begins(runs, ("web", 0, 5.0))
    again = Runs(runs.words())
    assert begins(again, ("web", 5, 4.0)) == [False]


def test_what_is_not_extreme_is_left_alone() -> None:
    runs = Runs()
    mask = runs.begins(units(("web", 0, 5.0), ("web", 1, 0.1)), np.array([False, True]), 900.0)
    assert mask.tolist() == [False, True]
