"""Whether parsing keeps its memory and its speed: 50 million lines of six systems through one parser.

    .venv/bin/python benchmarks/long.py [--lines 50000000]

Prints a row for every tenth of the lines. The digits of the messages are drawn anew for every batch of 20,000 lines.
"""

from __future__ import annotations

import argparse
import itertools
import time

import polars as pl

from ingest.batch import Batch
from ingest.parse import Parser
from service.bench_parse import NOW, samples
from service.load import memory_mb
from tocsin.record import LINES


def main() -> None:
    """Parse and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--lines", type=int, default=50_000_000)
    lines = asked.parse_args().lines
    parser, done, told = Parser(), 0, 0
    began = time.process_time()
    streams = [(sample.name, sample.batches(lines)) for sample in samples()]
    print("million lines   resident MB   lines/s since the row before")
    for offset, (name, batches) in enumerate(itertools.cycle(streams)):
        parser.parse(_batch(name, next(batches)), offset)
        done += 20_000
        if done >= told + lines // 10:
            spent = time.process_time() - began
            print(f"{done / 1e6:13.1f}   {memory_mb('self')[0]:11.0f}   {(done - told) / spent:10,.0f}", flush=True)
            told, began = done, time.process_time()
        if done >= lines:
            return


def _batch(stream: str, bodies: pl.Series) -> Batch:
    columns = {name: pl.Series([None], dtype=kind).new_from_index(0, len(bodies)) for name, kind in LINES.items()}
    columns |= {"position": pl.int_range(len(bodies), dtype=pl.UInt32, eager=True), "body": bodies}
    lines = pl.DataFrame(columns)
    return Batch(tenant="default", stream=stream, observed_time=NOW, identity=None, fingerprint="", lines=lines)


if __name__ == "__main__":
    main()
