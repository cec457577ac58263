"""Scores become p-values that mean what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detectors.calibrate import Calibration, CalibrationSettings
from tocsin.errors import StateError
from tocsin.state import State, load_state, save_state

DAY_S = 86_400.0


def taught(scores: np.ndarray, seconds: float = DAY_S) -> Calibration:
    calibration = Calibration()
    calibration.update(scores, seconds)
    return calibration


def test_without_history_everything_is_normal() -> None:
    assert Calibration().p_values(np.array([0.0, 1e9])).tolist() == [1.0, 1.0]


def test_a_p_value_is_the_share_of_scores_at_least_as_high() -> None:
    calibration = taught(np.arange(1, 1001.0))
    p = calibration.p_values(np.array([500.0, 900.0, 0.0]))
    assert p == pytest.approx([0.5, 0.1, 1.0], abs=0.03)


@pytest.mark.parametrize("draw", ["exponential", "lognormal", "uniform", "mostly_zero"])
def test_p_values_of_normal_times_are_valid_whatever_the_distribution(draw: str) -> None:
    rng = np.random.default_rng(7)
    draws = {
        "exponential": rng.exponential(size=60_000),
        "lognormal": rng.lognormal(sigma=2, size=60_000),
        "uniform": rng.random(60_000),
        "mostly_zero": np.where(rng.random(60_000) < 0.97, 0.0, rng.exponential(size=60_000)),
    }
    history, fresh = draws[draw][:30_000], draws[draw][30_000:]
    p = taught(history).p_values(fresh)
    for level in (0.1, 0.01, 0.001):
        assert (p <= level).mean() <= 1.5 * level + 2e-4


def test_what_is_far_beyond_the_largest_score_is_rarer_than_what_is_just_beyond() -> None:
    calibration = taught(np.random.default_rng(1).exponential(size=5_000))
    just, far, absurd = calibration.p_values(np.array([12.0, 20.0, 1e6]))
    assert 1 / 5_001 >= just > far > 0
    assert absurd >= 1 / 5_001**2


def test_p_values_fall_as_scores_rise() -> None:
    calibration = taught(np.random.default_rng(2).lognormal(size=3_000))
    p = calibration.p_values(np.linspace(0, 1000, 500))
    assert (np.diff(p) <= 1e-12).all()


def test_old_scores_fade_with_event_time() -> None:
    calibration = taught(np.full(1000, 100.0))
    calibration.update(np.full(1000, 1.0), 70 * DAY_S)  # ten half-lives
    assert calibration.p_values(np.array([50.0]))[0] < 0.003
    assert calibration.units == pytest.approx(1001, abs=1)


def test_a_short_history_may_spend_a_days_budget() -> None:
    assert taught(np.ones(1000), 600.0).units_per_day == 1000
    assert taught(np.ones(1000), 2 * DAY_S).units_per_day == pytest.approx(500)


def test_scores_that_are_no_numbers_teach_nothing() -> None:
    assert taught(np.array([np.nan, np.inf, 1.0])).units == 1


def test_memory_is_bounded() -> None:
    calibration = Calibration()
    sizes = set()
    for _ in range(5):
        calibration.update(np.random.default_rng(3).exponential(size=100_000), 60.0)
        sizes.add(sum(array.nbytes for array in calibration.state().arrays.values()))
    assert len(sizes) == 1


def test_the_state_survives_the_disk_bit_for_bit(tmp_path: Path) -> None:
    calibration = taught(np.random.default_rng(4).exponential(size=5_000))
    save_state(calibration.state(), tmp_path / "state")
    again = Calibration()
    loaded = load_state(tmp_path / "state")
    assert loaded is not None
    again.restore(loaded)
    scores = np.random.default_rng(5).exponential(scale=3, size=1_000)
    assert (again.p_values(scores) == calibration.p_values(scores)).all()
    with pytest.raises(StateError):
        again.restore(State(kind="novelty", version=1))


def test_a_calibration_of_another_size_is_refused() -> None:
    state = taught(np.ones(10)).state()
    with pytest.raises(StateError, match="bins"):
        Calibration(CalibrationSettings()).restore(
            State(kind=state.kind, version=state.version, arrays={**state.arrays, "counts": np.zeros(3)})
        )
