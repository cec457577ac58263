"""The evaluation of parsing: its measures, and that ours is no worse than plain drain3 on real logs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evaluation.parsing import evaluate, fga, grouping_accuracy
from tocsin.errors import InputError

DATA = Path(os.environ.get("TOCSIN_DATA", "../shared/data"))
ROW = {"dataset", "split", "method", "ours", "default", "metric", "value", "spread", "seeds", "published"}


def test_a_group_counts_only_when_it_is_whole_and_pure() -> None:
    truth = ["a", "a", "b", "b", "c"]
    assert grouping_accuracy(truth, truth) == fga(truth, truth) == 1.0
    assert grouping_accuracy([1, 1, 2, 3, 4], truth) == pytest.approx(3 / 5)
    assert grouping_accuracy([1, 1, 1, 1, 4], truth) == pytest.approx(1 / 5)
    assert fga([1, 1, 1, 1, 4], truth) == pytest.approx(2 * 1 / (2 + 3))
    assert grouping_accuracy([1, 1, 1, 1, 1], truth) == fga([1] * 5, truth) == 0.0


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="loghub_2k"):
        evaluate(tmp_path)


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "logs/loghub_2k").is_dir(), reason="loghub_2k is not here (TOCSIN_DATA)")
def test_lines_are_grouped_better_than_by_plain_drain3() -> None:
    rows = evaluate(DATA)
    assert all(row.keys() == ROW for row in rows)
    assert len({row["dataset"] for row in rows}) == 17
    means = {
        (row["split"], row["method"], row["metric"]): row["value"] for row in rows if row["dataset"] == "loghub_2k/mean"
    }
    for split in ("raw", "content"):
        for metric in ("grouping_accuracy", "fga"):
            assert means[split, "tocsin", metric] > means[split, "drain3", metric]
    assert means["raw", "tocsin", "grouping_accuracy"] > 0.78
    assert means["raw", "tocsin", "fga"] > 0.78
