"""How many batches of 16 KiB a second the journal acknowledges, beside one sync each and beside a bare group commit.

    python benchmarks/journal.py [--seconds 4] [--producers 1 8 64 256] [--folder DIR]

The bare group commit is the least that can be durable: it appends the bytes as they are, syncs, and tells the
producers; no checksum, no compression, no limits, no recovery. The ratio at the end is the journal against it.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from ingest.journal import Journal, JournalSettings

BATCH_BYTES = 16 * 1024


class BareGroupCommit:
    """Append and sync, nothing else."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._file = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
        self._changed = threading.Condition()
        self._waiting: list[tuple[bytes, Future[int]]] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def append(self, payload: bytes) -> Future[int]:
        """Take one entry."""
        future: Future[int] = Future()
        with self._changed:
            self._waiting.append((payload, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        os.close(self._file)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                group, self._waiting = self._waiting, []
            if not group:
                return
            os.write(self._file, b"".join(payload for payload, _ in group))
            os.fdatasync(self._file)
            for _, future in group:
                future.set_result(0)


class SyncEach:
    """One write and one sync for every entry."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._file = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
        self._lock = threading.Lock()

    def append(self, payload: bytes) -> Future[int]:
        """Take one entry."""
        future: Future[int] = Future()
        with self._lock:
            os.write(self._file, payload)
            os.fdatasync(self._file)
        future.set_result(0)
        return future

    def close(self) -> None:
        """Stop."""
        os.close(self._file)


def batches(count: int) -> list[bytes]:
    """Batches that zstd shrinks about threefold: repeated words, fresh numbers, as logs are."""
    chance = random.Random(1)  # noqa: S311 -- test data, no secret
    words = [f"{chance.getrandbits(28):07x}" for _ in range(500)]
    texts = ("".join(f"{chance.choice(words)} {chance.getrandbits(16)} " for _ in range(1600)) for _ in range(count))
    return [text.encode()[:BATCH_BYTES] for text in texts]


def measure(append: Callable[[bytes], Future[int]], producers: int, seconds: float) -> tuple[float, float, float]:
    """Batches a second, and the median and 99th percentile of the wait in milliseconds."""
    ready = batches(64)
    waits: list[list[float]] = [[] for _ in range(producers)]
    stop = time.perf_counter() + seconds

    def produce(number: int) -> None:
        while (begin := time.perf_counter()) < stop:
            append(ready[(number + len(waits[number])) % len(ready)]).result()
            waits[number].append(time.perf_counter() - begin)

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(producers)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begin
    every = sorted(wait for own in waits for wait in own)
    return len(every) / elapsed, statistics.median(every) * 1e3, every[int(len(every) * 0.99)] * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--producers", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure")
    parser.add_argument("--zstd-level", type=int, default=JournalSettings().zstd_level)
    options = parser.parse_args()
    ratios = []
    print(f"{'method':20}{'producers':>10}{'batches/s':>12}{'MB/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'cpu ms/batch':>14}")
    for producers in options.producers:
        rates = {}
        for name in ("one sync each", "bare group commit", "journal"):
            root = Path(tempfile.mkdtemp(dir=options.folder))
            log = {
                "one sync each": SyncEach,
                "bare group commit": BareGroupCommit,
                "journal": lambda folder: Journal(folder, JournalSettings(zstd_level=options.zstd_level)),
            }[name](root / "log")
            cpu = time.process_time()
            rate, median, high = measure(log.append, producers, options.seconds)
            cpu = (time.process_time() - cpu) / (rate * options.seconds) * 1e3
            log.close()
            shutil.rmtree(root)
            rates[name] = rate
            megabytes = rate * BATCH_BYTES / 1e6
            print(f"{name:20}{producers:10}{rate:12.0f}{megabytes:8.0f}{median:9.1f}{high:9.1f}{cpu:14.3f}")
        ratios.append((producers, rates["journal"] / rates["bare group commit"]))
    for producers, ratio in ratios:
        print(f"ratio journal / bare group commit, {producers} producers: {ratio:.2f}")


if __name__ == "__main__":
    main()
