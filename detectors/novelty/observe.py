"""Learns how often something new appears: from the things of a batch to observations of groups, minute by minute.

Each family of groups is added up on small numbers first, so that only sums are looked up by hash.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.codes import runs
from detectors.hashing import Hashes, combine
from detectors.novelty.memory import Memory
from detectors.novelty.things import Things
from detectors.table import Rows


@dataclass(frozen=True, slots=True)
class _Sums:
    """Observations of some groups in some minutes."""

    code: Rows  # of the group, numbered as the caller likes
    minute: Rows
    count: Rows
    news: Rows


def observe_singles(memory: Memory, taken: Things, new: NDArray[np.bool_]) -> None:
    """Learn how often things are new in their group, and in the lines of each template.

    Args:
        memory: learns it.
        taken: a batch.
        new: the singles that are not known.
    """
    singles, tally = taken.singles, taken.of_singles
    minutes, kinds = len(taken.minutes), len(singles.groups)
    kind, news = singles.kind[tally.row], (tally.begins & new[tally.row]).astype(np.int64)
    of_group = _summed(kind, kinds, tally.minute, minutes, tally.count, news)
    others = np.flatnonzero(singles.facet[tally.row] > 0)
    # A thing of several templates in one minute counts for that of its first line.
    here = taken.template[tally.record[others]] * kinds + kind[others]
    size = len(singles) * kinds
    of_line = _summed(here, size, tally.minute[others], minutes, tally.count[others], news[others])
    line = combine(singles.key[of_line.code // kinds], singles.groups[of_line.code % kinds])
    _observe(memory, taken.minutes, [(singles.groups[of_group.code], of_group), (line, of_line)])


def observe_pairs(memory: Memory, taken: Things, known: NDArray[np.bool_], new: NDArray[np.bool_]) -> None:
    """Learn how often things meet for the first time; it says something only where both were known before.

    Args:
        memory: learns it.
        taken: a batch.
        known: the singles that are known.
        new: the pairs that are not known.
    """
    singles, pairs, tally = taken.singles, taken.pairs, taken.of_pairs
    minutes, kinds = len(taken.minutes), len(singles.groups)
    met = np.flatnonzero((known[pairs.left] & known[pairs.right])[tally.row])
    row, minute, count = tally.row[met], tally.minute[met], tally.count[met]
    news = (tally.begins[met] & new[row]).astype(np.int64)
    left, right = pairs.left[row], pairs.right[row]
    left_kind, right_kind = singles.kind[left], singles.kind[right]
    of_kinds = _summed(left_kind * kinds + right_kind, kinds * kinds, minute, minutes, count, news)
    kind_pair = combine(singles.groups[of_kinds.code // kinds], singles.groups[of_kinds.code % kinds])
    # What each end meets, of each kind: from both sides of every pair.
    end = np.concatenate([left * kinds + right_kind, right * kinds + left_kind])
    both = [np.tile(column, 2) for column in (minute, count, news)]
    of_end = _summed(end, len(singles) * kinds, both[0], minutes, both[1], both[2])
    single, kind = of_end.code // kinds, of_end.code % kinds
    own = combine(singles.key[single], singles.groups[kind])
    peers = memory.pools(own, singles.group[single], singles.groups[kind])
    _observe(memory, taken.minutes, [(kind_pair, of_kinds), (own, of_end), (peers, of_end)])


def _summed(code: Rows, size: int, minute: Rows, minutes: int, count: Rows, news: Rows) -> _Sums:  # noqa: PLR0913, PLR0917 -- parallel columns
    """Add up the rows of each code, below `size`, and minute."""
    together = runs(code * minutes + minute, size * minutes)
    return _Sums(together.code // minutes, together.code % minutes, together.total(count), together.total(news))


def _observe(memory: Memory, minutes: Rows, families: list[tuple[Hashes, _Sums]]) -> None:
    memory.rates.observe(
        np.concatenate([group for group, _ in families]),
        minutes[np.concatenate([sums.minute for _, sums in families])],
        np.concatenate([sums.count for _, sums in families]),
        np.concatenate([sums.news for _, sums in families]),
        memory.now,
    )
