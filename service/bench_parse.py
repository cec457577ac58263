"""`tocsin bench parse`: lines into templates and records, beside drain3 and beside what no parser can do without."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from evaluation.drain import drain, masked
from ingest.batch import Batch
from ingest.header import headers
from ingest.parse import Parser, ParseSettings
from ingest.plans import Extent
from ingest.shapes import Shapes
from ingest.skeleton import skeletons
from ingest.templates import StreamTemplates, TemplateSettings
from service.bench import ratio, row
from service.load import bodies
from tocsin.record import lines_of_texts

_SYSTEMS = ("HDFS", "BGL", "OpenSSH", "Apache", "Thunderbird", "Linux")
NOW = datetime(2026, 3, 2, tzinfo=UTC)
_BATCH_LINES = 20_000  # about 2.5 MB
_PEER_LINES = 30_000
_SEED = 7


@dataclass(frozen=True, slots=True)
class Sample:
    """Lines of one system, and the random digits that make many of few."""

    name: str
    lines: pl.Series

    def batches(self, count: int) -> Iterator[pl.Series]:
        """About `count` lines: the sample over and over, the digits of its messages drawn anew each time."""
        random = np.random.default_rng(_SEED)
        lines = pl.concat([self.lines] * -(-_BATCH_LINES // len(self.lines)))[:_BATCH_LINES]
        text = np.frombuffer(("\n".join(lines.to_list()) + "\n").encode(), np.uint8)
        starts = np.concatenate(([0], np.flatnonzero(text == ord("\n"))[:-1] + 1))
        messages = starts + headers(lines, observed_time=NOW)["start"].to_numpy()
        lengths = np.diff(np.append(starts, len(text)))
        is_digit = (text >= ord("0")) & (text <= ord("9"))
        is_digit &= np.arange(len(text)) >= np.repeat(messages, lengths)
        many = int(is_digit.sum())
        for _ in range(-(-count // _BATCH_LINES)):
            drawn = text.copy()
            drawn[is_digit] = random.integers(ord("0"), ord("9") + 1, many, np.uint8)
            yield pl.read_lines(drawn.tobytes()).to_series()


def parse(*, quick: bool = False, lines: int | None = None) -> dict[str, Any]:
    """Measure CPU time of parsing.

    Args:
        quick: finish within 60 s.
        lines: of each system; chosen by `quick` when None.
    """
    count = lines or (200_000 if quick else 2_000_000)
    rows, ratios = [], []
    for sample in samples():
        case = sample.name
        floor = _rate(sample, count, _floor)
        templates = _rate(sample, count, _templates())
        records = _rate(sample, count, _records())
        few = pl.concat(list(sample.batches(min(count, _PEER_LINES)))).to_list()[:_PEER_LINES]
        with_masks, without = _peer(few, masked), _peer(few, str)
        rows += [
            row(f"{case}, templates", templates, "lines/s"),
            row(f"{case}, records", records, "lines/s"),
            row(f"{case}, templates", with_masks, "lines/s", peer="drain3 with its example masks"),
            row(f"{case}, templates", without, "lines/s", peer="drain3 without masks"),
            row(f"{case}, templates", floor, "lines/s", peer="no parsing: digits to zeros, distinct lines"),
        ]
        ratios += [
            ratio(f"{case}, templates", "drain3 with its example masks", templates / with_masks),
            ratio(f"{case}, templates", "drain3 without masks", templates / without),
            ratio(f"{case}, templates", "no parsing: digits to zeros, distinct lines", templates / floor),
            ratio(f"{case}, records", "drain3 with its example masks", records / with_masks),
        ]
    return {"rows": rows, "ratios": ratios}


def samples() -> Iterator[Sample]:
    """Real lines where they are, else those of the simulated shop."""
    folder = Path(os.environ.get("TOCSIN_DATA", "../shared/data")) / "logs" / "loghub_2k"
    if not folder.is_dir():
        texts = [line for body in bodies(20_000, 1000) for line in body.content.decode().splitlines()]
        yield Sample("simulated shop", pl.Series([line for line in texts if not line.startswith("{")]))
        return
    for system in _SYSTEMS:
        text = (folder / system / f"{system}_2k.log").read_text(encoding="utf-8", errors="replace")
        yield Sample(system, pl.Series([line for line in text.splitlines() if line], dtype=pl.String))


def _rate(sample: Sample, count: int, work: Callable[[pl.Series], object]) -> float:
    """Lines a CPU second."""
    spent, done = 0.0, 0
    for batch in sample.batches(count):
        began = time.process_time()
        work(batch)
        spent += time.process_time() - began
        done += len(batch)
    return done / spent


def _floor(lines: pl.Series) -> object:
    return skeletons(lines).unique(maintain_order=True)


def _templates() -> Callable[[pl.Series], object]:
    settings = ParseSettings()
    extent = Extent(tokens_max=settings.tokens_max, parameters_max=0, parameter_chars_max=0, entities_max=0)
    shapes = Shapes(shapes_max=settings.shapes_max, extent=extent)
    known = StreamTemplates("default", "sample", TemplateSettings())

    def work(lines: pl.Series) -> object:
        known.begin()
        found, codes = shapes.of(lines)
        identities = [known.find(shape.message.masked.text).template_id for shape in found]
        return pl.Series(identities, dtype=pl.String).gather(codes)

    return work


def _records() -> Callable[[pl.Series], object]:
    parser = Parser()
    offsets = iter(range(2**31))

    def work(lines: pl.Series) -> object:
        return parser.parse(batch_of("sample", lines), next(offsets))

    return work


def batch_of(stream: str, bodies: pl.Series) -> Batch:
    """Lines of text as they come out of the journal."""
    lines = lines_of_texts(bodies, range(len(bodies)))
    return Batch(tenant="default", stream=stream, observed_time=NOW, identity=None, fingerprint="", lines=lines)


def _peer(lines: list[str], mask: Callable[[str], str]) -> float:
    began = time.process_time()
    drain(map(mask, lines))
    return len(lines) / (time.process_time() - began)
