"""Which abnormal units begin a story and which only go on with it: runs declustering of extremes.

Extremes come in clusters, and the statistics of a tail want independent ones. The usual cure is to count one of each
run, a run being extremes no further apart than some time (Leadbetter et al., Extremes and Related Properties of Random
Sequences and Processes, 1983; Ferro and Segers, JRSS B 65, 2003). Differs from the papers: the strongest of a run is
not known before its end, so a later one counts as well when it is stronger than all before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

_STREAMS_MAX = 10_000  # runs that are remembered; those that ended longest ago are forgotten first


class Runs:
    """The latest run of each stream: when its last extreme was (ns of event time), and the strongest score of it."""

    def __init__(self, words: Mapping[str, Sequence[float]] | None = None) -> None:
        self._runs = {stream: (int(at), float(score)) for stream, (at, score) in (words or {}).items()}

    def words(self) -> dict[str, list[float]]:
        """All of it, for a State."""
        return {stream: list(run) for stream, run in self._runs.items()}

    def begins(self, scores: pl.DataFrame, extreme: NDArray[np.bool_], run_s: float) -> NDArray[np.bool_]:
        """Mask of the extremes that begin a run, or are the strongest of theirs so far. Remembers them.

        Args:
            scores: SCORES.
            extreme: mask of its rows.
            run_s: extremes of a stream no further apart than so many seconds are one run.
        """
        mask = np.zeros(len(scores), np.bool_)
        rows = np.flatnonzero(extreme)
        at = scores["start"].to_physical().to_numpy()
        score = scores["score"].to_numpy()
        streams = scores["stream"].gather(rows).to_list()
        for place in sorted(range(len(rows)), key=lambda place: (at[rows[place]], -score[rows[place]])):
            row, stream = rows[place], streams[place]
            last, strongest = self._runs.get(stream, (0, -np.inf))
            same = abs(int(at[row]) - last) <= run_s * 1e9
            mask[row] = not same or score[row] > strongest
            self._runs[stream] = (
                max(last, int(at[row])),
                max(strongest, float(score[row])) if same else float(score[row]),
            )
        if len(self._runs) > _STREAMS_MAX:
            latest = sorted(self._runs.items(), key=lambda item: item[1])[-_STREAMS_MAX:]
            self._runs = dict(sorted(latest))
        return mask
