"""Finds what was never seen: a template, an entity, a field value, or two known things that never met.

A first time is worth as much as first times are rare where it happened (rates.py): a new user among 40 that have been
the same for weeks is news, a new client address of a public site is not. The score of a record is the surprise, -log10
of that chance, of its most surprising thing, and up to half a decade more for further ones; many weak surprises never
make a strong one. Measured basis: on the AIT alerts a pair of host and alert type never seen before is right in
97-100 % of its alerts; most of its false pairs are of things that meet new partners all the time, and those the rates
take out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.detector import SCORES, empty_scores
from detectors.hashing import combine
from detectors.novelty.explain import explain
from detectors.novelty.memory import Memory, own_group, pair_group
from detectors.novelty.news import NOTHING, firsts, news_of, readable
from detectors.novelty.settings import NoveltySettings
from detectors.novelty.things import Pairs, Singles, in_order, things
from detectors.table import Rows
from tocsin.finding import Reason
from tocsin.state import State

_CHUNK_MIN = 256  # a young memory learns in small steps, since its rates change fast


class NoveltyDetector:
    """One unit a record; 0 where nothing is new."""

    Settings = NoveltySettings
    name = "novelty"
    lookback = timedelta(0)

    def __init__(self, settings: NoveltySettings | None = None) -> None:
        self._settings = settings or NoveltySettings()
        self._memory = Memory(self._settings)

    @property
    def evicted(self) -> int:
        """Known things forgotten for lack of room, since the beginning."""
        return self._memory.evicted

    def fit(self, history: pl.DataFrame) -> None:
        """Learn from RECORDS in addition to what is known."""
        for chunk in self._chunks(in_order(history)):
            self._learn(chunk)

    def score(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return SCORES, one row a record, in time order.

        Of several records of a batch that bring the same new thing only the first scores: one piece of news, one unit.
        """
        if batch.is_empty():
            return empty_scores()
        records = in_order(batch)
        news = news_of(records, things(records, self._settings), self._memory, self._settings)
        rows = records.select(
            pl.int_range(pl.len(), dtype=pl.Int64).alias("record"),
            "stream",
            "entities",
            pl.concat_list("template_id").alias("template_ids"),
            pl.col("time").alias("start"),
            pl.col("time").alias("end"),
            pl.concat_list("event_id").alias("event_ids"),
        )
        scored = rows.join(news, on="record", how="left", maintain_order="left")
        return scored.with_columns(pl.col("unit").fill_null(NOTHING), pl.col("score").fill_null(0.0)).select(
            pl.col(name).cast(dtype) for name, dtype in SCORES.items()
        )

    def explain(self, unit: Mapping[str, object]) -> tuple[Reason, ...]:
        """Name what is new in a scored record, how rarely that happens, and what is usual instead."""
        return explain(unit, self._memory, self._settings)

    def state(self) -> State:
        """Return all that is known, as plain values."""
        return self._memory.state()

    def restore(self, state: State) -> None:
        """Know what `state` knows and nothing else."""
        memory = Memory(self._settings)
        memory.restore(state)
        self._memory = memory

    def advance(self, until: datetime) -> pl.DataFrame:  # noqa: ARG002 (nothing is new because time passes)
        """Return an empty frame: novelty has no clock of its own."""
        return empty_scores()

    def _chunks(self, records: pl.DataFrame) -> Iterator[pl.DataFrame]:
        begin = 0
        while begin < len(records):
            size = int(np.clip(self._memory.records // 4, _CHUNK_MIN, self._settings.chunk_records))
            yield records.slice(begin, size)
            begin += size

    def _learn(self, records: pl.DataFrame) -> None:
        memory = self._memory
        times = records["time"].to_physical().to_numpy()
        memory.tick(times)
        singles, pairs = things(records, self._settings)
        known = memory.is_known(singles.key)
        first = firsts(singles.key, known)
        self._observe(singles, pairs, known, first, times)
        zeros = np.zeros(len(singles), np.uint64)
        memory.learn_keys(singles.key, singles.group, (zeros, zeros), times[singles.record])
        ends = (singles.key[pairs.left], singles.key[pairs.right])
        memory.learn_keys(pairs.key, pair_group(singles, pairs), ends, times[singles.record[pairs.left]])
        new = np.flatnonzero(first)
        memory.learn_texts(singles.key[new], readable(records, singles, new, self._settings.text_chars_max))
        memory.records += len(records)
        memory.prune()

    def _observe(
        self,
        singles: Singles,
        pairs: Pairs,
        known: NDArray[np.bool_],
        first: NDArray[np.bool_],
        times: Rows,
    ) -> None:
        """Learn how often things are new. A pair says something only where both its ends were known before."""
        memory = self._memory
        meeting = known[pairs.left] & known[pairs.right]
        met = Pairs(left=pairs.left[meeting], right=pairs.right[meeting], key=pairs.key[meeting])
        new = firsts(met.key, memory.is_known(met.key))
        at = times[singles.record[met.left]]
        pools = [memory.pools(singles, met, left=left) for left in (True, False)]
        own = [own_group(singles, met, left=left) for left in (True, False)]
        # What the lines of each template bring, beside what the stream brings.
        others = np.flatnonzero(singles.facet > 0)
        record = singles.record[others]
        here = combine(singles.key[record], singles.group[others])
        groups = np.concatenate([singles.group, here, pair_group(singles, met), *own, *pools])
        moments = np.concatenate([times[singles.record], times[record], *[at] * 5])
        memory.rates.observe(groups, moments, np.concatenate([first, first[others], *[new] * 5]), memory.now)
