"""Hostile input for every decoder of ingest: no crash, no hang, no growth of memory.

    nice -n 19 .venv/bin/python benchmarks/fuzz.py [--inputs 20000] [--target NAME ...] [--seed 0]

Valid messages of each protocol are bent as trees, as protobuf's fields and as bytes, and given to the decoder as the
service gives them. What it takes goes into the journal's bytes and back and through the parser, which must keep every
line. Anything but the documented errors is printed with the number of the input and its bytes in hexadecimal; the same
seed and number make the same input again. Each target runs in a process of its own on one core.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = f"{'target':24}{'inputs':>10}{'s':>8}{'inputs/s':>10}{'slowest ms':>12}{'grown MB':>10}{'refusals':>10}{'falls':>7}"


def run(name: str, inputs: int, seed: int) -> int:
    """Run one target here and print what became of it."""
    from fuzzing.run import fuzz
    from fuzzing.targets import targets

    found = fuzz(targets()[name], inputs, seed)
    rate = found.inputs / found.seconds
    print(
        f"{name:24}{found.inputs:10}{found.seconds:8.0f}{rate:10.0f}{found.slowest_ms:12.1f}{found.grown_mb:10.1f}"
        f"{found.messages:10}{len(found.falls):7}",
        *(f"  {fall}" for fall in found.falls),
        sep="\n",
        flush=True,
    )
    return len(found.falls)


def main() -> None:
    """Run the targets, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="of each target")
    parser.add_argument("--target", nargs="+", help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.target and len(options.target) == 1:
        sys.exit(run(options.target[0], options.inputs, options.seed) > 0)
    from fuzzing.targets import targets

    print(HEAD, flush=True)
    same = [f"--inputs={options.inputs}", f"--seed={options.seed}"]
    codes = [
        subprocess.run([sys.executable, __file__, *same, "--target", name], check=False).returncode
        for name in options.target or targets()
    ]
    sys.exit(any(codes))


if __name__ == "__main__":
    # `tests` is also the name of what a dependency installs, so the folder itself is where modules come from.
    sys.path.insert(0, str(ROOT / "tests"))
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    main()
