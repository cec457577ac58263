"""`tocsin evaluate parsing`: our templates and drain3's on the sixteen systems of loghub, beside published figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from evaluation.drain import drain, masked
from evaluation.templates import Found, measures
from ingest.batch import Batch
from ingest.parse import Parser
from tocsin.errors import InputError
from tocsin.record import LINES, TIME, UNPARSED

_OBSERVED = datetime(2025, 1, 1, tzinfo=UTC)  # after every line of the samples
_BATCH_LINES = 500

# Grouping accuracy of Drain's research code, with patterns and thresholds made by hand for each system (Zhu et al.,
# ICSE-SEIP 2019).
_DRAIN = {
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


# Means as published: (data, parser) -> grouping accuracy, FGA, parsing accuracy, FTA. The first three parsers are from
# Jiang et al. (ISSTA 2024; 14 systems; Drain with patterns made by hand, the others learned from labelled lines); LILAC
# (FSE 2024) and LogBatcher (ASE 2024) ask a large language model. On loghub_2k they are of the first 2,000 lines of a
# system, on loghub_2.0 of 3.6 million.
_PUBLISHED = {
    ("loghub_2k", "drain"): (0.85, 0.74, 0.32, 0.28),
    ("loghub_2k", "uniparser"): (0.85, 0.74, 0.62, 0.28),
    ("loghub_2k", "logppt"): (0.76, 0.86, 0.71, 0.64),
    ("loghub_2.0", "drain"): (0.84, 0.55, 0.47, 0.28),
    ("loghub_2.0", "uniparser"): (0.66, 0.50, 0.68, 0.26),
    ("loghub_2.0", "logppt"): (0.56, 0.59, 0.76, 0.49),
    ("loghub_2.0", "lilac"): (0.927, 0.924, 0.842, 0.810),
    ("loghub_2.0", "logbatcher"): (0.950, 0.879, 0.882, 0.737),
}
_FIRST = "content, first truth"
_METRICS = ("grouping_accuracy", "fga", "parsing_accuracy", "fta")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system's sample."""

    name: str
    raw: list[str]  # lines as they were written
    content: list[str]  # the same without their headers, cut by hand
    truth: list[str]  # the template of each line
    first_truth: list[str]  # the same before loghub corrected them, which older figures are about


def evaluate(data: Path) -> list[dict[str, Any]]:
    """Rows of `tocsin evaluate parsing`: each system, then their mean, then means that were published.

    Every parser reads each sample twice: `raw` lines, as a user sends them, and their `content`, cut out by hand, which
    is what parsers are usually measured on. Nothing is tuned for a system, other than in the published figures.
    True templates leave the header out, so what a template of a `raw` line reads is right only without it. Older
    figures are about the templates as loghub had them first.

    Args:
        data: the folder with labelled data sets.

    Raises:
        InputError: the folder does not hold the samples.
    """
    measured = [
        (system.name, split, method, metric, value)
        for system in systems(data)
        for split, method, found in _found(system)
        for metric, value in measures(found, system.first_truth if split == _FIRST else system.truth).items()
    ]
    totals: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    for _, split, method, metric, value in measured:
        totals[split, method, metric].append(value)
    means = [("mean", *key, sum(values) / len(values)) for key, values in totals.items()]
    rows = [
        _row(f"loghub_2k/{name}", split, method, metric, value)
        for name, split, method, metric, value in (*measured, *means)
    ]
    for row in rows:
        if (row["split"], row["method"], row["metric"]) == (_FIRST, "drain3", "grouping_accuracy"):
            row["published"] = _DRAIN[row["dataset"].partition("/")[2]]
    return rows + [
        _row(f"{data_set}/mean", "content", f"{parser}, published", metric, None) | {"published": figure}
        for (data_set, parser), figures in _PUBLISHED.items()
        for metric, figure in zip(_METRICS, figures, strict=True)
    ]


def _found(system: System) -> Iterator[tuple[str, str, Found]]:
    """Split, method, and what it found."""
    for method, parse in _PARSERS.items():
        yield "raw", method, parse(system.raw)
        found = parse(system.content)
        yield "content", method, found
        yield _FIRST, method, found


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
        table = _table(folder, "structured_corrected")
        yield System(
            name=folder.name,
            raw=[line.rstrip("\r") for line in raw[: len(table)]],
            content=table["Content"].fill_null("").to_list(),
            truth=table["EventTemplate"].to_list(),
            first_truth=_table(folder, "structured")["EventTemplate"].to_list(),
        )


def _table(folder: Path, kind: str) -> pl.DataFrame:
    return pl.read_csv(folder / f"{folder.name}_2k.log_{kind}.csv.gz", infer_schema=False)


def ours(lines: Sequence[str]) -> Found:
    """Template ids that our parser gives, in batches as they would arrive."""
    parser = Parser()
    groups: list[str] = []
    texts: dict[object, str] = {}
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
        texts |= {template.template_id: template.text for template in parser.new_templates()}
    return Found(groups, {UNPARSED: "", **texts})


def _plain(lines: Sequence[str]) -> Found:
    return Found(*drain(lines))


def _masked(lines: Sequence[str]) -> Found:
    return Found(*drain(map(masked, lines)))


_PARSERS: Mapping[str, Callable[[Sequence[str]], Found]] = {
    "tocsin": ours,
    "drain3": _plain,
    "drain3, example masks": _masked,
}


def _row(dataset: str, split: str, method: str, metric: str, value: float | None) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "split": split,
        "method": method,
        "ours": method == "tocsin",
        "default": method == "tocsin",
        "metric": metric,
        "value": None if value is None else round(value, 4),
        "spread": None,  # nothing is random
        "seeds": 1,
        "published": None,
    }
