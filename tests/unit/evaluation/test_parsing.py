"""The evaluation of parsing: its measures, and that ours is no worse than plain drain3 on real logs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evaluation.parsing import evaluate
from evaluation.templates import Found, fga, fta, grouping_accuracy, measures, normal, parsing_accuracy
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


def test_a_template_counts_only_when_it_reads_as_the_true_one() -> None:
    truth = ["a <*>", "a <*>", "b", "c"]
    assert parsing_accuracy(truth, truth) == fta(truth, truth) == 1.0
    assert parsing_accuracy(["a <*>", "a <*>", "b", "b"], truth) == pytest.approx(3 / 4)
    assert fta(["a <*>", "a <*>", "b", "b"], truth) == pytest.approx(2 * 1 / (2 + 3))  # b has lines of c too
    assert fta(["a <*>", "a x", "b", "c"], truth) == pytest.approx(2 * 3 / (4 + 3))
    found = Found([1, 1, 2, 3], {1: "a <IP>", 2: "b", 3: "<*>"})
    expected = {"grouping_accuracy": 1.0, "fga": 1.0, "parsing_accuracy": 3 / 4, "fta": 2 * 2 / (3 + 3)}
    assert measures(found, truth) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a  <IP>   b", "a <*> b"),
        ("<IP>:<NUM> open", "<*> open"),
        ("took 15 ms", "took <*> ms"),
        ("core.0 and core<*>kb", "core.<*> and <*>"),
        ("<*>.<*>#<*>/<*>@<*>", "<*>"),
        ("/a/<*> is kept", "/a/<*> is kept"),
        ("name \"<*>\" of '<*>' here", "name <*> of <*> here"),
        ("job #<*># and #<NUM> left", "job <*> and <*> left"),
        ("<ok> and <*> <*>", "<ok> and <*> <*>"),
    ],
)
def test_templates_are_compared_after_the_corrections_of_loghub_2(template: str, expected: str) -> None:
    assert normal(template) == expected
    assert normal(expected) == expected


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="loghub_2k"):
        evaluate(tmp_path)


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "logs/loghub_2k").is_dir(), reason="loghub_2k is not here (TOCSIN_DATA)")
def test_lines_are_grouped_better_than_by_plain_drain3() -> None:
    rows = evaluate(DATA)
    assert all(row.keys() == ROW for row in rows)
    assert len({row["dataset"] for row in rows}) == 18
    means = {
        (row["method"], row["split"], row["metric"]): row
        for row in rows
        if row["dataset"] == "loghub_2k/mean" and row["value"] is not None
    }
    hand_made = means["drain3", "content, first truth", "grouping_accuracy"]["published"]
    assert hand_made == 0.865
    assert means["tocsin", "content, first truth", "grouping_accuracy"]["value"] > hand_made + 0.04
    least = {"grouping_accuracy": hand_made + 0.05, "fga": 0.9, "parsing_accuracy": 0.75, "fta": 0.73}
    for split in ("raw", "content"):
        for metric, bound in least.items():
            value = means["tocsin", split, metric]["value"]
            assert value > bound
            assert value > means["drain3", split, metric]["value"] + 0.1
            assert value > means["drain3, example masks", split, metric]["value"] + 0.1
