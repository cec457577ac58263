"""The volume detector's book: counts of intervals that are not over, and what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.hashing import Hashes
from detectors.table import Rows
from detectors.volume.clocks import Arrivals, Clocks
from detectors.volume.counts import (
    DISTINCT,
    ENTITY,
    NEWCOMER,
    SECOND_NS,
    TOTAL,
    Counts,
    distinct_of,
    objects,
    total_of,
)
from detectors.volume.forecast import Lesson, expect, habit, learn, surprise_quiet
from detectors.volume.open import Open
from detectors.volume.series import HOURS, Series
from detectors.volume.settings import VolumeSettings
from detectors.volume.units import SILENCE, Part, Streams, Unit, units_of
from detectors.volume.weigh import Step, Weighed, weigh
from tocsin.errors import StateError
from tocsin.state import State

KIND, VERSION = "volume", 1
_HOUR_S = 3600
_HOUR_NS = _HOUR_S * SECOND_NS
_STATE_NAMES = {"value": "count"}  # of columns of counts, where it is another


class Book:
    """All that the volume detector knows."""

    def __init__(self, settings: VolumeSettings) -> None:
        self._settings = settings
        self._width = settings.interval_s * SECOND_NS
        self.series = Series()
        self.streams = Clocks(settings)
        self.names: dict[int, str] = {}  # of streams, by hash
        self.latest: dict[int, str] = {}  # event id of the latest line of each stream
        self.open = Open()
        self.late = 0  # counts that came after their interval was closed
        self.dropped = 0  # counts dropped for lack of room
        self._borrowed = False  # the series are another book's as well

    def copy(self) -> Book:
        """Another book that knows the same; it shares the series until it learns."""
        book = Book(self._settings)
        book.series, book.streams, book.open = self.series, self.streams.copy(), self.open.copy()
        book.names, book.latest = dict(self.names), dict(self.latest)
        book.late, book.dropped = self.late, self.dropped
        book._borrowed = True
        return book

    def take(self, counts: Counts, arrivals: Arrivals) -> list[Unit]:
        """Learn a batch; return the units that it ended, as they were before they were learned.

        Args:
            counts: of the batch, by `counts.count`.
            arrivals: of the batch.
        """
        hour = self.streams.clock // _HOUR_NS
        self.names |= self.streams.arrive(arrivals)
        self._add(counts)
        limits = self.streams.limits()
        if not (limits > self.streams["next"]).any():
            return []
        if self._borrowed:
            self.series, self._borrowed = self.series.copy(), False
        units = self._close(limits)
        # Once an hour of event time, since it sorts all that is known.
        if hour != self.streams.clock // _HOUR_NS or len(self.series) > self._settings.series_max:
            self._prune()
        return units

    def unfinished(self, counts: Counts) -> list[Unit]:
        """Units of intervals that are not over and hold too many lines already, among those that `counts` touched."""
        units: list[Unit] = []
        whole = counts.facet == TOTAL
        for interval in np.unique(counts.interval).tolist():
            held = self.open.held(interval, np.sort(counts.stream[whole & (counts.interval == interval)]))
            if len(held) == 0:
                continue
            streams = np.unique(held.stream)
            places = np.full(len(streams), interval, np.int64)
            step = self._step(streams, places, np.ones(len(streams)), held)
            weighed = weigh(self.series, step, self._settings, closed=False)
            found = units_of(step, weighed, self.series, self._of_step(step), self._settings)
            units += [unit for unit in found if unit.score >= 1.0]
        return units

    def silent(self, until: int) -> list[Unit]:
        """Units of the streams that say nothing as of `until`, ns of event time, although they follow that clock."""
        units: list[Unit] = []
        limits = self.streams.limits(until)
        first = np.maximum(self.streams["next"], self.streams["newest"] // self._width + 1)
        ripe = self.streams["age"] >= self._settings.history_min
        for row in np.flatnonzero((limits > first) & ripe):
            units += self._silence(int(row), int(first[row]), int(limits[row]), until)
        return units

    def state(self) -> State:
        """Return all of it, as plain values."""
        open_counts = {_STATE_NAMES.get(name, name): column for name, column in self.open.all().columns().items()}
        arrays: dict[str, NDArray[Any]] = self.series.arrays() | self.streams.arrays("streams")
        numbers = [name for name, column in open_counts.items() if column.dtype != np.object_]
        arrays |= {f"open.{name}": open_counts[name] for name in numbers}
        words = {
            "clock": self.streams.clock,
            "late": self.late,
            "dropped": self.dropped,
            "names": [self.names[key] for key in self.streams.keys.tolist()],
            "latest": [self.latest.get(key, "") for key in self.streams.keys.tolist()],
            "texts": [self.series.texts.get(key, ("", "")) for key in self.series["key"].tolist()],
            "open": {name: column.tolist() for name, column in open_counts.items() if name not in numbers},
            "interval_s": self._settings.interval_s,
        }
        return State(kind=KIND, version=VERSION, words=words, arrays=arrays)

    def restore(self, state: State) -> None:
        """Know what `state` knows and nothing else.

        Raises:
            StateError: it is another detector's, of another version, or counted intervals of another length.
        """
        words = state.expect(KIND, VERSION).words
        if words.get("interval_s") != self._settings.interval_s:
            raise StateError(
                f"volume: the state counts intervals of {words.get('interval_s')} s, the setting is "
                f"{self._settings.interval_s} s"
            )
        try:
            self.streams.take("streams", state.arrays)
            self.series.take(state.arrays)
            keys = self.series["key"].tolist()
            self.series.texts = {
                key: (name, text) for key, (name, text) in zip(keys, words["texts"], strict=True) if name or text
            }
            self.names = dict(zip(self.streams.keys.tolist(), words["names"], strict=True))
            self.latest = dict(zip(self.streams.keys.tolist(), words["latest"], strict=True))
            self.open = Open()
            self.open.add(_restored(words["open"], state.arrays))
            self.streams.clock, self.late, self.dropped = (int(words[name]) for name in ("clock", "late", "dropped"))
        except (KeyError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
            raise StateError(f"volume: {error!r}") from error

    def _add(self, counts: Counts) -> None:
        rows = self.streams.find(counts.stream)
        timely = counts.interval >= self.streams["next"][rows]
        whole = counts.facet == TOTAL
        self.late += int(counts.value[~timely & whole].sum())
        self.latest |= dict(zip(counts.stream[whole].tolist(), counts.event_id[whole].tolist(), strict=True))
        self.open.add(counts.at(timely))
        if len(self.open) > self._settings.open_max:
            # A stream's own counts go last, then the largest.
            held = self.open.all()
            ranked = np.lexsort((held.key, held.interval, -held.value, held.group > 0))
            self.dropped += len(ranked) - self._settings.open_max // 2
            self.open = Open()
            self.open.add(held.at(np.sort(ranked[: self._settings.open_max // 2])))

    def _close(self, limits: Rows) -> list[Unit]:
        """Weigh and learn every interval before `limits`, one step after another."""
        due = self.open.take(lambda interval, streams: interval < limits[self.streams.find(streams)])
        units: list[Unit] = []
        plan = self._plan(limits, due)
        number = plan["round"].to_numpy()
        due, of_round = _in_rounds(due, plan)
        self._name(due)
        rounds = np.arange(int(number.max(initial=-1)) + 2)
        stream, last, length = (plan[name].to_numpy() for name in ("stream", "interval", "steps"))
        at, held = np.searchsorted(number, rounds), np.searchsorted(of_round, rounds)
        for (begin, end), counted in zip(pairwise(at.tolist()), pairwise(held.tolist()), strict=True):
            here, counts = slice(begin, end), due.at(slice(*counted))
            units += self._learn(self._step(stream[here], last[here], length[here].astype(np.float64), counts))
        self.streams["next"][:] = np.maximum(self.streams["next"], limits)
        return units

    def _plan(self, limits: Rows, due: Counts) -> pl.DataFrame:
        """The steps to close: `round`, `stream`, `interval` (the last of the step), `steps` (how many it holds)."""
        stream: list[int] = []
        last: list[int] = []
        length: list[int] = []
        rounds: list[int] = []
        whole = due.facet == TOTAL
        lines: dict[int, list[int]] = {}
        for name, interval in zip(due.stream[whole].tolist(), due.interval[whole].tolist(), strict=True):
            lines.setdefault(name, []).append(interval)
        for row in np.flatnonzero(limits > self.streams["next"]):
            key = int(self.streams.keys[row])
            steps = list(self._steps(int(self.streams["next"][row]), int(limits[row]), lines.get(key, [])))
            stream += [key] * len(steps)
            last += [interval for interval, _ in steps]
            length += [count for _, count in steps]
            rounds += range(len(steps))
        schema = {"round": pl.Int64, "stream": pl.UInt64, "interval": pl.Int64, "steps": pl.Int64}
        plan = pl.DataFrame({"round": rounds, "stream": stream, "interval": last, "steps": length}, schema=schema)
        return plan.sort("round", "stream")

    def _steps(self, begin: int, limit: int, with_lines: list[int]) -> Iterator[tuple[int, int]]:
        """Steps from `begin` to before `limit`: each interval with lines alone, those between by the hour."""
        hour = max(1, int(self._settings.hour))
        longest = max(1, int(self._settings.gap_s // self._settings.interval_s))
        at = begin
        for target in (*with_lines, limit):
            end = min(target, at + longest)
            while at < end:
                stop = min((at // hour + 1) * hour, end)
                yield stop - 1, stop - at
                at = stop
            if target < limit:
                yield target, 1
            at = target + 1

    def _step(self, streams: Hashes, last: Rows, length: NDArray[np.float64], counts: Counts) -> Step:
        return Step(streams, last, length, last * self._settings.interval_s // _HOUR_S % HOURS, counts)

    def _of_step(self, step: Step) -> Streams:
        rows = self.streams.find(step.streams)
        ripe = self.streams["age"][rows] >= self._settings.history_min
        keys = step.streams.tolist()
        return Streams(
            names=tuple(self.names[key] for key in keys),
            quiet_from=(self.streams["heard"][rows] + 1) * self._width,
            latest=tuple(self.latest.get(key, "") for key in keys),
            ripe=tuple(ripe.tolist()),
        )

    def _learn(self, step: Step) -> list[Unit]:
        """Weigh one step, make units of it, learn it."""
        self._admit(step.counts, step.counts.stream)
        weighed = weigh(self.series, step, self._settings, closed=True)
        units = units_of(step, weighed, self.series, self._of_step(step), self._settings)
        learn(self.series, _lesson(step, weighed), self._settings)
        rows = self.streams.find(step.streams)
        self.streams["age"][rows] += step.steps
        loud = np.searchsorted(step.streams, step.counts.stream[step.counts.facet == TOTAL])
        self.streams["heard"][rows[loud]] = step.interval[loud]
        return units

    def _admit(self, counts: Counts, streams: Hashes) -> None:
        """Begin to know the series of a step, and those that are made of them."""
        if (self.series.find(counts.key) >= 0).all():
            return
        group, first = np.unique(counts.group, return_index=True)
        of_parts = group > 0
        group, first = group[of_parts], first[of_parts]
        entities = counts.facet[first] == ENTITY
        self._know(counts.key, streams, counts.group, counts.facet)
        self._know(group, streams[first], None, np.full(len(group), NEWCOMER, np.int8))
        different = distinct_of(group[entities])
        self._know(different, streams[first[entities]], None, np.full(len(different), DISTINCT, np.int8))

    def _know(self, keys: Hashes, streams: Hashes, groups: Hashes | None, facets: NDArray[np.int8]) -> None:
        new = self.series.find(keys) < 0
        group = groups[new] if groups is not None else np.zeros(int(new.sum()), np.uint64)
        self.series.admit(keys[new], stream=streams[new], group=group, facet=facets[new])

    def _name(self, counts: Counts) -> None:
        """Keep texts of series for people."""
        parts = np.flatnonzero(counts.group > 0)
        texts = self.series.texts
        told = zip(counts.name[parts].tolist(), counts.text[parts].tolist(), strict=True)
        texts |= dict(zip(counts.key[parts].tolist(), told, strict=True))
        groups, first = np.unique(counts.group[parts], return_index=True)
        for group, row in zip(groups, parts[first].tolist(), strict=True):
            kind, colon, _ = counts.name[row].partition(":")
            texts[int(group)] = ("", kind if colon else "line")
            if counts.facet[row] == ENTITY:
                texts[int(distinct_of(group)[0])] = ("", kind)

    def _prune(self) -> None:
        settings = self._settings
        self.series.prune(settings.series_per_group_max, settings.series_max)
        if len(self.streams) > settings.streams_max:
            oldest = np.argsort(self.streams["newest"], kind="stable")[: len(self.streams) - settings.streams_max]
            mask = np.ones(len(self.streams), np.bool_)
            mask[oldest] = False
            self.streams.keep(mask)
            self.names = {key: self.names[key] for key in self.streams.keys.tolist()}
            self.series.keep(np.isin(self.series["stream"], self.streams.keys))
            self.open.take(lambda _, streams: self.streams.find(streams) < 0)

    def _silence(self, row: int, first: int, limit: int, until: int) -> list[Unit]:
        """What one stream's silence from the interval `first` to before `limit` amounts to."""
        key = self.streams.keys[row : row + 1]
        total = self.series.find(total_of(key))
        steps = list(self._steps(first, limit, []))
        last, length = (np.array(numbers, np.int64) for numbers in zip(*steps, strict=True))
        rows = np.repeat(total, len(steps))
        expected = expect(self.series, rows, last * self._settings.interval_s // _HOUR_S % HOURS)
        begun = float(self.series["quiet"][total[0]]) if first == self.streams["next"][row] else 0.0
        quiet = np.array([begun + float((expected.low * length).sum())])
        if quiet[0] < self._settings.deviation_min:
            return []
        surprise = surprise_quiet(quiet, expected.at(slice(0, 1)), np.ones(1, np.bool_), self._settings)
        score = float((surprise / habit(self.series, total, "low", self._settings))[0])
        name, latest = self.names[int(key[0])], self.latest.get(int(key[0]), "")
        part = Part(TOTAL, "", "", 0.0, float(quiet[0]), score, latest)
        heard = max(int(self.streams["heard"][row]), int(self.streams["newest"][row]) // self._width)
        return [Unit(SILENCE, name, (heard + 1) * self._width, until, score, (part,))]


def _lesson(step: Step, weighed: Weighed) -> Lesson:
    place = weighed.place
    return Lesson(
        rows=weighed.rows,
        count=weighed.count,
        steps=step.steps[place],
        interval=step.interval[place],
        hour=step.hour[place],
        expected=weighed.expected,
        high=weighed.high,
        low=np.where(weighed.count > 0, np.maximum(weighed.low, weighed.ended), 0.0),
        quiet=weighed.quiet,
    )


def _in_rounds(due: Counts, plan: pl.DataFrame) -> tuple[Counts, Rows]:
    """Counts by the round of their step in a plan, and the rounds."""
    places = pl.DataFrame({"stream": due.stream, "interval": due.interval})
    rounds = places.join(plan, on=["stream", "interval"], how="left", maintain_order="left")["round"].to_numpy()
    order = np.argsort(rounds, kind="stable")
    return due.at(order), rounds[order]


def _restored(texts: Mapping[str, list[str]], arrays: Mapping[str, NDArray[Any]]) -> Counts:
    columns: dict[str, Any] = {}
    for each in fields(Counts):
        known = _STATE_NAMES.get(each.name, each.name)
        columns[each.name] = objects(texts[known]) if known in texts else arrays[f"open.{known}"]
    return Counts(**columns)
