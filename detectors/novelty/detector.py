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
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.detector import SCORES, empty_scores
from detectors.hashing import combine
from detectors.novelty.explain import explain
from detectors.novelty.memory import Memory, own_group, pair_group
from detectors.novelty.news import NOTHING, firsts, news_of, readable
from detectors.novelty.settings import NoveltySettings
from detectors.novelty.things import Things, at_rows, in_order, things
from tocsin.finding import Reason
from tocsin.state import State

_CHUNK_MIN = 256  # a young memory learns in small steps, since its rates change fast


class NoveltyDetector:
    """One unit a record; 0 where nothing is new."""

    Settings: ClassVar[type] = NoveltySettings
    name = "novelty"
    lookback = timedelta(0)

    def __init__(self, settings: NoveltySettings | None = None) -> None:
        self._settings = settings or NoveltySettings()
        self._memory = Memory(self._settings)
        # The latest scored batch, taken apart: `fit` of the same batch need not do it again.
        self._taken: tuple[pl.DataFrame, pl.DataFrame, Things] | None = None

    @property
    def evicted(self) -> int:
        """Known things forgotten for lack of room, since the beginning."""
        return self._memory.evicted

    def fit(self, history: pl.DataFrame) -> None:
        """Learn from RECORDS in addition to what is known."""
        if self._taken is not None and self._taken[0] is history and len(history) <= self._chunk_size():
            self._learn(*self._taken[1:])
        else:
            for chunk in self._chunks(in_order(history)):
                self._learn(chunk, things(chunk, self._settings))
        self._taken = None

    def score(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return SCORES, one row a record, in time order.

        Of several records of a batch that bring the same new thing only the first scores: one piece of news, one unit.
        """
        if batch.is_empty():
            return empty_scores()
        records = in_order(batch)
        taken = things(records, self._settings)
        self._taken = (batch, records, taken)
        news = news_of(records, taken, self._memory, self._settings)
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
            size = self._chunk_size()
            yield records.slice(begin, size)
            begin += size

    def _chunk_size(self) -> int:
        return int(np.clip(self._memory.records // 4, _CHUNK_MIN, self._settings.chunk_records))

    def _learn(self, records: pl.DataFrame, taken: Things) -> None:
        memory = self._memory
        singles, pairs, tally = taken.singles, taken.pairs, taken.of_singles
        memory.tick(taken.times)
        key = singles.key[tally.row]
        first = firsts(key, memory.is_known(key))
        self._observe_singles(taken, first)
        self._observe_pairs(taken)
        zeros = np.zeros(len(tally), np.uint64)
        memory.learn_keys(key, singles.group[tally.row], (zeros, zeros), tally)
        met = at_rows(pairs, taken.of_pairs.row)
        ends = (singles.key[met.left], singles.key[met.right])
        memory.learn_keys(met.key, pair_group(singles, met), ends, taken.of_pairs)
        new = tally.row[first]
        memory.learn_texts(singles.key[new], readable(records, singles, new, memory, self._settings.text_chars_max))
        memory.records += len(records)
        memory.prune(len(records))

    def _observe_singles(self, taken: Things, first: NDArray[np.bool_]) -> None:
        """Learn how often things are new in their group, and in the lines of each template."""
        singles, tally = taken.singles, taken.of_singles
        group = singles.group[tally.row]
        others = singles.facet[tally.row] > 0
        # A thing of several templates in one minute counts for that of its first line.
        here = combine(singles.key[singles.record[tally.row[others]]], group[others])
        self._memory.rates.observe(
            np.concatenate([group, here]),
            np.concatenate([tally.minute, tally.minute[others]]),
            np.concatenate([tally.count, tally.count[others]]),
            np.concatenate([first, first[others]]).astype(np.int64),
            self._memory.now,
        )

    def _observe_pairs(self, taken: Things) -> None:
        """Learn how often things meet for the first time; it says something only where both were known before."""
        memory, singles, tally = self._memory, taken.singles, taken.of_pairs
        all_pairs = at_rows(taken.pairs, tally.row)
        both = memory.is_known(singles.key[all_pairs.left]) & memory.is_known(singles.key[all_pairs.right])
        met = at_rows(all_pairs, np.flatnonzero(both))
        new = firsts(met.key, memory.is_known(met.key)).astype(np.int64)
        pools = [memory.pools(singles, met, left=left) for left in (True, False)]
        own = [own_group(singles, met, left=left) for left in (True, False)]
        memory.rates.observe(
            np.concatenate([pair_group(singles, met), *own, *pools]),
            np.tile(tally.minute[both], 5),
            np.tile(tally.count[both], 5),
            np.tile(new, 5),
            memory.now,
        )
