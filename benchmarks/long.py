"""Whether parsing keeps its memory and its speed: 50 million lines of six systems through one parser.

    .venv/bin/python benchmarks/long.py [--lines 50000000]

Prints a row for every tenth of the lines. The digits of the messages are drawn anew for every batch of 20,000 lines.
"""

from __future__ import annotations

import argparse
import itertools
import time

from ingest.parse import Parser
from service.bench_parse import batch_of, samples
from service.load import memory_mb


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
        parser.parse(batch_of(name, next(batches)), offset)
        done += 20_000
        if done >= told + lines // 10:
            spent = time.process_time() - began
            print(f"{done / 1e6:13.1f}   {memory_mb('self')[0]:11.0f}   {(done - told) / spent:10,.0f}", flush=True)
            told, began = done, time.process_time()
        if done >= lines:
            return


if __name__ == "__main__":
    main()
