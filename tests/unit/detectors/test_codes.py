"""Numbers in place of texts, and tables by hash: the fast ways beside the plain ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest

from detectors.codes import coded, dense, exploded, runs
from detectors.hashing import hash64
from detectors.table import Heap, newest

HASHES = [
    16294208416658607535,
    10708308975476589084,
    2338311414408641988,
    8223248258727253491,
    17511895659394153313,
    13370161384306053974,
    17318102346751367924,
]  # of the texts below, as they stand in the states of users


def test_texts_are_numbered_in_the_order_in_which_they_come() -> None:
    said = coded(pl.Series(["b", "a", "b", "", "a"]))
    assert said.texts.to_list() == ["b", "a", ""]
    assert said.code.tolist() == [0, 1, 0, 2, 1]
    assert len(coded(pl.Series([], dtype=pl.String))) == 0


@pytest.mark.parametrize("size", [50, 1 << 40], ids=["by table", "by sorting"])
def test_numbers_become_dense_and_keep_their_first_place(size: int) -> None:
    numbers = np.random.default_rng(1).integers(0, 50, 500) * (size // 50)
    code, first = dense(numbers, size)
    assert (numbers[first][code] == numbers).all()
    assert first.tolist() == sorted(numbers.tolist().index(number) for number in set(numbers.tolist()))


@pytest.mark.parametrize("size", [50, 1 << 62], ids=["words", "places"])
def test_equal_numbers_come_together(size: int) -> None:
    numbers = np.random.default_rng(2).integers(0, 50, 500) * (size // 50)
    values = np.arange(500)
    together = runs(numbers, size)
    counted = Counter(numbers.tolist())
    assert together.code.tolist() == sorted(counted)
    assert together.count.tolist() == [counted[number] for number in sorted(counted)]
    assert together.first.tolist() == [numbers.tolist().index(number) for number in sorted(counted)]
    assert together.total(values).tolist() == [int(values[numbers == number].sum()) for number in sorted(counted)]
    assert len(runs(numbers[:0], size)) == 0


def test_lists_are_taken_apart_and_empty_ones_leave_nothing() -> None:
    place, texts = exploded(pl.Series([["a", "b"], [], ["c"]], dtype=pl.List(pl.String)))
    assert place.tolist() == [0, 0, 2]
    assert texts.to_list() == ["a", "b", "c"]


def test_hashes_are_those_of_earlier_releases() -> None:
    # Were they others, everything that is known would be new after an upgrade.
    texts = ["", "a", "user:alice", "ö" * 33, "x" * 64, "y" * 65, "z" * 300]
    assert hash64(pl.Series(texts)).tolist() == HASHES
    assert hash64(pl.Series(texts[::-1])).tolist() == HASHES[::-1]


def test_a_row_of_a_heap_stays_where_it_was_put() -> None:
    heap = Heap({"count": np.float64})
    first = heap.add(np.array([30, 10], np.uint64), {"count": np.array([3.0, 1.0])})
    twin = heap.copy()
    heap.add(np.array([20], np.uint64), {"count": np.array([2.0])})
    assert heap.find(np.array([30, 10], np.uint64)).tolist() == first.tolist()
    assert heap["count"][heap.find(np.array([10, 20, 30], np.uint64))].tolist() == [1.0, 2.0, 3.0]
    assert twin.find(np.array([20], np.uint64)).tolist() == [-1]
    assert heap.arrays("t")["t.count"].tolist() == [1.0, 2.0, 3.0]
    assert heap.keep(heap.in_order()[1:]) == 1
    assert heap.find(np.array([10, 20, 30], np.uint64)).tolist() == [-1, 0, 1]


def test_each_group_keeps_its_newest() -> None:
    random = np.random.default_rng(3)
    group, at = random.integers(0, 9, 400).astype(np.uint64), random.integers(0, 40, 400)
    mask = newest(group, at, 20, 1_000)
    for each in range(9):
        rows = np.flatnonzero(group == each)
        wanted = sorted(rows.tolist(), key=lambda row: (-at[row], row))[:20]
        assert np.flatnonzero(mask & (group == each)).tolist() == sorted(wanted)
    assert newest(group, at, 20, 50).sum() == 50
