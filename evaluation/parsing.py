"""How well lines are grouped into templates: our parser and plain drain3 on the sixteen systems of loghub.

Grouping accuracy (GA, Zhu et al., ICSE-SEIP 2019): the share of lines whose group is exactly a group of the truth.
FGA (Jiang et al., ISSTA 2024): the F1 of groups, found ones that are exactly true ones, so that rare templates count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from ingest.batch import Batch
from ingest.parse import Parser
from ingest.templates import plain_drain
from tocsin.errors import InputError
from tocsin.record import LINES, TIME

_OBSERVED = datetime(2025, 1, 1, tzinfo=UTC)  # after every line of the samples
_BATCH_LINES = 500

# Grouping accuracy of Drain's research code, with patterns and thresholds made by hand for each system (Zhu et al.).
_PUBLISHED = {
    "Android": 0.911,
    "Apache": 1.0,
    "BGL": 0.963,
    "HDFS": 0.998,
    "HPC": 0.887,
    "Hadoop": 0.948,
    "HealthApp": 0.780,
    "Linux": 0.690,
    "Mac": 0.787,
    "OpenSSH": 0.788,
    "OpenStack": 0.733,
    "Proxifier": 0.527,
    "Spark": 0.920,
    "Thunderbird": 0.955,
    "Windows": 0.997,
    "Zookeeper": 0.967,
    "mean": 0.865,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system's sample."""

    name: str
    raw: list[str]  # lines as they were written
    content: list[str]  # the same without their headers, cut by hand
    truth: list[str]  # the template of each line


def evaluate(data: Path) -> list[dict[str, Any]]:
    """Rows of `tocsin evaluate parsing`: each system, then their mean.

    Every parser reads each sample twice: `raw` lines, as a user sends them, and their `content`, cut out by hand, which
    is what parsers are usually measured on. Nothing is tuned for a system, other than in the published figures.

    Args:
        data: the folder with labelled data sets.

    Raises:
        InputError: the folder does not hold the samples.
    """
    measured = [
        (system.name, split, method, metric, score(groups, system.truth))
        for system in systems(data)
        for split, lines in (("raw", system.raw), ("content", system.content))
        for method, groups in (("tocsin", our_groups(lines)), ("drain3", plain_drain(lines)))
        for metric, score in _METRICS.items()
    ]
    totals: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for _, split, method, metric, value in measured:
        totals[split, method, metric].append(value)
    means = [("mean", *key, sum(values) / len(values)) for key, values in totals.items()]
    return [_row(*measurement) for measurement in (*measured, *means)]


def systems(data: Path) -> Iterator[System]:
    """The samples with their corrected templates.

    Raises:
        InputError: there are none.
    """
    folders = sorted(path for path in (data / "logs" / "loghub_2k").glob("*") if path.is_dir())
    if not folders:
        raise InputError(f"{data / 'logs' / 'loghub_2k'}: no samples of loghub_2k here")
    for folder in folders:
        raw = (folder / f"{folder.name}_2k.log").read_bytes().decode("utf-8", "replace").split("\n")
        table = pl.read_csv(folder / f"{folder.name}_2k.log_structured_corrected.csv.gz", infer_schema=False)
        yield System(
            name=folder.name,
            raw=[line.rstrip("\r") for line in raw[: len(table)]],
            content=table["Content"].fill_null("").to_list(),
            truth=table["EventTemplate"].to_list(),
        )


def our_groups(lines: Sequence[str]) -> list[str]:
    """Template ids that our parser gives, in batches as they would arrive."""
    parser = Parser()
    groups: list[str] = []
    for place in range(0, len(lines), _BATCH_LINES):
        bodies = list(lines[place : place + _BATCH_LINES])
        columns: dict[str, Sequence[object]] = dict.fromkeys(LINES, [None] * len(bodies))
        columns |= {"position": range(len(bodies)), "body": bodies}
        # One time for all, so that the records keep the order of the lines
        frame = pl.DataFrame(columns, schema=LINES).with_columns(pl.lit(_OBSERVED).cast(TIME).alias("time"))
        batch = Batch(
            tenant="default", stream="sample", observed_time=_OBSERVED, identity=None, fingerprint="", lines=frame
        )
        groups += parser.parse(batch, place)["template_id"].to_list()
    return groups


def grouping_accuracy(found: Sequence[object], truth: Sequence[object]) -> float:
    """Share of lines whose group is exactly a group of the truth.

    >>> grouping_accuracy([1, 1, 2, 3], ["a", "a", "b", "b"])
    0.5
    """
    sizes_found, _, right = _compared(found, truth)
    return sum(sizes_found[group] for group in right) / len(found)


def fga(found: Sequence[object], truth: Sequence[object]) -> float:
    """F1 of the groups.

    >>> fga([1, 1, 2, 3], ["a", "a", "b", "b"])
    0.4
    """
    sizes_found, sizes_true, right = _compared(found, truth)
    return 2 * len(right) / (len(sizes_found) + len(sizes_true))


def _compared(
    found: Sequence[object], truth: Sequence[object]
) -> tuple[Counter[object], Counter[object], list[object]]:
    """Sizes of the groups found, of the true ones, and the found ones that are exactly true ones."""
    sizes_found, sizes_true = Counter(found), Counter(truth)
    shared = Counter(zip(found, truth, strict=True))
    right = [one for (one, other), size in shared.items() if size == sizes_found[one] == sizes_true[other]]
    return sizes_found, sizes_true, right


_METRICS: dict[str, Callable[[Sequence[object], Sequence[object]], float]] = {
    "grouping_accuracy": grouping_accuracy,
    "fga": fga,
}


def _row(system: str, split: str, method: str, metric: str, value: float) -> dict[str, Any]:
    is_published = method == "drain3" and split == "content" and metric == "grouping_accuracy"
    return {
        "dataset": f"loghub_2k/{system}",
        "split": split,
        "method": method,
        "ours": method == "tocsin",
        "default": method == "tocsin",
        "metric": metric,
        "value": round(value, 4),
        "spread": None,  # nothing is random
        "seeds": 1,
        "published": _PUBLISHED.get(system) if is_published else None,
    }
