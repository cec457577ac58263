"""Where the time goes: the steps of the straight line one after another, in this process, on the same lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from alerts.linking import Policy
from detectors.panel import Panel, PanelSettings
from ingest.batch import Batch, decode, encode
from ingest.journal import Entry
from ingest.limits import Limits
from ingest.parse import Parser, ParseSettings
from ingest.plain import PlainOptions, take_plain
from service.keep import Shelf
from service.load import Body
from service.pipeline import Pipeline, PipelineSettings
from service.step import StepSettings
from storage.database import database_url
from storage.events import EventSettings, EventStore
from storage.store import Store, StoreSettings

Result = TypeVar("Result")

_STEP = 100  # requests of one step; about what comes while the step before it is under way
_NOW = datetime(2026, 3, 4, tzinfo=UTC)  # when all of it arrives: a day that is sent at once


def stages(requests: Sequence[Body], folder: Path) -> dict[str, float]:
    """Microseconds a line of each step, by name.

    Args:
        requests: what to go through.
        folder: for the database and the files of events.
    """
    watch = _Watch(sum(body.lines for body in requests))
    batches = [watch.time("read the body", partial(_decoded, body)) for body in requests]
    payloads = [watch.time("encode for the journal", partial(encode, batch)) for batch in batches]
    for payload in payloads:
        watch.time("decode from the journal", partial(decode, payload))
    parser = Parser(ParseSettings())
    together = [[*enumerate(batches)][at : at + _STEP] for at in range(0, len(batches), _STEP)]
    steps = [
        pl.concat(watch.time("parse", partial(parser.parse_all, [(batch, at) for at, batch in some]))).sort("time")
        for some in together
    ]
    for name in PanelSettings().detectors:
        panel = Panel("default", PanelSettings(detectors=(name,)))
        for step in steps:
            now = step["time"][-1]
            watch.time(name, partial(panel.watch, step, now=now))
    _keep_all(payloads, folder, watch)
    return watch.microseconds


class _Watch:
    """Adds up seconds by name."""

    def __init__(self, lines: int) -> None:
        self.microseconds: dict[str, float] = {}
        self._lines = lines

    def time(self, name: str, step: Callable[[], Result]) -> Result:
        began = time.perf_counter()
        result = step()
        spent = (time.perf_counter() - began) * 1e6 / self._lines
        self.microseconds[name] = self.microseconds.get(name, 0.0) + spent
        return result


def _decoded(body: Body) -> Batch:
    part = take_plain(body.content, stream=body.stream, content_type=body.kind, options=PlainOptions(), limits=Limits())
    return part.batch("default", _NOW, "")


def _keep_all(payloads: Sequence[bytes], folder: Path, watch: _Watch) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(database_url(StoreSettings(), folder), StoreSettings())
    store.open()
    try:
        shelf = Shelf(
            store=store,
            events=EventStore(folder / "events", EventSettings()),
            settings=StepSettings(),
            policy=Policy(),
            clock=lambda: datetime.now(UTC),
        )
        settings = PipelineSettings(step=StepSettings(), parse=ParseSettings(), panel=PanelSettings(), detectors={})
        pipeline = Pipeline(settings, shelf, offset=0)
        entries = [Entry(offset=offset, payload=payload) for offset, payload in enumerate(payloads)]
        for begin in range(0, len(entries), _STEP):
            understood = pipeline.understand(entries[begin : begin + _STEP])
            watch.time("correlate and keep", partial(pipeline.keep, understood))
    finally:
        store.close()
