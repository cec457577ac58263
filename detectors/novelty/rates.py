"""How often something new appears in a group: the probability that the next observation is a novelty.

The estimate is Good and Turing's (Good, Biometrika 40, 1953): the share of observations that were the first of their
kind. It is made for logs in three ways.

1. Logs come in bursts: a thousand lines of one minute are not a thousand chances. A minute with c observations counts
   sqrt(c), its novelties likewise, so that a quiet audit stream is not drowned by a busy one.
2. While a vocabulary is being learned the past overstates what is still unseen. An observation made when s of n had
   been seen weighs s / n (linear weights), so that the first minutes are soon forgotten: P = (m + 1) / (n / 2 + 1),
   with m the weighted novelties. At the start n = 0 and P = 1: everything is new and nothing is surprising.
3. Both fade with a half-life of event time: a group not heard of for long knows less.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.hashing import Hashes
from detectors.novelty.things import MINUTE_NS
from detectors.table import Heap, Rows

Floats = NDArray[np.float64]


class Rates:
    """Novelty rates by group; times are ns of event time."""

    def __init__(self, halflife_ns: float) -> None:
        self._halflife_ns = halflife_ns
        self.table = Heap(
            {
                "seen": np.float64,  # decayed sum of sqrt(observations of a minute)
                "news": np.float64,  # the same of novelties, with linear weights
                "at": np.int64,  # of the last observation
                "news_at": np.int64,  # minute of the last novelty
                "minute": np.int64,  # the last minute observed, still open
                "minute_seen": np.float64,
                "minute_news": np.float64,
            }
        )

    def counts(self, groups: Hashes, now: int) -> tuple[Floats, Floats]:
        """Decayed observations and weighted novelties of each group; zeros where nothing is known."""
        rows = self.table.find(groups)
        if len(self.table) == 0:
            return np.zeros(len(groups)), np.zeros(len(groups))
        fade = self._fade(self.table["at"][rows], now) * (rows >= 0)
        return self.table["seen"][rows] * fade, self.table["news"][rows] * fade

    def probability(self, groups: Hashes, now: int) -> Floats:
        """Chance that the next observation of each group is a novelty, in (0, 1]."""
        seen, news = self.counts(groups, now)
        return np.minimum((news + 1.0) / (seen / 2.0 + 1.0), 1.0)

    def observe(self, groups: Hashes, minutes: Rows, counts: Rows, news: Rows, now: int) -> None:
        """Learn observations of one minute, one group a row; a group may have several rows of a minute.

        Args:
            groups: of the observations.
            minutes: since 1970.
            counts: how many observations.
            news: how many of them were the first of their kind.
            now: the clock of ageing, ns.
        """
        if len(groups) == 0:
            return
        rows = pl.DataFrame({"group": groups, "minute": minutes, "seen": counts, "news": news})
        by_minute = rows.group_by("group", "minute").agg(pl.col("seen", "news").sum()).sort("group", "minute")
        group = by_minute["group"].to_numpy()
        firsts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
        distinct = group[firsts]
        self._admit(distinct, now)
        rows_of = self.table.find(distinct)
        seen, new = self._increments(by_minute, np.repeat(rows_of, np.diff(np.append(firsts, len(group)))))
        self._grow(rows_of, np.add.reduceat(seen, firsts), np.add.reduceat(new, firsts), now)
        minute = by_minute["minute"].to_numpy()
        heard = np.where(by_minute["news"].to_numpy() > 0, minute * MINUTE_NS, 0)
        table = self.table
        table["news_at"][rows_of] = np.maximum(table["news_at"][rows_of], np.maximum.reduceat(heard, firsts))
        self._remember_minute(by_minute, rows_of, np.append(firsts[1:], len(group)) - 1)

    def forget(self, groups_max: int) -> int:
        """Keep the groups observed last; return how many were dropped."""
        excess = len(self.table) - groups_max
        if excess <= 0:
            return 0
        # A tenth more than needed, so that a flood of groups does not sort the table at every batch.
        rows = self.table.in_order()
        mask = np.ones(len(rows), np.bool_)
        mask[np.argsort(self.table["at"][rows], kind="stable")[: excess + groups_max // 10]] = False
        return self.table.keep(rows[mask])

    def _fade(self, at: Rows, now: int) -> Floats:
        return np.asarray(0.5 ** (np.maximum(now - at, 0) / self._halflife_ns), np.float64)

    def _admit(self, groups: Hashes, now: int) -> None:
        missing = groups[self.table.find(groups) < 0]
        zeros = np.zeros(len(missing))
        columns = dict.fromkeys(("seen", "news", "news_at", "minute_seen", "minute_news"), zeros) | {
            "at": np.full(len(missing), now),
            "minute": np.full(len(missing), np.iinfo(np.int64).min),
        }
        self.table.add(missing, columns)

    def _increments(self, minutes: pl.DataFrame, rows: Rows) -> tuple[Floats, Floats]:
        """What each (group, minute) adds; a minute begun in an earlier batch goes on where it was."""
        table = self.table
        open_minute = table["minute"][rows] == minutes["minute"].to_numpy()
        old_seen = np.where(open_minute, table["minute_seen"][rows], 0.0)
        old_news = np.where(open_minute, table["minute_news"][rows], 0.0)
        seen = np.sqrt(old_seen + minutes["seen"].to_numpy()) - np.sqrt(old_seen)
        news = np.sqrt(old_news + minutes["news"].to_numpy()) - np.sqrt(old_news)
        return seen, news

    def _grow(self, rows: Rows, seen: Floats, news: Floats, now: int) -> None:
        table = self.table
        fade = self._fade(table["at"][rows], now)
        before = table["seen"][rows] * fade
        after = before + seen
        # Linear weights: all earlier novelties shrink by before / after; new ones entered evenly over this growth.
        weight = (before + after) / (2.0 * after)
        table["news"][rows] = table["news"][rows] * fade * before / after + news * weight
        table["seen"][rows] = after
        table["at"][rows] = np.maximum(table["at"][rows], now)

    def _remember_minute(self, minutes: pl.DataFrame, rows: Rows, lasts: Rows) -> None:
        table = self.table
        minute = minutes["minute"].to_numpy()[lasts]
        seen = minutes["seen"].to_numpy()[lasts].astype(np.float64)
        news = minutes["news"].to_numpy()[lasts].astype(np.float64)
        same, later = table["minute"][rows] == minute, table["minute"][rows] < minute
        table["minute_seen"][rows] = np.where(later, seen, table["minute_seen"][rows] + np.where(same, seen, 0.0))
        table["minute_news"][rows] = np.where(later, news, table["minute_news"][rows] + np.where(same, news, 0.0))
        table["minute"][rows] = np.maximum(table["minute"][rows], minute)
