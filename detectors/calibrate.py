"""Turns a detector's own scale into p-values: how often does a normal unit score this high?

Inside what was seen, conformal p-values: (k + 1) / (n + 1) with k the (decayed) number of past scores at least as
high. They are valid whatever the distribution, ties and a mass at zero included (Vovk et al., Algorithmic Learning in a
Random World, 2005; with decaying weights: Barber et al., Annals of Statistics 51, 2023, theorem 2 for exchangeable
data). Beyond the largest score seen, a generalised Pareto tail fitted by probability-weighted moments (Hosking and
Wallis, Technometrics 29, 1987), because 1 / (n + 1) alone could not tell a gross anomaly from a record by a hair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.errors import StateError
from tocsin.state import State

Floats = NDArray[np.float64]

_DAY_S = 86_400.0
_KIND, _VERSION = "calibration", 1
_RATIO = np.log(1.02)  # scores within 2 % of each other count as equal: ranks stay conservative, memory constant
_SMALLEST = 1e-6  # scores nearer to zero than this count as zero
_SIDE = int(np.ceil(np.log(1e12) / _RATIO))  # bins a side, up to 1e6; beyond it all count as equal
_BINS = 2 * _SIDE + 1
_FADED = 0.05  # a kept score of less weight than this is forgotten


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSettings:
    """How long scores are remembered and how far beyond them we dare to speak."""

    halflife_days: float = 7.0  # one week, so that weekends weigh as much as they occur
    span_s_min: float = _DAY_S  # a shorter history counts as this long: a file of 20 minutes may spend a day's budget
    kept_max: int = 256  # largest scores kept exactly, for the tail
    exceedances_min: int = 20  # fewer say nothing about a tail's shape (timeseries.md 3.3)
    tail_fraction: float = 0.02  # share of the units that is taken for the tail; 95-98 % quantiles are usual for POT


class Calibration:
    """The scores of one detector of one tenant in normal times; bounded memory whatever the number of units."""

    def __init__(self, settings: CalibrationSettings | None = None) -> None:
        self._settings = settings or CalibrationSettings()
        self._counts: Floats = np.zeros(_BINS)
        self._kept: Floats = np.zeros(0)  # descending
        self._weights: Floats = np.zeros(0)
        self._seconds = 0.0

    @property
    def units(self) -> float:
        """Decayed number of scores learned from."""
        return float(self._counts.sum())

    @property
    def seconds(self) -> float:
        """Decayed event time learned from."""
        return self._seconds

    @property
    def units_per_day(self) -> float:
        """Units a day of event time, over at least `span_s_min`."""
        return self.units * _DAY_S / max(self._seconds, self._settings.span_s_min)

    def p_values(self, scores: Floats) -> Floats:
        """P-values of scores, in (0, 1].

        With n units learned, rank alone gives no less than 1 / (n + 1). The tail may go lower but never below
        1 / (n + 1) ** 2: it may at most double the decades that the data support. With nothing learned all are 1.

        Args:
            scores: finite; higher is more abnormal.
        """
        n = self.units
        at_least = np.cumsum(self._counts[::-1])[::-1]
        p = (at_least[_bins(scores)] + 1.0) / (n + 1.0)
        if len(self._kept) == 0:
            return np.minimum(p, 1.0)
        beyond = scores > self._kept[0]
        p[beyond] = 1.0 / (n + 1.0)
        tail = self._tail()
        if tail is not None and beyond.any():
            shape, scale, start = tail
            joint = _log_survival(self._kept[:1] - start, shape, scale)
            drop = _log_survival(scores[beyond] - start, shape, scale) - joint
            p[beyond] = np.maximum(np.exp(drop) / (n + 1.0), 1.0 / (n + 1.0) ** 2)
        return np.clip(p, np.finfo(np.float64).tiny, 1.0)

    def update(self, scores: Floats, seconds: float) -> None:
        """Learn scores of normal times.

        Feed every unit, findings too: leaving findings out would let the bar sink with each of them. Leave out only
        what a user confirmed as a true anomaly.

        Args:
            scores: finite; higher is more abnormal.
            seconds: event time they cover; older scores fade by it.
        """
        scores = scores[np.isfinite(scores)]
        fade = 0.5 ** (max(seconds, 0.0) / (self._settings.halflife_days * _DAY_S))
        self._counts = self._counts * fade + np.bincount(_bins(scores), minlength=_BINS)
        self._seconds = self._seconds * fade + max(seconds, 0.0)
        kept = np.concatenate([self._kept, scores])
        weights = np.concatenate([self._weights * fade, np.ones(len(scores))])
        order = np.lexsort((weights, kept))[::-1]
        order = order[weights[order] >= _FADED][: self._settings.kept_max]
        self._kept, self._weights = kept[order], weights[order]

    def state(self) -> State:
        """Return all that is known, as plain values."""
        seconds = np.array([self._seconds])
        arrays = {"counts": self._counts, "kept": self._kept, "weights": self._weights, "seconds": seconds}
        return State(kind=_KIND, version=_VERSION, arrays=arrays)

    def restore(self, state: State) -> None:
        """Know what `state` knows and nothing else.

        Raises:
            StateError: the state is not a calibration's, or of another version.
        """
        arrays = state.expect(_KIND, _VERSION).arrays
        if arrays["counts"].shape != (_BINS,):
            raise StateError(f"calibration has {arrays['counts'].shape} bins, expected ({_BINS},)")
        self._counts, self._kept, self._weights = (arrays[name].copy() for name in ("counts", "kept", "weights"))
        self._seconds = float(arrays["seconds"][0])

    def _tail(self) -> tuple[float, float, float] | None:
        """Shape, scale and start of the generalised Pareto tail; None where the data do not carry one."""
        settings = self._settings
        wanted = int(np.clip(settings.tail_fraction * self.units, settings.exceedances_min, settings.kept_max - 1))
        if len(self._kept) <= settings.exceedances_min:
            return None
        start = float(self._kept[min(wanted, len(self._kept) - 1)])
        above = self._kept > start
        if above.sum() < settings.exceedances_min:
            return None
        excess, weights = self._kept[above][::-1] - start, self._weights[above][::-1]
        return (*_fit_pareto(excess, weights), start)


def _bins(scores: Floats) -> NDArray[np.int64]:
    """Bin of each score: logarithmic in its size, mirrored at zero."""
    size = np.clip(np.abs(scores), _SMALLEST, None)
    step = np.minimum(np.floor(np.log(size / _SMALLEST) / _RATIO), _SIDE - 1).astype(np.int64) + 1
    step[np.abs(scores) < _SMALLEST] = 0
    return np.asarray(_SIDE + np.where(scores < 0, -step, step), np.int64)


def _fit_pareto(excess: Floats, weights: Floats) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution by probability-weighted moments.

    Hosking and Wallis 1987 with a0 = E[X], a1 = E[X (1 - F(X))]; their k is minus our shape.
    Differs from the paper: weights, and the shape is drawn towards 0.1 as by ten more exceedances and kept in [0, 0.9]:
    a negative shape would claim that worse scores are impossible, which is more than some dozens of exceedances can
    know. The scale then keeps the mean.

    Args:
        excess: ascending, positive.
        weights: of the same length.
    """
    share = weights / weights.sum()
    above = 1.0 - (np.cumsum(share) - 0.5 * share)
    a0 = float(np.sum(share * excess))
    a1 = float(np.sum(share * excess * above))
    raw = 2.0 - a0 / (a0 - 2.0 * a1) if a0 > 2.0 * a1 else 0.9
    count = len(excess)
    shape = float(np.clip((count * np.clip(raw, -0.5, 1.0) + 10 * 0.1) / (count + 10), 0.0, 0.9))
    return shape, a0 * (1.0 - shape)


def _log_survival(excess: Floats, shape: float, scale: float) -> Floats:
    if shape < 1e-9:
        return -excess / scale
    return -np.log1p(shape * excess / scale) / shape
