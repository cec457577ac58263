"""Where findings begin, and how grave they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from detectors.detector import SCORES
from detectors.judge import Cut, cut_for, is_abnormal, judge, severity
from detectors.novelty.detector import NoveltyDetector

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_budget_is_shared_by_the_detectors_and_spent_in_normal_times() -> None:
    cut = cut_for(10, 100_000, 2)
    assert cut.p_value * 100_000 * 2 == pytest.approx(10)


def test_sparse_data_never_make_a_unit_abnormal_that_one_in_200_would_beat() -> None:
    assert cut_for(1000, 10, 1).p_value == 0.005


def test_what_is_beyond_everything_seen_is_told_however_small_the_budget() -> None:
    assert cut_for(0.1, 10_000, 2, units=999).p_value == pytest.approx(1 / 1000)
    assert cut_for(0.1, 10_000, 2, units=9).p_value == 0.005


def test_severity_is_40_at_the_cut_and_10_more_for_every_factor_of_ten() -> None:
    cut = Cut(p_value=1e-3)
    assert [severity(p, cut) for p in (1e-3, 1e-4, 1e-5, 1e-12, 0.0)] == [40, 50, 60, 100, 100]


def test_the_cut_itself_is_abnormal() -> None:
    assert is_abnormal(np.array([1e-3, 1.1e-3]), Cut(p_value=1e-3)).tolist() == [True, False]


def units(count: int) -> pl.DataFrame:
    """SCORES of as many units of one stream, the later the stronger."""
    times = [T0 + timedelta(seconds=number) for number in range(count)]
    rows = {
        "unit": [f"new line: {number}" for number in range(count)],
        "stream": ["app"] * count,
        "entities": [["user:eve"]] * count,
        "template_ids": [["t"]] * count,
        "start": times,
        "end": times,
        "score": [float(number) for number in range(count)],
        "event_ids": [[f"e{number}"] for number in range(count)],
    }
    return pl.DataFrame(rows, schema=SCORES)


def test_the_strongest_findings_of_a_batch_are_kept_and_carry_the_traces_of_their_events() -> None:
    scores = units(50)
    p_values = 1.0 / (1.0 + np.arange(50.0)) / 1000
    traced = pl.DataFrame({"event_id": ["e49", "e48"], "trace_id": ["t1", None]})
    found = judge(NoveltyDetector(), "acme", scores, p_values, Cut(p_value=1e-3, findings_max=3), traced)
    assert [finding.event_ids for finding in found] == [("e49",), ("e48",), ("e47",)]
    assert [finding.trace_ids for finding in found] == [("t1",), (), ()]
    assert found[0].severity > found[1].severity - 1


def test_the_same_unit_at_the_same_time_is_the_same_finding() -> None:
    scores, p_values = units(1), np.array([1e-6])
    first, again = (judge(NoveltyDetector(), "acme", scores, p_values, Cut(p_value=1e-3)) for _ in range(2))
    assert first == again
    (other,) = judge(NoveltyDetector(), "other", scores, p_values, Cut(p_value=1e-3))
    assert other.finding_id != first[0].finding_id
