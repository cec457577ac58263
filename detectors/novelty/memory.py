"""All that the novelty detector knows: the known things, the novelty rates of their groups, a clock that ages them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.hashing import Hashes, combine
from detectors.novelty.rates import Floats, Rates
from detectors.novelty.settings import NoveltySettings
from detectors.novelty.things import FACETS, MINUTE_NS, Pairs, Singles, Tally, Things
from detectors.table import Heap, Rows, newest
from tocsin.errors import StateError
from tocsin.state import State

KIND, VERSION = "novelty", 1
_DAY_NS = 86_400_000_000_000
_POOL_WEIGHT = 2.0  # observations that the habit of its peers is worth against an entity's own; chosen, not measured
_PRUNE_RECORDS = 16_384  # between two prunings; each sorts all that is known
_SEPARATOR = "\x1f"  # between texts in the state; a text that holds it is kept with a blank instead


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a batch's things in `Memory.known`, -1 where there is none; true until it forgets."""

    singles: Rows
    pairs: Rows


class Memory:
    """Known things and rates. Rows of `known` carry group, both ends of a pair (0 for singles), count, first, last."""

    def __init__(self, settings: NoveltySettings) -> None:
        self._settings = settings
        self.known = Heap({"group": "u8", "left": "u8", "right": "u8", "count": "f8", "first": "i8", "at": "i8"})
        self.rates = Rates(settings.halflife_days * _DAY_NS)
        self.now = 0  # ns of event time; 0 before the first record
        self.records = 0
        self.evicted = 0
        self.texts = pl.DataFrame(schema={"key": pl.UInt64, "text": pl.String})

    def find(self, taken: Things) -> Found:
        """Where the things of a batch are known."""
        return Found(self.known.find(taken.singles.key), self.known.find(taken.pairs.key))

    def is_fresh(self, rows: Rows) -> NDArray[np.bool_]:
        """Was each row of `known` seen within the age limit? Not so where it is -1."""
        if len(self.known) == 0:
            return np.zeros(len(rows), np.bool_)
        return np.asarray((rows >= 0) & (self.known["at"][rows] >= self._age_limit()), np.bool_)

    def tick(self, times: Rows) -> None:
        """Move the clock to the newest of `times`, sorted.

        One line with a wild date must not make everything old: the clock moves no more than a day, and what the middle
        of the batch itself spans, at a time.
        """
        if self.now == 0:
            self.now = int(times[len(times) // 2])
        low, high = np.quantile(times, (0.1, 0.9), method="lower")
        self.now = max(self.now, min(int(times[-1]), self.now + _DAY_NS + int(high - low)))

    def learn_keys(self, keys: Hashes, rows: Rows, columns: Mapping[str, Hashes], tally: Tally, minutes: Rows) -> None:
        """Make keys known.

        Args:
            keys: distinct.
            rows: of them in `known`, -1 where there is none.
            columns: group and both ends of each.
            tally: of the keys, one row of it or more for each.
            minutes: those that the tally numbers.
        """
        if len(keys) == 0:
            return
        begins = np.flatnonzero(tally.begins)
        lasts = np.append(begins[1:], len(tally)) - 1
        first, at = (np.minimum(minutes[tally.minute[ends]] * MINUTE_NS, self.now) for ends in (begins, lasts))
        count = np.add.reduceat(tally.count, begins).astype(np.float64)
        old = rows >= 0
        known = rows[old]
        self.known["count"][known] += count[old]
        self.known["at"][known] = np.maximum(self.known["at"][known], at[old])
        new = {name: column[~old] for name, column in columns.items()}
        self.known.add(keys[~old], new | {"count": count[~old], "first": first[~old], "at": at[~old]})

    def learn_texts(self, keys: Hashes, texts: pl.Series) -> None:
        """Keep the readable text of new keys, for explanations."""
        limit = self._settings.text_chars_max
        short = texts.str.head(limit).str.replace_all(_SEPARATOR, " ", literal=True)
        frame = pl.DataFrame({"key": keys, "text": short}).unique("key", maintain_order=True)
        self.texts = pl.concat([self.texts, frame]).tail(self._settings.texts_max)

    def prune(self, learned: int) -> None:
        """Forget what is too old or too much, once in many records, of which `learned` are the latest."""
        is_due = self.records // _PRUNE_RECORDS > (self.records - learned) // _PRUNE_RECORDS
        if not is_due and len(self.known) <= self._settings.values_max:
            return
        settings, known = self._settings, self.known
        rows = known.in_order()
        rows = rows[known["at"][rows] >= self._age_limit()]
        fresh = len(rows)
        if fresh > settings.values_per_group_max:
            at = known["at"][rows]
            rows = rows[newest(known["group"][rows], at, settings.values_per_group_max, settings.values_max)]
        self.evicted += fresh - len(rows)
        known.keep(rows)
        self.evicted += self.rates.forget(settings.groups_max)

    def single_chance(self, singles: Singles, rows: Rows, templates: Hashes, earlier: Floats) -> Floats:
        """-log10 of the chance that some singles are new.

        Where it happens says more than the stream as a whole: lines of a failed login bring strange hosts all day,
        those of the backup never. So the rate of the template with things of that group, drawn towards the group's own.

        Args:
            singles: of a batch.
            rows: those in question.
            templates: key of the template of each of `rows`.
            earlier: how many of its group were new in this batch already.
        """
        seen, news = self.rates.counts(singles.group[rows], self.now)
        of_group = (news + 1.0 + np.sqrt(earlier)) / (seen / 2.0 + 1.0)
        here_seen, here_news = self.rates.counts(combine(templates, singles.group[rows]), self.now)
        here = (here_news + _POOL_WEIGHT * of_group) / (here_seen / 2.0 + _POOL_WEIGHT)
        alone = singles.facet[rows] == FACETS.index("template")
        return np.asarray(-np.log10(np.minimum(np.where(alone, of_group, here), 1.0)), np.float64)

    def pair_chance(self, singles: Singles, pairs: Pairs) -> Floats:
        """-log10 of the chance that two known things meet for the first time.

        Both ends speak: how often does this user meet new hosts, how often does this host meet new users? Each is the
        end's own novelty rate, drawn towards that of its peers of the same experience (ends that were seen about as
        often), so that a newcomer is judged as newcomers are. As odds the two multiply around the overall rate; the
        result is kept between the two, since neither end may be overruled by extrapolation.
        """
        sides = [self._end_chance(singles, pairs, left=left) for left in (True, False)]
        overall = -np.log10(self.rates.probability(pair_group(singles, pairs), self.now))
        low, high = np.minimum(*sides), np.maximum(*sides)
        return np.asarray(np.clip(sides[0] + sides[1] - overall, low, high), np.float64)

    def pools(self, owns: Hashes, here: Hashes, there: Hashes) -> Hashes:
        """Group of an end's peers: same kinds on both sides, and seen about as often (by factors of two).

        Args:
            owns: the ends' own groups, from `own_group`.
            here: groups of the ends.
            there: groups of what they meet.
        """
        seen, _ = self.rates.counts(owns, self.now)
        experience = np.minimum(np.log2(1.0 + seen), 12.0).astype(np.uint64)
        return combine(combine(here, there), experience + np.uint64(1))

    def usual(self, keys: Sequence[np.uint64], *, among: str, top: int) -> list[str]:
        """Texts of the most frequent known rows whose column `among` is one of `keys`."""
        rows = self.known.in_order()
        rows = rows[np.isin(self.known[among][rows], np.array(keys, np.uint64))]
        return self.describe(self.known.keys[rows[np.argsort(-self.known["count"][rows], kind="stable")[:top]]])

    def partners(self, key: np.uint64, group: np.uint64, *, top: int) -> list[str]:
        """Texts of the things of `group` that were seen most often with the thing `key`."""
        found: list[tuple[float, np.uint64]] = []
        for side, other in (("left", "right"), ("right", "left")):
            rows = self.known.in_order()
            rows = rows[self.known[side][rows] == key]
            ends = self.known[other][rows]
            places = self.known.find(ends)
            right_group = (places >= 0) & (self.known["group"][places] == group) if len(rows) else places >= 0
            found += zip(self.known["count"][rows[right_group]], ends[right_group], strict=True)
        found.sort(key=lambda item: (-item[0], int(item[1])))
        return self.describe(np.array([end for _, end in found[:top]], np.uint64))

    def count(self, key: np.uint64) -> int:
        """How often a thing or a pair was seen."""
        return int(self._value("count", key))

    def first(self, key: np.uint64) -> int:
        """When it was seen first, ns of event time; 0 when it is not known."""
        return int(self._value("first", key))

    def lines(self, group: np.uint64) -> int:
        """How many things of a group were seen, each as often as it was."""
        return int(self.known["count"][self.known["group"] == group].sum())

    def distinct(self, groups: Hashes) -> Rows:
        """How many things of each group are known."""
        asked, places = np.unique(groups, return_inverse=True)
        members = np.searchsorted(asked, self.known["group"][np.isin(self.known["group"], asked)])
        return np.bincount(members, minlength=len(asked))[places]

    def last_news(self, group: np.uint64) -> int:
        """When something new came up in a group, ns of event time; 0 when nothing did."""
        row = int(self.rates.table.find(np.array([group], np.uint64))[0])
        return int(self.rates.table["news_at"][row]) if row >= 0 else 0

    def describe(self, keys: Hashes) -> list[str]:
        """Texts of keys, without those whose text was not kept."""
        texts = self.texts_of(keys)
        return [texts[key] for key in keys.tolist() if key in texts]

    def texts_of(self, keys: Hashes) -> dict[int, str]:
        """Texts by key, of those keys whose text was kept."""
        wanted = pl.Series(keys, dtype=pl.UInt64).implode()
        return dict(self.texts.filter(pl.col("key").is_in(wanted)).iter_rows())

    def state(self) -> State:
        """Return all of it, as plain values."""
        joined = _SEPARATOR.join(self.texts["text"]).encode()
        arrays = self.known.arrays("known") | self.rates.table.arrays("rates")
        arrays |= {"texts.key": self.texts["key"].to_numpy(), "texts.text": np.frombuffer(joined, np.uint8)}
        words = {"now": self.now, "records": self.records, "evicted": self.evicted}
        return State(kind=KIND, version=VERSION, words=words, arrays=arrays)

    def restore(self, state: State) -> None:
        """Know what `state` knows and nothing else."""
        state.expect(KIND, VERSION)
        arrays: Mapping[str, NDArray[np.generic]] = state.arrays
        try:
            self.known.take("known", arrays)
            self.rates.table.take("rates", arrays)
            keys = arrays["texts.key"]
            texts = arrays["texts.text"].tobytes().decode().split(_SEPARATOR) if len(keys) else []
            self.texts = pl.DataFrame({"key": keys, "text": texts}, schema=self.texts.schema)
            self.now, self.records, self.evicted = (int(state.words[name]) for name in ("now", "records", "evicted"))
        except (KeyError, ValueError, pl.exceptions.PolarsError) as error:
            raise StateError(f"novelty: {error!r}") from error

    def _value(self, column: str, key: np.uint64) -> float:
        row = int(self.known.find(np.array([key], np.uint64))[0])
        return float(self.known[column][row]) if row >= 0 else 0.0

    def _age_limit(self) -> int:
        return self.now - int(self._settings.age_days * _DAY_NS)

    def _end_chance(self, singles: Singles, pairs: Pairs, *, left: bool) -> Floats:
        owns = own_group(singles, pairs, left=left)
        seen, news = self.rates.counts(owns, self.now)
        here, there = (pairs.left, pairs.right) if left else (pairs.right, pairs.left)
        peers = self.rates.probability(self.pools(owns, singles.group[here], singles.group[there]), self.now)
        chance = (news + _POOL_WEIGHT * peers) / (seen / 2.0 + _POOL_WEIGHT)
        return np.asarray(-np.log10(np.minimum(chance, 1.0)), np.float64)


def pair_group(singles: Singles, pairs: Pairs) -> Hashes:
    """Group of all pairs of the same two kinds in a stream."""
    return combine(singles.group[pairs.left], singles.group[pairs.right])


def own_group(singles: Singles, pairs: Pairs, *, left: bool) -> Hashes:
    """Group of the pairs that one end makes with the kind of the other."""
    here, there = (pairs.left, pairs.right) if left else (pairs.right, pairs.left)
    return combine(singles.key[here], singles.group[there])
