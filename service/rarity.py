"""How much it says that two findings share an entity: much for a rare one, nothing for one in every line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

_DAY_S = 86_400.0
_HISTORY_S_MIN = 3600.0  # in the first hour of a service everything is new, so being new says little


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How an entity was seen so far."""

    count: int  # events that carry it
    first: datetime  # event time of the first of them


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a tenant's entities are compared with."""

    events: int
    began: datetime  # event time of its first event
    now: datetime


def weights(habits: Mapping[str, Habit], history: History) -> dict[str, float]:
    """Weight in [0, 1] of each entity; those that were never seen are left out, which `correlate` reads as 1.

    Two things make an entity rare, the stronger counts:

    * it is in few events: 1 - log(1 + count) / log(1 + events). The logarithm, because the step from 1 event to 10 says
      as much about chance as the step from 1,000 to 10,000;
    * it is new: 1 - age / day. An attacker's address may be in a third of all lines an hour after it appeared; counted
      alone it would look as common as the web server's, and the findings of the attack would fall apart. Where the
      history is shorter than a day its length stands for the day.
    """
    history_s = (history.now - history.began).total_seconds()
    scale_s = min(_DAY_S, max(history_s, _HISTORY_S_MIN))
    return {
        entity: max(_by_count(habit, history), _by_age(habit, history, scale_s)) for entity, habit in habits.items()
    }


def _by_count(habit: Habit, history: History) -> float:
    share = math.log1p(max(habit.count, 0)) / math.log1p(max(history.events, 1))
    return min(1.0, max(0.0, 1.0 - share))


def _by_age(habit: Habit, history: History, scale_s: float) -> float:
    age_s = (history.now - habit.first).total_seconds()
    return min(1.0, max(0.0, 1.0 - age_s / scale_s))
