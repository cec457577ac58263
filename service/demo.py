"""`tocsin demo`: a real service watches a simulated shop for a day, and what it tells is compared with the truth."""

from __future__ import annotations

import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from alerts.untrusted import neutralised
from service.receiver import Received, Receiver
from service.simulate import Chunk, Planted, Simulation, simulate
from service.trial import Trial, running
from service.verdict import Hit, Verdict, verdict
from tocsin.errors import InputError, StorageError
from tocsin.identity import event_ids

_WIDE = 160  # columns of what is no terminal: a row of the table stays one line
_NARROW = 110  # columns; below it, headers take several lines
_FOUND_CHARS = 80  # of a title in the table
_SETTINGS = (
    "[address]",
    'allow_networks = ["127.0.0.1/32"]  # the receiver of the demo is on this machine',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What the demo plays."""

    history_days: int = 4  # before the day that is watched; a whole week finds the same and takes a minute longer
    history_step: timedelta = timedelta(hours=2)  # sent at once; nobody waits for alerts of history
    step: timedelta = timedelta(minutes=5)  # one interval of the volume detector
    live_step: timedelta = timedelta(seconds=10)  # after the day, in real time
    senders: int = 4  # streams sent at the same time
    behind_history_max: int = 64  # journal entries the service may be behind while history is sent
    behind_max: int = 17  # the same during the day: one step, so that alerts are not about long ago
    drain_s_max: float = 120.0  # after the last line; a slow machine needs some seconds
    grid: timedelta = timedelta(minutes=30)  # the day ends at a round time; clocks of all time zones are round by it


def run_demo(*, port: int, once: bool, seed: int, data: Path | None, settings: DemoSettings | None = None) -> int:
    """Play the demo; return the exit status.

    With `once` it ends with the day: 0 if every planted incident that a detector claims was told by webhook, else 1.
    Otherwise the shop goes on in real time until Ctrl-C.

    Args:
        port: of the service; 0 takes one that is free.
        once: stop at the end of the day.
        seed: of the simulation.
        data: where to keep the data; a temporary folder when None.
        settings: what to play.

    Raises:
        TocsinError: the service does not start or does not take lines.
    """
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    with _folder(data) as folder, Receiver() as receiver, running(folder, port=port, settings=_SETTINGS) as trial:
        stage = Stage(trial, receiver, seed, settings or DemoSettings(), console)
        console.print(f"Tocsin runs at [link]{trial.url}[/link], data in {folder}")
        stage.teach()
        if not once:
            open_page(trial.url)
        stage.play()
        result = verdict(stage.messages, stage.day.truth, stage.labels)
        console.print(table(stage, result, console.width))
        console.print(summary(stage, result), highlight=False)
        if not once:
            stage.go_on()
        return 0 if missing(stage.day.truth, result) == [] else 1


class Stage:
    """One playing of the demo."""

    def __init__(self, trial: Trial, receiver: Receiver, seed: int, settings: DemoSettings, console: Console) -> None:
        end = _floor(datetime.now(UTC), settings.grid)
        midnight = datetime(end.year, end.month, end.day, tzinfo=UTC)
        # The shop lives where it is midnight now, so that the watched day is a day from midnight to midnight.
        self._offset = midnight - end
        begin = end - timedelta(days=1)
        history_h = 24.0 * settings.history_days
        self.history = simulate(seed, begin - timedelta(hours=history_h), history_h, (), offset=self._offset)
        self.day = simulate(seed, begin, 24.0, offset=self._offset)
        self.labels: dict[str, str] = {}  # event id of each planted line -> kind
        self.messages: list[Received] = []
        self.lines = 0
        self._trial = trial
        self._receiver = receiver
        self._seed = seed
        self._settings = settings
        self._console = console
        self._sent: list[tuple[datetime, float]] = []  # event time and monotonic time of what was acknowledged
        self._told: set[str] = set()

    def teach(self) -> None:
        """Send the history. What is found in it is not counted: the webhook comes after it."""
        settings = self._settings
        with _progress(self._console, f"{settings.history_days} days of history", self.history) as move:
            self._ship(self.history, settings.history_step, settings.behind_history_max, move)
            self._drain()
        self._receiver.trust(self._trial.add_webhook(self._receiver.url))

    def play(self) -> None:
        """Send the day with the planted incidents, step by step, as fast as the service follows."""
        settings = self._settings
        with _progress(self._console, "one day, accelerated", self.day) as move:
            self._ship(self.day, settings.step, settings.behind_max, move)
            self._drain()
        self._listen()

    def go_on(self) -> None:
        """The shop goes on, a little slow, until Ctrl-C."""
        self._console.print(f"The shop goes on in real time: {self._trial.url} (Ctrl-C ends it)")
        rest = simulate(self._seed, self.day.end, 24.0 * 365, (), offset=self._offset)
        try:
            with ThreadPoolExecutor(self._settings.senders, thread_name_prefix="send") as pool:
                for chunk in rest.chunks(self._settings.live_step):
                    while (wait_s := (chunk.end - datetime.now(UTC)).total_seconds()) > 0:
                        time.sleep(min(wait_s, 1.0))
                    self._send(pool, chunk)
                    self._listen()
        except KeyboardInterrupt:
            self._console.print("stopping")

    def seconds_to_alert(self, hit: Hit) -> float:
        """From the acknowledgement of the last line that a finding needed to the arrival of its message."""
        needed = [at for until, at in self._sent if until > hit.evident_at]
        before = [at for _, at in self._sent if at <= hit.received_at]
        # A finding about an interval that is not over yet needs only what was sent until it was made.
        return hit.received_at - min(needed[0] if needed else before[-1], before[-1])

    def _ship(self, simulation: Simulation, step: timedelta, behind_max: int, move: _Move) -> None:
        with ThreadPoolExecutor(self._settings.senders, thread_name_prefix="send") as pool:
            for chunk in simulation.chunks(step):
                self._send(pool, chunk)
                self._listen()
                move(chunk, self.lines)
                if not self._trial.wait(lambda standing: standing.behind <= behind_max, self._settings.drain_s_max):
                    raise StorageError("the service does not follow; see trial.log in its data folder")

    def _send(self, pool: ThreadPoolExecutor, chunk: Chunk) -> None:
        def send(stream: str) -> int:
            frame = chunk.streams[stream]
            identity = f"demo-{self._seed}-{chunk.start.isoformat()}"
            planted = [(place, kind) for place, kind in enumerate(frame["planted"]) if kind is not None]
            names = event_ids("default", stream, identity, [place for place, _ in planted])
            self.labels.update(zip(names, (kind for _, kind in planted), strict=True))
            self._trial.send(stream, "\n".join(frame["line"]).encode(), identity)
            return len(frame)

        self.lines += sum(pool.map(send, chunk.streams))
        self._sent.append((chunk.end, time.monotonic()))

    def _drain(self) -> None:
        """Wait until everything is processed and told."""
        settings = self._settings
        if not self._trial.wait(lambda standing: standing.behind + standing.pending == 0, settings.drain_s_max):
            raise StorageError("the service does not follow; see trial.log in its data folder")

    def _listen(self) -> None:
        while (message := self._receiver.take(0)) is not None:
            self.messages.append(message)
            incident = message.body["data"]["incident"]
            if incident["id"] not in self._told:
                self._told.add(incident["id"])
                at = datetime.fromisoformat(incident["opened_at"]) + self._offset
                self._console.print(
                    f"  {at:%H:%M}  severity {incident['severity']:>3}  {neutralised(incident['title'], 120)}",
                    markup=False,
                    highlight=False,
                )


def table(stage: Stage, result: Verdict, columns: int) -> Table:
    """Planted and found, one row an incident, for a terminal of so many columns."""
    narrow = 8 if columns < _NARROW else None  # two words stand above each other
    drawn = Table(title="Planted incidents", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, expand=True)
    drawn.add_column("planted", no_wrap=True, min_width=max(len(planted.kind) for planted in stage.day.truth))
    drawn.add_column("at", min_width=5)
    drawn.add_column("found", no_wrap=True, ratio=1)
    drawn.add_column("detector", width=narrow)
    drawn.add_column("seconds to alert", justify="right", width=narrow)
    drawn.add_column("after its start", justify="right", width=narrow)
    for planted in stage.day.truth:
        hit = result.hits.get(planted.kind)
        at = f"{planted.start + stage.day.offset:%H:%M}"
        if hit is None:
            found = "MISSED" if planted.claimed_by else "missed, as expected: a later detector's"
            drawn.add_row(planted.kind, at, found, ", ".join(planted.claimed_by) or "-", "-", "-")
            continue
        after = max(hit.evident_at - planted.start, timedelta(0)) / timedelta(minutes=1)
        title = Text(neutralised(hit.title, _FOUND_CHARS))
        drawn.add_row(
            planted.kind, at, title, ", ".join(hit.detectors), f"{stage.seconds_to_alert(hit):.1f}", f"{after:.0f} min"
        )
    return drawn


def summary(stage: Stage, result: Verdict) -> str:
    """The rest of the truth, in words."""
    claimed = [planted for planted in stage.day.truth if planted.claimed_by]
    told = (
        f"{len(result.hits)} of {len(stage.day.truth)} planted incidents were told by signed webhook; "
        f"{len(claimed)} are claimed by the present detectors, {len(missing(stage.day.truth, result))} of these missed."
    )
    false = result.false_alarms
    alarms = f"{result.true_alarms} incidents are about something planted, {len(false)} are false alarms"
    return "\n".join(
        [told, alarms + (":" if false else "."), *(f"  {neutralised(title, 120)}" for title in false.values())]
    )


def missing(truth: tuple[Planted, ...], result: Verdict) -> list[str]:
    """What a present detector claims and nobody told."""
    return [planted.kind for planted in truth if planted.claimed_by and planted.kind not in result.hits]


def open_page(url: str) -> None:
    """Show the web page where there is a screen."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if type(browser) is not webbrowser.GenericBrowser:  # those draw in the terminal, which is ours
        browser.open(url)


class _Move:
    """Moves a progress bar."""

    def __init__(self, progress: Progress, task: TaskID, begin: datetime) -> None:
        self._progress = progress
        self._task = task
        self._begin = begin

    def __call__(self, chunk: Chunk, lines: int) -> None:
        done = (chunk.end - self._begin).total_seconds()
        self._progress.update(self._task, completed=done, lines=f"{lines:,} lines")


@contextmanager
def _progress(console: Console, title: str, simulation: Simulation) -> Iterator[_Move]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[lines]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        total = (simulation.end - simulation.start).total_seconds()
        task = progress.add_task(title, total=total, lines="")
        yield _Move(progress, task, simulation.start)


@contextmanager
def _folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        if data.exists() and any(data.iterdir()):
            raise InputError(f"--data: {data} is not empty; the demo begins with an empty folder")
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as folder:
        yield Path(folder)


def _floor(at: datetime, grid: timedelta) -> datetime:
    return at - (at - datetime(1970, 1, 1, tzinfo=UTC)) % grid
