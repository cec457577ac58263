"""Tocsin beside Debian's `logdata-anomaly-miner` (AMiner): the same lines, the same machine, one run after the other.

    apt-get install logdata-anomaly-miner python3-yaml python3-cerberus python3-numpy python3-pkg-resources python3-pylibacl
    (cd /etc/aminer/conf-enabled && ln -s /usr/lib/python3/dist-packages/{yaml,cerberus,numpy,pkg_resources,posix1e*.so} .)
    nice .venv/bin/python benchmarks/aminer.py          # needs the labelled data sets (TOCSIN_DATA); writes docs/performance.md

AMiner runs without the system's Python packages; the links give it those that it imports, as its Readme.txt there says.

AMiner wants to be told how lines look, so each log has a parser written by hand in `aminer_logs.py`, and the detectors that fit the log.
Both learn the first half of the lines and are judged on the second. AMiner 2.6 cannot stop learning in the middle of a
file of old lines: it runs twice, first with LearnMode, then without, from the state that it kept. What a run used is read
from the kernel (`wait4`), for AMiner the sum of both runs. Labels are read after everything was found.
"""

from __future__ import annotations

import csv
import getpass
import grp
import gzip
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aminer_logs import AUTH_LOG, COUNTS, HDFS_LOG, Log, parser
from first_run import DATA, ROOT, TOCSIN, average_precision

from service.simulate import Planted, simulate

HDFS = DATA / "hdfs" / "HDFS_2percent_blocks.log.gz"
HDFS_LABELS = DATA / "hdfs" / "HDFS_2percent_block_labels.csv.gz"
PAGE = ROOT / "docs" / "performance.md"
HEADING = "## Beside AMiner"
FEW = 100  # lines
SHOP_DAYS = 7  # the incidents are planted on the last
LATE = timedelta(hours=1)  # after its end, an incident may still be told: AMiner counts in windows of that length


@dataclass(slots=True, kw_only=True)
class Used:
    """What processes took."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mib: float = 0.0

    def add(self, wall_s: float, usage: resource.struct_rusage) -> None:
        """Count one more process and those it started."""
        self.wall_s += wall_s
        self.cpu_s += usage.ru_utime + usage.ru_stime
        self.peak_mib = max(self.peak_mib, usage.ru_maxrss / 1024)


@dataclass(slots=True, kw_only=True)
class Told:
    """What one program said about the second half of a log."""

    used: Used = field(default_factory=Used)
    spans: list[tuple[datetime, datetime]] = field(default_factory=list)  # of each report or incident
    texts: list[str] = field(default_factory=list)  # the lines that each rests on
    kinds: Counter[str] = field(default_factory=Counter)  # of what, by detector
    ranking: dict[str, float] = field(default_factory=dict)  # how suspicious a block is, when there are blocks


def measured(used: Used, *words: str | Path) -> str:
    """Run a command to its end and return what it printed."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen([str(word) for word in words], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        used.add(time.perf_counter() - began, usage)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            raise SystemExit(f"{words} exited {process.returncode}: {output.read()[-2000:]}")
        return output.read()


def aminer(log: Log, lines: Sequence[str], folder: Path) -> Told:
    """Let AMiner learn the first half, then watch the second."""
    told = Told()
    half = len(lines) // 2
    for learn, part in ((True, lines[:half]), (False, lines[half:])):
        step = folder / ("learn" if learn else "watch")
        step.mkdir()
        (step / "input.log").write_text("".join(part))
        config = step / "config.yml"
        config.write_text(json.dumps(configuration(log, folder, step, learn=learn)))  # JSON is YAML
        measured(told.used, "aminer", "--offline-mode", "--config", config)
    found = folder / "watch" / "reports.json"
    if not found.exists():  # its child failed, which its exit status does not say
        raise SystemExit("aminer stopped without a report; what it printed above says why")
    for report in reports(found):
        component, data = report["AnalysisComponent"], report["LogData"]
        kind = component["AnalysisComponentType"]
        at = datetime.fromtimestamp(data["Timestamps"][0], UTC)
        text = "\n".join(data["RawLogData"])
        told.kinds[kind] += 1
        told.spans.append((at, at))
        told.texts.append("" if kind == COUNTS else text)
    told.ranking = {
        name: float(count) for name, count in Counter(name for text in told.texts for name in blocks(text)).items()
    }
    return told


