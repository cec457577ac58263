"""What is new in a batch: each new thing with its surprise, and one readable unit text a record.

The surprise of a thing is -log10 of the chance that a novelty of its group comes next (rates.py). The second novelty of
a group within one batch is expected more than the first, the hundredth much more: the batch counts as a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.hashing import Hashes
from detectors.novelty.memory import Found, Memory, own_group
from detectors.novelty.rates import Floats
from detectors.novelty.settings import NoveltySettings
from detectors.novelty.things import FACETS, Pairs, Singles, Things, at_rows
from detectors.table import Rows
from detectors.words import messages, one_line

#: The unit of a record that brings nothing new.
NOTHING = "nothing new"

Tag = Literal["line", "entity", "field", "pair", "entity in line"]

_PARTS_MAX = 4  # news told about one record; more is not read
_BETWEEN_PARTS = " ++ "
_BETWEEN_ENDS = " <> "
_NUMBER = "=-?[0-9]+$"
_CODE = "(?i)(?:id|code|status|type|class|level|priority|signal|errno|error|port|version)=[^=]*$"  # names of codes
_ERROR, _FATAL = 17, 21  # OpenTelemetry severity numbers
_TAGS: tuple[Tag, ...] = ("line", "entity", "field")  # of singles, in the order of FACETS


@dataclass(frozen=True, slots=True)
class Part:
    """One new thing of a record, read back from a unit text."""

    tag: Tag
    texts: tuple[str, ...]  # one; two for a pair


def readable(  # noqa: PLR0913, PLR0917 -- the things, where they stand, and what is known of them
    records: pl.DataFrame, singles: Singles, rows: Rows, record: Rows, memory: Memory, chars_max: int
) -> pl.Series:
    """Texts of some singles, of some records, for a person: the head of the line for a template, else the thing."""
    if len(rows) == 0:
        return pl.Series("text", [], dtype=pl.String)
    line = np.flatnonzero(singles.facet[rows] == FACETS.index("template"))
    text = one_line(singles.texts[singles.text[rows]], chars_max)
    if len(line) == 0:
        return _divided(text).alias("text")
    # A kind of line that is known is shown by the first one of it: to find where a message begins is not cheap.
    keys = singles.key[rows[line]]
    kept = memory.texts_of(keys)
    missing = np.array([key not in kept for key in keys.tolist()])
    heads = messages(records["body"][record[line[missing]]], chars_max)
    kept |= dict(zip(keys[missing].tolist(), heads.to_list(), strict=True))
    return _divided(text.scatter(line, [kept[key] for key in keys.tolist()])).alias("text")


def _divided(text: pl.Series) -> pl.Series:
    """Texts without what separates the parts of a unit."""
    text = text.str.replace_all(_BETWEEN_PARTS, " + ", literal=True)
    return text.str.replace_all(_BETWEEN_ENDS, " - ", literal=True)


def news_of(
    records: pl.DataFrame, taken: Things, found: Found, memory: Memory, settings: NoveltySettings
) -> pl.DataFrame:
    """The records that bring something new: `record` (row), `unit` (text), `score`.

    Args:
        records: in order.
        taken: `things` of the records.
        found: where they are known.
        memory: what is known before them.
        settings: of the detector.
    """
    singles = taken.singles
    known = memory.is_fresh(found.singles)
    new = np.flatnonzero(~known)
    # Together as the record brings them: templates, entities, fields.
    new = new[np.lexsort((singles.place[new], singles.record[new]))]
    news = pl.concat(
        [
            _new_singles(records, taken, new, memory, settings),
            _new_pairs(records, singles, _meeting(taken.pairs, found, known, memory), memory, settings),
        ]
    )
    # The strongest decides; each further one adds half of what is left up to the bonus.
    bonus = settings.bonus_max * (1.0 - 0.5 ** (pl.len() - 1.0))
    return (
        news.sort(["record", "surprise", "text"], descending=[False, True, False])
        .group_by("record", maintain_order=True)
        .agg(
            pl.col("text").head(_PARTS_MAX).str.join(_BETWEEN_PARTS).first().alias("unit"),
            (pl.col("surprise").first() + bonus).alias("score"),
        )
    )


def parts_of(unit: str) -> tuple[Part, ...]:
    """Read a unit text back, the strongest part first; empty when nothing was new."""
    if unit == NOTHING:
        return ()
    parts = []
    for text in unit.split(_BETWEEN_PARTS):
        tag, _, content = text.partition(": ")
        texts = tuple(content.split(_BETWEEN_ENDS)) if _BETWEEN_ENDS in content else (content,)
        parts.append(Part(tag=_tag(tag), texts=texts))
    return tuple(parts)


def _tag(text: str) -> Tag:
    for tag in (*_TAGS, *_PAIR_TAGS):
        if text == f"new {tag}":
            return tag
    raise AssertionError(f"unit texts are made here, and this is none: {text!r}")


_PAIR_TAGS: tuple[Tag, ...] = ("pair", "entity in line")


def _meeting(pairs: Pairs, found: Found, known: NDArray[np.bool_], memory: Memory) -> Pairs:
    """The pairs that are new although both their ends are known; in the order of the records."""
    both = np.flatnonzero(known[pairs.left] & known[pairs.right])
    new = both[~memory.is_fresh(found.pairs[both])]
    return at_rows(pairs, new[np.argsort(pairs.place[new])])


def _new_singles(
    records: pl.DataFrame, taken: Things, rows: Rows, memory: Memory, settings: NoveltySettings
) -> pl.DataFrame:
    singles = taken.singles
    templates = singles.key[taken.template[singles.record[rows]]]
    surprise = memory.single_chance(singles, rows, templates, _earlier(singles.group[rows]))
    rows, surprise = rows[surprise >= settings.surprise_min], surprise[surprise >= settings.surprise_min]
    names = ~_is_quantity(singles, rows, memory, settings)
    rows, surprise = rows[names], surprise[names]
    severity = records["severity_number"].to_numpy()[singles.record[rows]]
    bonus = settings.error_bonus * ((severity >= _ERROR).astype(np.float64) + (severity >= _FATAL))
    lines = singles.facet[rows] == FACETS.index("template")
    heads = readable(records, singles, rows, singles.record[rows], memory, settings.text_chars_max)
    tags = pl.Series(np.array([f"new {tag}: " for tag in _TAGS])[singles.facet[rows]], dtype=pl.String)
    return _frame(singles.record[rows], surprise + bonus * lines, tags + heads)


def _is_quantity(singles: Singles, rows: Rows, memory: Memory, settings: NoveltySettings) -> NDArray[np.bool_]:
    """Which singles are numbers that count something: 27 hits after at most 26 is no news, status 507 is."""
    text = singles.texts[singles.text[rows]]
    number = (text.str.contains(_NUMBER) & ~text.str.contains(_CODE)).to_numpy()
    quantity: NDArray[np.bool_] = (singles.facet[rows] == FACETS.index("field")) & number
    quantity[quantity] = memory.distinct(singles.group[rows[quantity]]) > settings.numbers_min
    return quantity


def _new_pairs(
    records: pl.DataFrame, singles: Singles, pairs: Pairs, memory: Memory, settings: NoveltySettings
) -> pl.DataFrame:
    ranks = [_earlier(own_group(singles, pairs, left=left)) for left in (True, False)]
    surprise = memory.pair_chance(singles, pairs) - np.log10(1.0 + np.sqrt(np.maximum(*ranks)))
    told = surprise >= settings.surprise_min
    left, right, record = pairs.left[told], pairs.right[told], pairs.record[told]
    in_line = singles.facet[left] == FACETS.index("template")
    # The head of a line may be long and contain anything: it comes last.
    first, second = np.where(in_line, right, left), np.where(in_line, left, right)
    one, other = (readable(records, singles, rows, record, memory, settings.text_chars_max) for rows in (first, second))
    tags = pl.Series(np.where(in_line, "new entity in line: ", "new pair: "), dtype=pl.String)
    return _frame(record, surprise[told], tags + one + _BETWEEN_ENDS + other)


def _frame(record: Rows, surprise: Floats, text: pl.Series) -> pl.DataFrame:
    schema = {"record": pl.Int64, "surprise": pl.Float64, "text": pl.String}
    return pl.DataFrame({"record": record, "surprise": surprise, "text": text}, schema=schema)


def _earlier(groups: Hashes) -> Floats:
    """How often each group came before in the array."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    counts = np.empty(len(groups), np.float64)
    counts[order] = np.arange(len(groups)) - np.searchsorted(ordered, ordered)
    return counts
