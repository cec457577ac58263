"""Hostile input for every decoder of ingest: no crash, no hang, no growth of memory.

    nice -n 19 .venv/bin/python benchmarks/fuzz.py [--inputs 20000] [--target NAME ...] [--seed 0]

Valid messages of each protocol are bent as trees, as protobuf's fields and as bytes, and given to the decoder as the
service gives them. What it takes goes into the journal's bytes and back and through the parser, which must keep every
line. Anything but the documented errors is printed with the number of the input and its bytes in hexadecimal; the same
seed and number make the same input again. It takes one core; seconds are of processor time.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")
# `tests` is also the name of what a dependency installs, so modules come from the folder itself.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzzing.run import Result, fuzz
from fuzzing.targets import targets

HEAD = (
    f"{'target':24}{'inputs':>10}{'s':>8}{'inputs/s':>10}{'slowest ms':>12}{'grown MB':>10}{'refusals':>10}{'falls':>7}"
)


def show(found: Result) -> None:
    """Print what became of one target."""
    rate = found.inputs / found.seconds
    print(
        f"{found.name:24}{found.inputs:10}{found.seconds:8.0f}{rate:10.0f}{found.slowest_ms:12.1f}"
        f"{found.grown_mb:10.1f}{found.messages:10}{len(found.falls):7}",
        *(f"  {fall}" for fall in found.falls),
        sep="\n",
        flush=True,
    )


def main() -> None:
    """Run the targets, one after the other."""
    every = targets()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="of each target")
    parser.add_argument("--target", nargs="+", help="default: all", choices=list(every), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(HEAD)
    fallen = 0
    for name in options.target or every:
        found = fuzz(every[name], options.inputs, options.seed)
        show(found)
        fallen += len(found.falls)
    sys.exit(fallen > 0)


if __name__ == "__main__":
    main()
