"""Everything that is read off a skeleton once and then cut out of its lines by offset: masks, entities, parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import polars as pl

from ingest.entities import entity
from ingest.fields import find
from ingest.mask import WILDCARD, Masked, mask
from ingest.skeleton import collapse, skeletons
from ingest.values import Span

PARAMETER = "parameter"
_GARBAGE_SHARE = 0.3  # of characters that are no text; more make a line binary, chosen, not measured

#: One row for each thing that lines of a skeleton hold: constant, or a cut of bytes.
CUTS: dict[str, pl.DataType] = {
    "code": pl.UInt32(),  # of the skeleton, in the batch
    "kind": pl.String(),  # of the entity, "parameter", "trace" or "span"
    "start": pl.UInt32(),
    "length": pl.UInt32(),
    "constant": pl.String(),  # the entity as written, or the parameter; null where it is to be cut
}


@dataclass(slots=True)
class Shape:
    """What the lines of one skeleton have in common."""

    skeleton: str
    masked: Masked
    fields: tuple[Span, ...]
    bytes_at: Sequence[int]  # byte offset of each character
    template: tuple[str, ...] | None = None  # the one that `parameters` are for
    parameters: tuple[tuple[int, int], ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether there is anything to parse: not empty, not binary."""
        return bool(self.masked.text)


class Shapes:
    """Skeletons known so far; only a memory of pure work, so what is forgotten is read again with the same result."""

    def __init__(self, *, shapes_max: int, tokens_max: int) -> None:
        self._shapes_max = shapes_max
        self._tokens_max = tokens_max
        self._known: dict[str, Shape] = {}
        self._aliases: dict[str, Shape] = {}  # skeleton before the letters of UUIDs and digests were zeroed

    def of(self, texts: pl.Series) -> tuple[list[Shape], np.typing.NDArray[np.uint32]]:
        """Distinct shapes of texts, in the order they first appear, and which of them each text has."""
        frame = pl.DataFrame({"skeleton": skeletons(texts)})
        distinct = frame.unique(maintain_order=True)
        shapes: dict[int, int] = {}  # identity of a shape -> code
        found: list[Shape] = []
        codes = []
        for shape in self._look_up(distinct["skeleton"]):
            code = shapes.setdefault(id(shape), len(found))
            if code == len(found):
                found.append(shape)
            codes.append(code)
        coded = distinct.with_columns(pl.Series("code", codes, dtype=pl.UInt32))
        return found, frame.join(coded, on="skeleton", how="left", maintain_order="left")["code"].to_numpy()

    def _look_up(self, distinct: pl.Series) -> list[Shape]:
        aliases = self._aliases
        names = distinct.to_list()
        new = [name for name in names if name not in aliases]
        if new:
            for name, collapsed in zip(new, collapse(pl.Series(new, dtype=pl.String)).to_list(), strict=True):
                shape = self._known.get(collapsed)
                if shape is None:
                    shape = self._known[collapsed] = self._read(collapsed)
                aliases[name] = shape
        found = [aliases[name] for name in names]
        self._forget()
        return found

    def _read(self, skeleton: str) -> Shape:
        if _is_garbage(skeleton):
            return Shape(skeleton, Masked("", (), ()), (), ())
        fields = find(skeleton)
        return Shape(skeleton, mask(skeleton, fields, tokens_max=self._tokens_max), fields, _bytes_at(skeleton))

    def _forget(self) -> None:
        """Drop the older half when there are too many."""
        for memory in (self._aliases, self._known):
            if len(memory) > self._shapes_max:
                for name in list(islice(memory, len(memory) - self._shapes_max // 2)):
                    del memory[name]


def _is_garbage(skeleton: str) -> bool:
    if skeleton.isprintable():
        return False
    strange = sum(character == "\ufffd" or (character < " " and not character.isspace()) for character in skeleton)
    return strange > _GARBAGE_SHARE * len(skeleton)


def _bytes_at(skeleton: str) -> Sequence[int]:
    if skeleton.isascii():
        return range(len(skeleton) + 1)
    offsets = [0]
    for character in skeleton:
        offsets.append(offsets[-1] + len(character.encode()))
    return offsets


def cuts(
    shapes: Sequence[Shape], templates: Sequence[tuple[str, ...]], *, parameters_max: int, chars_max: int
) -> pl.DataFrame:
    """CUTS of shapes whose lines have these templates, by code."""
    rows: dict[str, list[object]] = {name: [] for name in CUTS}

    def add(code: int, kind: str, span: tuple[int, int], constant: str | None) -> None:
        at = shapes[code].bytes_at
        for name, value in zip(rows, (code, kind, at[span[0]], at[span[1]] - at[span[0]], constant), strict=True):
            rows[name].append(value)

    for code, (shape, template) in enumerate(zip(shapes, templates, strict=True)):
        skeleton = shape.skeleton
        for kind, start, end in shape.fields:
            value = skeleton[start:end]
            constant = None if "0" in value else entity(kind, value)
            if constant is not None or "0" in value:
                add(code, kind, (start, end), constant)
        for start, end in _parameters(shape, template)[:parameters_max]:
            span = (start, min(end, start + chars_max))
            value = skeleton[slice(*span)]
            add(code, PARAMETER, span, None if "0" in value else value)
    return pl.DataFrame(rows, schema=CUTS)


def _parameters(shape: Shape, template: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """What varies: a whole token where the template has `<*>`, else the masked parts of the token."""
    if shape.template is not template:
        shape.template = template
        shape.parameters = tuple(_varying(shape.masked, template))
    return shape.parameters


def _varying(masked: Masked, template: tuple[str, ...]) -> Iterable[tuple[int, int]]:
    spans = list(masked.spans)
    if len(template) != len(masked.tokens):
        yield from ((span.start, span.end) for span in spans)
        return
    place = 0
    for token, (start, end) in zip(template, masked.tokens, strict=True):
        inside = []
        while place < len(spans) and spans[place].start < end:
            inside.append((spans[place].start, spans[place].end))
            place += 1
        if token == WILDCARD:
            yield start, end
        else:
            yield from inside


def cut(rows: pl.DataFrame, plan: pl.DataFrame) -> pl.DataFrame:
    """Cut what a plan names out of lines.

    Args:
        rows: `row`, `code` and `text` of each line.
        plan: CUTS.

    Returns:
        `row`, `kind`, `value` and `is_constant`, in the order of the rows and of the plan.
    """
    long = rows.join(plan, on="code", how="inner", maintain_order="left_right")
    piece = pl.col("text").cast(pl.Binary).bin.slice(pl.col("start"), pl.col("length")).cast(pl.String)
    is_constant = pl.col("constant").is_not_null()
    return long.select(
        "row",
        "kind",
        pl.when(is_constant).then("constant").otherwise(piece).alias("value"),
        is_constant.alias("is_constant"),
    )
