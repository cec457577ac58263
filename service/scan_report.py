"""Shows people what a scan found: a few incidents, each with when, who, why and the lines themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from alerts.linking import UNLINKED_KINDS
from alerts.untrusted import neutralised
from service import scan
from service.scan import Scanned, ScanResult, events_of, line_numbers
from tocsin.finding import Finding

_FINDINGS_SHOWN = 3  # of an incident, gravest first; --json has all
_LINES_SHOWN = 5  # of an incident
_ENTITIES_SHOWN = 6  # of an incident, rarest first
_NUMBERS_SHOWN = 3  # of a finding, before the rest is counted
_TEXT_CHARS = 200  # of a sentence or a value
_LINE_CHARS = 300  # of a raw line; a terminal shows two rows of it
_GRAVE, _SERIOUS = 80, 60  # severity: red, yellow
_INDENT = 5  # below the title, behind the severity
_WIDE = 100_000  # columns of what is no terminal: `grep` wants whole lines


def print_report(result: ScanResult, console: Console) -> None:
    """Print incidents, gravest first, then one line that sums up."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_WIDE, color_system=None)
    for note in result.notes:
        console.print(Text(f"note: {neutralised(note, _TEXT_CHARS)}", style="yellow"))
    for scanned in result.incidents:
        console.print(_head(scanned))
        for row in _rows(scanned, result):
            console.print(Padding(row, (0, 0, 0, _INDENT), expand=False))
        console.print()
    console.print(_summary(result))


@contextmanager
def shown_progress(console: Console) -> Iterator[scan.Progress]:
    """A bar on a terminal, nothing elsewhere; it is gone at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, share: float | None) -> None:
            bar.update(task, description=what, completed=share or 0.0, total=None if share is None else 1.0)

        yield tell


def _head(scanned: Scanned) -> Text:
    incident = scanned.incident
    style = "bold red" if incident.severity >= _GRAVE else "bold yellow" if incident.severity >= _SERIOUS else "bold"
    return Text(f"{incident.severity:>3}  {neutralised(incident.title, _TEXT_CHARS)}", style=style)


def _rows(scanned: Scanned, result: ScanResult) -> Iterator[Text]:
    yield _when(scanned)
    yield from _entities(scanned)
    for finding in scanned.findings[:_FINDINGS_SHOWN]:
        yield from _finding(finding, result)
    if (more := len(scanned.findings) - _FINDINGS_SHOWN) > 0:
        yield Text(f"• and {more} more finding{'s' if more > 1 else ''} (--json has all)", style="dim")
    yield from _raw_lines(scanned, result)


def _when(scanned: Scanned) -> Text:
    begun = min(finding.start_at for finding in scanned.findings)
    ended = max(finding.end_at for finding in scanned.findings)
    return Text(f"{_period(begun, ended)}, found by {' and '.join(scanned.incident.detectors)}", style="dim")


def _period(begun: datetime, ended: datetime) -> str:
    if ended - begun < timedelta(seconds=1):
        return f"{begun:%Y-%m-%d %H:%M:%S}"
    end = f"{ended:%H:%M:%S}" if begun.date() == ended.date() else f"{ended:%Y-%m-%d %H:%M:%S}"
    return f"{begun:%Y-%m-%d %H:%M:%S} to {end}"


def _entities(scanned: Scanned) -> Iterator[Text]:
    """Who and what, without what says nothing to a person: process ids, ports."""
    telling = [entity for entity in scanned.incident.entities if entity.partition(":")[0] not in UNLINKED_KINDS]
    if telling:
        shown = [neutralised(entity.replace(":", " ", 1), _TEXT_CHARS) for entity in telling[:_ENTITIES_SHOWN]]
        more = f" and {len(telling) - _ENTITIES_SHOWN} more" if len(telling) > _ENTITIES_SHOWN else ""
        yield Text(f"about {', '.join(shown)}{more}")


def _finding(finding: Finding, result: ScanResult) -> Iterator[Text]:
    where = _where(line_numbers(finding, result.numbers))
    yield Text.assemble("• ", neutralised(finding.summary, _TEXT_CHARS), (where, "dim"))
    # What was seen is often the line itself, which stands below.
    lines = {result.texts.get(event) for event in events_of(finding)}
    for name, text in (("usual", finding.expected), ("here", finding.actual)):
        if text and text not in lines and text not in finding.summary:
            yield Text.assemble((f"  {name:>5}: ", "dim"), neutralised(text, _TEXT_CHARS))


def _where(numbers: list[int]) -> str:
    if not numbers:
        return ""
    shown = ", ".join(str(number) for number in numbers[:_NUMBERS_SHOWN])
    more = f" and {len(numbers) - _NUMBERS_SHOWN:,} more" if len(numbers) > _NUMBERS_SHOWN else ""
    return f" (line{'s' if len(numbers) > 1 else ''} {shown}{more})"


def _raw_lines(scanned: Scanned, result: ScanResult) -> Iterator[Text]:
    """Some of the lines themselves: one of each finding first, then more of the gravest."""
    chosen: dict[str, None] = {}
    for finding in scanned.findings:
        chosen |= dict.fromkeys(events_of(finding)[:1])
    for finding in scanned.findings:
        chosen |= dict.fromkeys(events_of(finding))
    known = [event for event in chosen if event in result.texts][:_LINES_SHOWN]
    for event in sorted(known, key=lambda event: result.numbers[event]):
        yield Text.assemble((f"{result.numbers[event]:>8}  ", "cyan"), neutralised(result.texts[event], _LINE_CHARS))


def _summary(result: ScanResult) -> Text:
    rate = result.lines / max(result.seconds, 1e-3)
    pace = f"{result.lines:,} lines in {result.seconds:.1f} s ({rate:,.0f} lines/s)"
    if result.watched_from is None or result.watched_to is None:
        return Text(f"Nothing was left to watch: all {result.trained:,} events were learned from. {pace}.")
    period = _period(result.watched_from, result.watched_to)
    watched = f"the {result.watched:,} events watched, {period}, after learning from {result.trained:,}"
    held = f" {result.held_back:,} weaker ones are over the budget (--budget)." if result.held_back else ""
    if not result.incidents:
        return Text(f"Nothing unusual in {watched}.{held} {pace}.")
    count = len(result.incidents)
    return Text(f"{count} incident{'s' if count > 1 else ''} in {watched}.{held} {pace}.", style="bold")
