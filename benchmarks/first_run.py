"""Tocsin's first run on real logs: runs the commands a newcomer would, and writes `docs/first-run.md` from what they print.

    .venv/bin/python benchmarks/first_run.py            # needs the labelled data sets (TOCSIN_DATA)

Labels are read after everything was found, to say how many incidents were right.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("TOCSIN_DATA", ROOT.parent / "shared" / "data")) / "logs"
TOCSIN = ROOT / ".venv" / "bin" / "tocsin"
SHOWN = 60  # lines of output kept of a command


def run(*words: str | Path, **given: Any) -> str:
    """Run a command and return what it printed."""
    answer = subprocess.run(
        [str(word) for word in (TOCSIN, *words)], capture_output=True, text=True, check=False, timeout=600, **given
    )
    if answer.returncode not in {0, 1}:
        raise SystemExit(f"{words} exited {answer.returncode}: {answer.stderr}")
    return answer.stdout


def block(command: str, output: str) -> str:
    """One command and what it printed, for the page."""
    lines = output.rstrip().splitlines()
    more = [f"... {len(lines) - SHOWN} further lines"] if len(lines) > SHOWN else []
    return "\n".join(["```", f"$ {command}", *(line.rstrip() for line in lines[:SHOWN]), *more, "```"])


def scans(folder: Path) -> Iterator[str]:
    """`tocsin scan` on the raw logs without labels, and on HDFS with its labels."""
    for system in ("OpenSSH", "Linux", "Apache"):
        name = f"{system}_2k.log"
        yield f"### {system}\n"
        yield block(f"tocsin scan {name}", run("scan", DATA / "loghub_2k" / system / name))
    name = "HDFS_2percent_blocks.log.gz"
    scores = folder / "hdfs.csv"
    yield "### HDFS\n"
    yield block(
        f"tocsin scan {name} --scores-out scores.csv", run("scan", DATA / "hdfs" / name, "--scores-out", scores)
    )
    yield hdfs_precision(DATA / "hdfs" / name, scores)


def hdfs_precision(log: Path, scores: Path) -> str:
    """How well the highest line score of a block tells anomalous blocks from normal ones."""
    with gzip.open(DATA / "hdfs" / "HDFS_2percent_block_labels.csv.gz", "rt") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    anomalous = {row[0] for row in rows if row[1] in {"Anomaly", "1"}}
    strongest: dict[str, float] = {}
    with gzip.open(log, "rt") as lines:
        total = sum(1 for _ in lines)
    with gzip.open(log, "rt") as lines, scores.open() as scored:
        for number, (line, row) in enumerate(zip(lines, csv.DictReader(scored), strict=True)):
            if number < total // 2:  # learned from, not judged; the file is in the order of time
                continue
            score = float(row["score"])
            for name in set(re.findall(r"blk_-?\d+", line)):
                strongest[name] = max(strongest.get(name, 0.0), score)
    judged = [(score, name in anomalous) for name, score in strongest.items()]
    return (
        f"Against the labels: {len(judged):,} blocks have lines in the watched half, {sum(label for _, label in judged):,} of them are anomalous. Ranked by the "
        f"highest score of its lines, average precision is **{average_precision(judged):.3f}** "
        f"(a random order would have {sum(label for _, label in judged) / len(judged):.3f})."
    )


def average_precision(judged: Sequence[tuple[float, bool]]) -> float:
    """Area under precision over recall; blocks of one score share its precision."""
    ordered = sorted(judged, key=lambda each: -each[0])
    total = sum(label for _, label in ordered)
    area, hits, position = 0.0, 0, 0
    while position < len(ordered):
        end = position
        while end < len(ordered) and ordered[end][0] == ordered[position][0]:
            end += 1
        new = sum(label for _, label in ordered[position:end])
        hits += new
        area += new / total * hits / end
        position = end
    return area


class Receiver:
    """A webhook receiver that verifies what it gets."""

    def __init__(self) -> None:
        self.secret = ""
        self.messages: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                outer.messages.append(Webhook(outer.secret).verify(content, dict(self.headers.items())))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """A running service on an empty folder; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {**os.environ, "TOCSIN__ADDRESS__ALLOW_NETWORKS": '["127.0.0.0/8"]'}
    with (folder / "service.log").open("w") as log:
        process = subprocess.Popen(
            [str(TOCSIN), "run", "--data", str(folder / "data"), "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            time.sleep(0.1)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def sql(url: str, query: str) -> list[dict[str, Any]]:
    """Rows of a query, by the command."""
    answer = json.loads(run("sql", query, "--url", url, "--format", "json"))
    rows = answer["rows"] if isinstance(answer, dict) else answer
    return [dict(zip(answer["columns"], row, strict=True)) if isinstance(row, list) else row for row in rows]


def wait_until_read(url: str, lines: int) -> None:
    """Wait until the worker has taken every line."""
    for _ in range(600):
        if sql(url, "SELECT count(*) AS n FROM events")[0]["n"] >= lines:
            return
        time.sleep(0.5)
    raise SystemExit("the worker did not take the lines in five minutes")


_INCIDENTS = (
    "SELECT severity, strftime(opened_at, '%H:%M:%S') AS opened, finding_count AS findings, title "
    "FROM incidents ORDER BY opened_at LIMIT 40"
)


def iotdb(folder: Path) -> Iterator[str]:
    """Eight fault scenarios of a six-node cluster, each shipped into a service of its own."""
    right = wrong = found = 0
    told = 0
    shown = ""
    scenarios = sorted(path.name for path in (DATA / "iotdb_multilog").iterdir() if path.is_dir())
    for name in scenarios:
        source = DATA / "iotdb_multilog" / name
        place = folder / name
        place.mkdir()
        faults = injected(source / "inject.log")
        with service(place) as url:
            receiver = registered(url)
            total = ship_nodes(source, place, url)
            wait_until_read(url, total)
            time.sleep(3)
            incidents = sql(url, "SELECT opened_at, last_at, title, severity FROM incidents")
            inside = [each for each in incidents if overlaps(each, faults)]
            right, wrong = right + len(inside), wrong + len(incidents) - len(inside)
            found += bool(inside)
            told += len(receiver.messages)
            if name == "network2_multi":
                shown = block(f'tocsin sql "{_INCIDENTS}"', run("sql", _INCIDENTS, "--url", url))
    yield shown
    yield (
        f"Over the eight scenarios: **{found} of {len(scenarios)}** faults have an incident inside their window; of {right + wrong} incidents "
        f"{right} overlap a fault and {wrong} do not. {told} signed messages arrived at the receiver and were verified. The files hold 20 s to 4 min of log "
        "per node, start-up included, so there is little normal time to learn from."
    )


def registered(url: str) -> Receiver:
    """A receiver the service knows."""
    receiver = Receiver()
    made = json.loads(run("webhook", "add", receiver.url, "--url", url, "--json"))
    receiver.secret = made["secret"]
    return receiver


def ship_nodes(source: Path, place: Path, url: str) -> int:
    """Ship the six nodes, interleaved by time as six shippers would, without their labels; gives the number of lines."""
    stamped = []
    for node in range(1, 7):
        for line in gzip.open(source / f"label{node}.log.gz", "rt", errors="replace"):
            stamped.append((line.removeprefix("- ")[:23], node, line.removeprefix("- ")))
    position = {}
    ordered = []
    for stamp, node, line in stamped:
        if re.match(r"\d{4}-\d\d-\d\d ", stamp):
            position[node] = stamp
        ordered.append((position.get(node, ""), node, line))
    ordered.sort(key=lambda each: each[0])
    for start in range(0, len(ordered), 20_000):
        parts: dict[int, list[str]] = {}
        for _, node, line in ordered[start : start + 20_000]:
            parts.setdefault(node, []).append(line)
        for node, lines in parts.items():
            file = place / f"node{node}-{start}.log"
            file.write_text("".join(lines))
            run("ship", file, "--stream", f"node{node}", "--url", url)
    return sum(bool(line.strip()) for _, _, line in ordered)


def injected(log: Path) -> list[tuple[float, float]]:
    """Start and end of each fault, Unix seconds."""
    text = log.read_text()
    times = [float(number) for number in re.findall(r"\b(1[67]\d{8}(?:\.\d+)?)\b", text)]
    return list(zip(times[::2], times[1::2], strict=False))


def overlaps(incident: dict[str, Any], faults: Sequence[tuple[float, float]]) -> bool:
    """Whether an incident began within a fault, or up to ten seconds after it."""
    opened = datetime.fromisoformat(incident["opened_at"]).timestamp()
    return any(start <= opened <= end + 10 for start, end in faults)


def openstack(folder: Path) -> Iterator[str]:
    """Nova logs without timestamps; 982 normal instances come first."""
    place = folder / "openstack"
    place.mkdir()
    log = DATA / "openstack_kalaki" / "openstack-nova-sample.log.gz"
    with gzip.open(log, "rt", errors="replace") as file:
        lines = [line for line in file if line.strip()]
    with (DATA / "openstack_kalaki" / "session_labels.csv").open() as file:
        labels = {
            row["instance_id"]: row["label"] != "0"
            for row in csv.DictReader(file)
            if row["file"] == "openstack-nova-sample.log"
        }
    with service(place) as url:
        receiver = registered(url)
        shipped = run("ship", log, "--stream", "nova", "--url", url)
        wait_until_read(url, len(lines))
        time.sleep(3)
        yield block("tocsin ship openstack-nova-sample.log.gz --stream nova", shipped.replace(f"{log.parent}/", ""))
        yield block(f'tocsin sql "{_INCIDENTS}"', run("sql", _INCIDENTS, "--url", url))
        evidence = sql(
            url,
            "SELECT DISTINCT f.incident_id, e.body FROM findings f JOIN evidence v USING (finding_id) "
            "JOIN events e ON e.event_id = v.event_id WHERE f.incident_id IS NOT NULL",
        )
    named: dict[str, set[str]] = {}
    for row in evidence:
        named.setdefault(row["incident_id"], set()).update(
            found
            for found in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", row["body"])
            if found in labels
        )
    with_instance = {incident: instances for incident, instances in named.items() if instances}
    right = sum(any(labels[name] for name in instances) for instances in with_instance.values())
    yield (
        f"Of the incidents, {len(with_instance)} rest on lines that name a labelled instance, and {right} of those name an "
        f"anomalous one. {len(receiver.messages)} signed messages arrived and were verified. The lines carry no time, so all of them count as having arrived at once: "
        "counts per interval mean little here, and a per-instance sequence detector is what this set asks for."
    )


def main() -> None:
    """Write the page."""
    parts = [
        "# First run on real logs",
        f"Written by `benchmarks/first_run.py` on {datetime.now(UTC):%Y-%m-%d}, with default settings. Nothing was tuned "
        "to these logs' labels; they were read after everything was found.",
        "## Scanning files",
    ]
    with tempfile.TemporaryDirectory() as folder:
        parts += scans(Path(folder))
        parts += ["## A running service: IoTDB, six nodes, eight injected faults", *iotdb(Path(folder))]
        parts += ["## A running service: OpenStack Nova", *openstack(Path(folder))]
    (ROOT / "docs" / "first-run.md").write_text("\n\n".join(part.strip() for part in parts) + "\n")
    sys.stdout.write("docs/first-run.md\n")


if __name__ == "__main__":
    main()