def configuration(log: Log, folder: Path, step: Path, *, learn: bool) -> dict[str, Any]:
    """What AMiner is told. It runs as whoever runs this."""
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    (step / "log").mkdir()
    return {
        "LearnMode": learn,
        "AminerUser": getpass.getuser(),
        "AminerGroup": grp.getgrgid(os.getgid()).gr_name,
        "LogResourceList": [f"file://{step}/input.log"],
        "Core.PersistenceDir": str(state),
        "Core.LogDir": str(step / "log"),
        "Parser": parser(log),
        "Input": {"timestamp_paths": ["/line/time"]},
        "Analysis": [{**detector, "output_logline": False} for detector in log.detectors],
        "EventHandlers": [
            {
                "id": "file",
                "type": "StreamPrinterEventHandler",
                "json": True,
                "output_file_path": f"{step}/reports.json",
            }
        ],
    }


def reports(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects in a file, however they are spaced."""
    text, position, decoder = path.read_text(), 0, json.JSONDecoder()
    while match := re.compile(r"\S").search(text, position):
        report, position = decoder.raw_decode(text, match.start())
        yield report


def tocsin(lines: Sequence[str], folder: Path) -> Told:
    """Let Tocsin look through the whole file, with default settings."""
    told = Told()
    file, scores = folder / "input.log", folder / "scores.csv"
    file.write_text("".join(lines))
    found = json.loads(measured(told.used, TOCSIN, "scan", file, "--json", "--scores-out", scores))
    for incident in found["incidents"]:
        told.kinds.update(incident["detectors"])
        told.spans.append((datetime.fromisoformat(incident["start_at"]), datetime.fromisoformat(incident["end_at"])))
        cited = {number for finding in incident["findings"] for number in finding["lines"]}
        told.texts.append("".join(lines[number - 1] for number in sorted(cited)))
    with scores.open() as scored:
        for number, (line, row) in enumerate(zip(lines, csv.DictReader(scored), strict=True)):
            if number >= len(lines) // 2:
                for name in blocks(line):
                    told.ranking[name] = max(told.ranking.get(name, 0.0), float(row["score"]))
    return told


def blocks(text: str) -> set[str]:
    """HDFS blocks that a text names."""
    return set(re.findall(r"blk_-?\d+", text))


def hdfs_rows(told: Told, judged: set[str], anomalous: set[str]) -> dict[str, str]:
    """How well blocks are told apart.

    Args:
        told: what a program said.
        judged: blocks with lines in the second half.
        anomalous: those of them that are.
    """
    named = set().union(*map(blocks, told.texts)) & judged
    about = [blocks(text) & judged for text in told.texts]
    right = sum(bool(each & anomalous) for each in about)
    ranked = [(told.ranking.get(name, 0.0), name in anomalous) for name in judged]
    return {
        "of these, resting on a line of an anomalous block": f"{right:,}",
        f"blocks named, of {len(judged):,}": f"{len(named):,}",
        f"anomalous among them, of {len(anomalous):,}": f"{len(named & anomalous):,}",
        "average precision of all blocks, ranked": f"{average_precision(ranked):.3f}",
    }


def shop_rows(told: Told, planted: Sequence[Planted]) -> dict[str, str]:
    """How many planted incidents were told, and how much beside them."""
    # Lines of syslog have no year; each program takes one of its own.
    spans = [tuple(at.replace(year=AUTH_LOG.year) for at in span) for span in told.spans]
    during = [[begin <= each.end + LATE and end >= each.start for begin, end in spans] for each in planted]
    right = sum(any(column) for column in zip(*during, strict=True))
    return {
        f"planted incidents told, of {len(planted)}": str(sum(map(any, during))),
        "of these, about a planted incident": f"{right:,}",
        "about nothing that was planted": f"{len(spans) - right:,}",
    }


def used_rows(told: Told, short: Told, lines: int) -> dict[str, str]:
    """Speed and memory; `short` is a run over a few lines, which shows what starting costs."""
    used = told.used
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in told.kinds.most_common())
    return {
        "wall time": f"{used.wall_s:.1f} s",
        "CPU time": f"{used.cpu_s:.1f} s",
        f"CPU time for the first {FEW} lines alone": f"{short.used.cpu_s:.1f} s",
        "lines a second of wall time": f"{lines / used.wall_s:,.0f}",
        "lines a second of CPU time": f"{lines / used.cpu_s:,.0f}",
        "peak memory": f"{used.peak_mib:.0f} MiB",
        "told (reports of AMiner, incidents of Tocsin)": f"{len(told.spans):,}",
        "by detector": kinds or "none",
    }


def table(title: str, left: Mapping[str, str], right: Mapping[str, str]) -> str:
    """A table with a column for each program."""
    rows = [f"| {name} | {left[name]} | {right[name]} |" for name in left]
    return "\n".join([f"| {title} | AMiner | Tocsin |", "|---|---|---|", *rows])


def both(log: Log, lines: Sequence[str]) -> tuple[Told, Told]:
    """Run one after the other, each in a folder of its own."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        return aminer(log, lines, Path(first)), tocsin(lines, Path(second))


def hdfs() -> str:
    """The real log of a cluster."""
    with gzip.open(HDFS, "rt") as file:
        lines = list(file)
    two, short = both(HDFS_LOG, lines), both(HDFS_LOG, lines[:FEW])
    with gzip.open(HDFS_LABELS, "rt") as rows:
        labelled = {row["block_id"] for row in csv.DictReader(rows) if row["label"] == "1"}
    judged = set().union(*map(blocks, lines[len(lines) // 2 :]))
    left, right = (
        used_rows(told, few, len(lines)) | hdfs_rows(told, judged, labelled & judged)
        for told, few in zip(two, short, strict=True)
    )
    return table(f"{HDFS_LOG.name}, {len(lines):,} lines", left, right)


def shop() -> str:
    """A week of logins with two planted incidents."""
    simulation = simulate(1, datetime(AUTH_LOG.year, 3, 3, tzinfo=UTC), SHOP_DAYS * 24)
    lines = [f"{line}\n" for line in simulation.streams["auth"]["line"]]
    two, short = both(AUTH_LOG, lines), both(AUTH_LOG, lines[:FEW])
    planted = [each for each in simulation.truth if "auth" in each.streams]
    left, right = (
        used_rows(told, few, len(lines)) | shop_rows(told, planted) for told, few in zip(two, short, strict=True)
    )
    return table(f"{AUTH_LOG.name}, {len(lines):,} lines", left, right)


_READING = """What can be compared, and what cannot:

- Speed and memory are of the same lines on the same machine, starting included. AMiner starts twice, for it cannot stop
  learning in the middle of a file. A program that keeps running starts once.
- AMiner was given a parser written by hand for each log, the block as identity of a sequence, the values to watch, and
  the best of the sequence lengths (3, 5, 10) and count windows (10 minutes, an hour) tried, chosen by the labels. Tocsin
  was given the file. Somebody who knows AMiner better may get more out of it.
- AMiner reports single events, each time anew; Tocsin tells incidents, within a budget a day. A count of one is not a
  count of the other, and Tocsin names fewer blocks because it tells less.
- AMiner's reports about counts show the last line of the message, which need not be a line of the incident. On HDFS they
  are neither right nor wrong here: the labels are of blocks.
- For the ranking, a block of AMiner is as suspicious as it has reports; a block of Tocsin as its strangest line.
- An incident of the shop counts as told when something was told between its beginning and an hour after its end."""


def write(section: str) -> None:
    """Put the section into the page, in place of the one before."""
    text = PAGE.read_text() if PAGE.exists() else "# Performance\n"
    before, _, after = text.partition(HEADING)
    _, mark, rest = after.partition("\n## ")
    PAGE.write_text(f"{before.rstrip()}\n\n{HEADING}\n\n{section.strip()}\n" + (f"{mark}{rest}" if mark else ""))


def main() -> None:
    """Run both and write the section."""
    if shutil.which("aminer") is None:
        raise SystemExit("skipped: aminer is missing (apt-get install logdata-anomaly-miner)")
    if not HDFS.exists():
        raise SystemExit(f"skipped: {HDFS.name} is missing (TOCSIN_DATA)")
    version = measured(Used(), "dpkg-query", "-W", "-f=${Version}", "logdata-anomaly-miner")
    about = (
        f"`nice python benchmarks/aminer.py`, {datetime.now(UTC):%Y-%m-%d}, logdata-anomaly-miner {version}, "
        f"{os.cpu_count()} cores. Learned from the first half of the lines, judged on the second."
    )
    write(f"{about}\n\n{hdfs()}\n\n{shop()}\n\n{_READING}")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
