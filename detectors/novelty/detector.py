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

from detectors.detector import empty_scores
from detectors.novelty.explain import explain
from detectors.novelty.memory import Found, Memory, pair_group
from detectors.novelty.news import NOTHING, news_of, readable
from detectors.novelty.observe import observe_pairs, observe_singles
from detectors.novelty.settings import NoveltySettings
from detectors.novelty.things import Things, in_order, things
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
        self._taken: tuple[pl.DataFrame, pl.DataFrame, Things, Found] | None = None

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
                taken = things(chunk, self._settings)
                self._learn(chunk, taken, self._memory.find(taken))
        self._taken = None

    def score(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return SCORES, one row a record, in time order.

        Of several records of a batch that bring the same new thing only the first scores: one piece of news, one unit.
        """
        if batch.is_empty():
            return empty_scores()
        records = in_order(batch)
        taken = things(records, self._settings)
        found = self._memory.find(taken)
        self._taken = (batch, records, taken, found)
        news = news_of(records, taken, found, self._memory, self._settings)
        unit = pl.repeat(NOTHING, len(records), eager=True)
        score = np.zeros(len(records))
        if len(news):
            unit = unit.scatter(news["record"], news["unit"])
            score[news["record"].to_numpy()] = news["score"].to_numpy()
        return records.select(
            unit.alias("unit"),
            "stream",
            "entities",
            pl.concat_list("template_id").alias("template_ids"),
            pl.col("time").alias("start"),
            pl.col("time").alias("end"),
            pl.Series("score", score),
            pl.concat_list("event_id").alias("event_ids"),
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
        self._memory, self._taken = memory, None

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

    def _learn(self, records: pl.DataFrame, taken: Things, found: Found) -> None:
        memory, singles, pairs = self._memory, taken.singles, taken.pairs
        memory.tick(taken.times)
        known = memory.is_fresh(found.singles)
        observe_singles(memory, taken, ~known)
        observe_pairs(memory, taken, known, ~memory.is_fresh(found.pairs))
        nobody = np.zeros(len(singles), np.uint64)
        alone = {"group": singles.group, "left": nobody, "right": nobody}
        memory.learn_keys(singles.key, found.singles, alone, taken.of_singles, taken.minutes)
        ends = {"left": singles.key[pairs.left], "right": singles.key[pairs.right]}
        together = {"group": pair_group(singles, pairs)} | ends
        memory.learn_keys(pairs.key, found.pairs, together, taken.of_pairs, taken.minutes)
        new = np.flatnonzero(~known)
        new = new[np.argsort(singles.place[new])]
        texts = readable(records, singles, new, singles.record[new], memory, self._settings.text_chars_max)
        memory.learn_texts(singles.key[new], texts)
        memory.records += len(records)
        memory.prune(len(records))
