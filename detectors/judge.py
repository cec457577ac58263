"""The only place that compares a score with a threshold: scores and p-values in, findings out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.detector import Detector
from tocsin.finding import Finding
from tocsin.identity import finding_id

_P_MAX = 0.005  # no budget makes a unit a finding that one in 200 normal ones would beat; chosen, not measured
_TRACES_MAX = 16  # trace ids a finding carries


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where findings begin."""

    p_value: float  # a finding needs this or less
    findings_max: int = 100  # a batch gives no more; the strongest are kept


def cut_for(budget_per_day: float, units_per_day: float, detectors: int, units: float = math.inf) -> Cut:
    """Choose the cut that spends an alert budget in normal times.

    The budget is shared evenly between the detectors: a detector with u units a day and a share b of the budget may be
    wrong on b / u of its units. The budget is a ceiling: sparse data never lift the cut above 1 in 200. What is beyond
    all that was seen is always told, however small the budget: while a history grows tenfold that happens by chance
    ln 10 = 2.3 times.

    Args:
        budget_per_day: incidents a day for the tenant; > 0.
        units_per_day: of this detector, from its calibration.
        detectors: how many share the budget; >= 1.
        units: that its calibration knows.
    """
    affordable = budget_per_day / (max(detectors, 1) * max(units_per_day, 1.0))
    return Cut(p_value=min(_P_MAX, max(affordable, 1.0 / (units + 1.0))))


def is_abnormal(p_values: NDArray[np.float64], cut: Cut) -> NDArray[np.bool_]:
    """Mask of the units that become findings, as long as there are not too many."""
    return p_values <= cut.p_value


def severity(p_value: float, cut: Cut) -> int:
    """Severity 0-100: 40 at the cut and 10 more for every factor ten below it."""
    decades = np.log10(cut.p_value / max(p_value, np.finfo(np.float64).tiny))
    return int(np.clip(np.floor(40 + 10 * decades + 1e-9), 0, 100))


def judge(  # noqa: PLR0913, PLR0917 -- the cut, the scores and what they are about: one call a batch
    detector: Detector,
    tenant: str,
    scores: pl.DataFrame,
    p_values: NDArray[np.float64],
    cut: Cut,
    records: pl.DataFrame | None = None,
) -> tuple[Finding, ...]:
    """Make findings of the units whose p-value is at or below the cut, the strongest first.

    Call it after `detector.score` and before `detector.fit` of the same batch: the detector explains what it keeps.

    Args:
        detector: that gave the scores.
        tenant: whose records they are.
        scores: SCORES.
        p_values: one a row of `scores`.
        cut: from `cut_for`.
        records: the scored RECORDS, to name the traces of a finding.
    """
    rated = scores.with_columns(pl.Series("p_value", p_values, dtype=pl.Float64))
    abnormal = rated.filter(pl.Series(is_abnormal(p_values, cut)))
    abnormal = (
        abnormal.sort(["p_value", "score", "start", "unit"], descending=[False, True, False, False])
        .unique(["stream", "unit", "start"], keep="first", maintain_order=True)
        .head(cut.findings_max)
    )
    traces = _traces(abnormal, records)
    return tuple(_finding(detector, tenant, row, cut, traces) for row in abnormal.iter_rows(named=True))


def _traces(abnormal: pl.DataFrame, records: pl.DataFrame | None) -> Mapping[str, str]:
    """Trace id by event id, for the events of the abnormal units."""
    if records is None or abnormal.is_empty():
        return {}
    wanted = abnormal["event_ids"].explode().drop_nulls().unique()
    traced = records.filter(pl.col("trace_id").is_not_null() & pl.col("event_id").is_in(wanted.implode()))
    return dict(traced.select("event_id", "trace_id").iter_rows())


def _finding(detector: Detector, tenant: str, row: Mapping[str, Any], cut: Cut, traces: Mapping[str, str]) -> Finding:
    reasons = detector.explain(row)
    start_at: datetime = row["start"]
    found = [traces[event] for event in row["event_ids"] if event in traces]
    return Finding(
        finding_id=finding_id(detector.name, tenant, row["stream"], row["unit"], _nanoseconds(start_at)),
        tenant=tenant,
        stream=row["stream"],
        detector=detector.name,
        start_at=start_at,
        end_at=row["end"],
        score=float(row["score"]),
        p_value=float(row["p_value"]),
        severity=severity(row["p_value"], cut),
        summary=reasons[0].summary,
        expected=reasons[0].expected,
        actual=reasons[0].actual,
        entities=tuple(row["entities"]),
        trace_ids=tuple(dict.fromkeys(found))[:_TRACES_MAX],
        template_ids=tuple(row["template_ids"]),
        event_ids=tuple(row["event_ids"]),
        reasons=reasons,
    )


def _nanoseconds(at: datetime) -> int:
    # Rows reach us as datetimes of microseconds, so every replay truncates the same way.
    return int(pl.Series([at], dtype=pl.Datetime("ns", "UTC")).to_physical()[0])
