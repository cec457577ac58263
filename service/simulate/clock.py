"""When things happen in the simulated shop: its days, its rush hours, its office hours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
_MINUTES = 24 * 60
_MINUTE = np.arange(_MINUTES) / 60.0  # hour of the day of each minute

#: Weight of each minute of a day of the week (Monday is 0), 1 on average over a working day.
Profile = Callable[[int], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day from midnight to midnight by the shop's clock; a day is the same whatever range it is part of."""

    seed: int
    number: int  # days since 1970-01-01 by the shop's clock
    start: int  # ns UTC of its midnight
    rate: float  # how busy the shop is; 1 is about 60,000 lines a day

    @property
    def weekday(self) -> int:
        """Monday is 0."""
        return (self.number + 3) % 7

    def rng(self, topic: str) -> np.random.Generator:
        """Chance of one topic of this day, independent of every other."""
        return np.random.default_rng([self.seed, self.number, *topic.encode()])

    def at(self, hour: float) -> int:
        """Time in ns of an hour of this day."""
        return self.start + round(hour * HOUR_NS)


def shopping(weekday: int) -> Floats:
    """Customers: few at night, most in the evening, somewhat more at the weekend."""
    evening = 1.0 + 0.85 * np.cos((_MINUTE - 19.5) / 24 * 2 * np.pi)
    lunch = 0.25 * np.exp(-(((_MINUTE - 12.5) / 1.2) ** 2))
    return np.asarray((evening + lunch) * (1.2 if weekday >= 5 else 1.0), np.float64)


def office(weekday: int) -> Floats:
    """Staff: between eight and half past five with a lunch break, hardly at night or at the weekend."""
    arriving = 1.0 / (1.0 + np.exp(-(_MINUTE - 8.3) * 3.0))
    leaving = 1.0 / (1.0 + np.exp((_MINUTE - 17.5) * 2.0))
    lunch = 1.0 - 0.5 * np.exp(-(((_MINUTE - 12.3) / 0.5) ** 2))
    return np.asarray((2.6 * arriving * leaving * lunch + 0.004) * (0.08 if weekday >= 5 else 1.0), np.float64)


def always(weekday: int) -> Floats:  # noqa: ARG001 -- a profile
    """Machines: day and night."""
    return np.ones(_MINUTES)


def arrivals(rng: np.random.Generator, day: Day, per_day: float, profile: Profile) -> Times:
    """Times at which something happens, about `per_day` times on a working day, sorted.

    Counts are overdispersed as real ones are: a day has its own level, and so has each quarter of an hour.
    """
    level = rng.lognormal(-0.00125, 0.05)
    quarters = np.repeat(rng.lognormal(-0.0032, 0.08, _MINUTES // 15), 15)
    counts = rng.poisson(profile(day.weekday) * quarters * level * per_day / _MINUTES)
    minute = np.repeat(np.arange(_MINUTES), counts)
    return np.sort(day.start + (minute + rng.random(len(minute))) * MINUTE_NS).astype(np.int64)


def every(day: Day, period_s: float, first_s: float = 0.0) -> Times:
    """Times of something that happens by the clock."""
    return (day.start + np.arange(first_s, 86_400.0, period_s) * SECOND_NS).astype(np.int64)
