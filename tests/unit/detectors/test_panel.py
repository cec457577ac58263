"""The detectors of one tenant at work together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from detectors.novelty.detector import NoveltyDetector
from detectors.panel import Panel, PanelSettings
from tocsin.errors import StateError
from tocsin.finding import Finding
from tocsin.state import load_state, save_state

Records = Callable[..., pl.DataFrame]
START = datetime(2026, 3, 2, tzinfo=UTC)
END = timedelta(hours=36)


def batches(records: pl.DataFrame, size: int = 500) -> Iterator[pl.DataFrame]:
    for begin in range(0, len(records), size):
        yield records.slice(begin, size)


def watched(panel: Panel, records: pl.DataFrame) -> list[Finding]:
    found: list[Finding] = []
    for batch in batches(records):
        found += panel.watch(batch, now=batch["time"].max())  # type: ignore[arg-type]  # a datetime
    return found


@pytest.fixture
def day(shop: Records, burst: Records) -> pl.DataFrame:
    after = shop(2_000, 12.0, after=END, seed=1)
    return pl.concat([after, burst(after=END + timedelta(hours=6))]).sort("time", maintain_order=True)


def test_history_raises_nothing_and_a_flood_by_a_stranger_is_found_by_both(shop: Records, day: pl.DataFrame) -> None:
    panel = Panel("acme")
    panel.learn(shop())
    found = watched(panel, day)
    about = [finding for finding in found if "user:mallory" in finding.entities or finding.severity >= 60]
    assert {finding.detector for finding in about} == {"novelty", "volume"}
    assert all(finding.reasons for finding in found)


def test_an_ordinary_day_stays_within_the_budget(shop: Records) -> None:
    panel = Panel("acme")
    panel.learn(shop())
    assert len(watched(panel, shop(4_000, 24.0, after=END, seed=2))) <= 10


def test_a_panel_without_history_says_nothing_in_its_first_hour(shop: Records, burst: Records) -> None:
    panel = Panel("acme")
    first = pl.concat([shop(500, 0.8), burst(300, after=timedelta(minutes=40))]).sort("time", maintain_order=True)
    assert watched(panel, first) == []
    assert {status.state for status in panel.status} == {"learning"}


def test_a_panel_that_was_put_to_disk_goes_on_as_if_nothing_had_happened(
    shop: Records, day: pl.DataFrame, tmp_path: Path
) -> None:
    straight, first = Panel("acme"), Panel("acme")
    for panel in (straight, first):
        panel.learn(shop())
    half = len(day) // 1000 * 500
    expected = watched(straight, day)
    found = watched(first, day.head(half))
    save_state(first.state(), tmp_path / "panel")
    state = load_state(tmp_path / "panel")
    assert state is not None
    second = Panel("acme")
    second.restore(state)
    assert found + watched(second, day.slice(half)) == expected


def test_the_state_of_another_tenant_is_refused(shop: Records) -> None:
    panel = Panel("acme")
    panel.learn(shop(600))
    with pytest.raises(StateError, match="other"):
        Panel("other").restore(panel.state())


def test_a_detector_that_fails_sits_the_batch_out_and_the_others_go_on(
    shop: Records, day: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = Panel("acme")
    panel.learn(shop())

    def fail(self: NoveltyDetector, batch: pl.DataFrame) -> pl.DataFrame:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(NoveltyDetector, "score", fail)
        found = watched(panel, day)
    assert {finding.detector for finding in found} == {"volume"}
    assert {status.detector: status.state for status in panel.status}["novelty"] == "failed"
    assert panel.failures["novelty"] > 0
    panel.watch(shop(10, 0.1, after=END + timedelta(hours=13), seed=4), now=START + END + timedelta(hours=14))
    assert {status.detector: status.state for status in panel.status}["novelty"] == "watching"


def test_a_budget_of_nothing_raises_nothing(shop: Records, day: pl.DataFrame) -> None:
    panel = Panel("acme", PanelSettings(budget_per_day=0.0))
    panel.learn(shop())
    assert watched(panel, day) == []


def test_the_scores_of_lines_name_every_event_and_put_the_strange_ones_first(shop: Records, burst: Records) -> None:
    panel = Panel("acme")
    panel.learn(shop())
    batch = pl.concat([shop(200, 1.0, after=END, seed=5), burst(1, after=END + timedelta(hours=1))])
    panel.watch(batch, now=batch["time"].max())  # type: ignore[arg-type]  # a datetime
    scores = panel.last_scores
    assert scores["event_id"].to_list() == batch["event_id"].to_list()
    assert scores.sort("score")["event_id"][-1].startswith("burst")
