"""Puts the simulated shop together: days of lines by stream, planted incidents, and the truth about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl

from service.simulate import business, hosts, shop
from service.simulate.clock import DAY_NS, Day
from service.simulate.incidents import PLOTS, Plot, Scene
from service.simulate.text import together
from service.simulate.traffic import requests
from tocsin.errors import InputError

#: Kinds of incidents that can be planted.
INCIDENTS: tuple[str, ...] = tuple(plot.kind for plot in PLOTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """The truth about one incident.

    Attributes:
        kind: one of INCIDENTS; there is one of each.
        start: when it begins.
        end: when it is over.
        streams: where it leaves traces.
        entities: who and what has to do with it.
        strangers: those of them that no normal line names.
        sentence: what happens, for a person.
        claimed_by: the present detectors that claim to find it; empty where none does.
        silent: it shows by the absence of lines.
    """

    kind: str
    start: datetime
    end: datetime
    streams: tuple[str, ...]
    entities: tuple[str, ...]
    strangers: tuple[str, ...]
    sentence: str
    claimed_by: tuple[str, ...]
    silent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What all streams wrote between two moments: WRITTEN frames by stream; streams that wrote nothing are absent."""

    start: datetime
    end: datetime
    streams: Mapping[str, pl.DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A range of the shop's life. Days are made when they are asked for, so that a long range needs little memory."""

    seed: int
    start: datetime
    end: datetime
    offset: timedelta
    rate: float
    truth: tuple[Planted, ...]

    def days(self) -> Iterator[dict[str, pl.DataFrame]]:
        """WRITTEN frames by stream, one dict a day by the shop's clock, cut to the range."""
        for number in range(_day_number(self.start, self.offset), _last_day(self.end, self.offset) + 1):
            yield {stream: self._cut(frame) for stream, frame in self._day(number).items()}

    def chunks(self, step: timedelta) -> Iterator[Chunk]:
        """The same in time order, in pieces of `step`; the last of a day may be shorter."""
        for number, streams in enumerate(self.days(), _day_number(self.start, self.offset)):
            midnight = _midnight(number, self.offset)
            begin, end = max(self.start, midnight), min(self.end, midnight + timedelta(days=1))
            while begin < end:
                until = min(begin + step, end)
                during = (pl.col("time") >= begin) & (pl.col("time") < until)
                parts = {stream: frame.filter(during) for stream, frame in streams.items()}
                yield Chunk(start=begin, end=until, streams={name: part for name, part in parts.items() if len(part)})
                begin = until

    @property
    def streams(self) -> dict[str, pl.DataFrame]:
        """The whole range at once."""
        days = list(self.days())
        return {stream: pl.concat([day[stream] for day in days]) for stream in days[0]}

    def write(self, folder: Path) -> None:
        """Write one file a stream, `NAME.log`, the truth as `truth.json`, and the planted lines as `planted.csv`.

        `planted.csv` has the columns `stream,line,kind`; `line` is the 1-based number within the stream's file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        labels = []
        for stream, frame in self.streams.items():
            (folder / f"{stream}.log").write_bytes("".join(f"{line}\n" for line in frame["line"]).encode())
            numbered = frame.with_row_index("number", 1).filter(pl.col("planted").is_not_null())
            labels.append(
                numbered.select(
                    pl.lit(stream).alias("stream"), pl.col("number").alias("line"), pl.col("planted").alias("kind")
                )
            )
        pl.concat(labels).write_csv(folder / "planted.csv")
        truth = [asdict(planted) for planted in self.truth]
        (folder / "truth.json").write_bytes(orjson.dumps(truth, option=orjson.OPT_INDENT_2))

    def _cut(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter((pl.col("time") >= self.start) & (pl.col("time") < self.end))

    def _day(self, number: int) -> dict[str, pl.DataFrame]:
        """All streams of one day; what would be written after midnight is left out."""
        midnight = _midnight(number, self.offset)
        day = Day(seed=self.seed, number=number, start=_nanoseconds(midnight), rate=self.rate)
        scene = Scene(day=day, requests=requests(day))
        for planted in self.truth:
            if midnight <= planted.start < midnight + timedelta(days=1):
                _PLOT_OF[planted.kind].plant(scene, _nanoseconds(planted.start), _nanoseconds(planted.end))
        streams = _written(scene)
        for stream, start, end in scene.silences:
            time = pl.col("time").cast(pl.Int64)
            streams[stream] = streams[stream].filter((time < start) | (time >= end))
        before_midnight = pl.col("time").cast(pl.Int64) < day.start + DAY_NS
        return {stream: frame.filter(before_midnight) for stream, frame in streams.items()}


def simulate(  # noqa: PLR0913 -- what a simulation depends on, all but three with a usual value
    seed: int,
    start: datetime,
    hours: float,
    incidents: Sequence[str] = INCIDENTS,
    *,
    offset: timedelta = timedelta(0),
    rate: float = 1.0,
) -> Simulation:
    """Simulate the shop. The same arguments give the same lines, and a day is the same in every range that holds it.

    Args:
        seed: of all chance.
        start: aware; the beginning.
        hours: length of the range.
        incidents: kinds to plant, on the last day of the range by the shop's clock; those that do not fit between the
            beginning and the end of the range are left out.
        offset: of the shop's clock against UTC, as a time zone has it. Lines are written in UTC.
        rate: how busy the shop is; 1 is about 60,000 lines a day.

    Raises:
        InputError: an incident is unknown.
    """
    unknown = [kind for kind in incidents if kind not in _PLOT_OF]
    if unknown:
        raise InputError(f"incident {unknown[0]!r} is unknown; known are {', '.join(INCIDENTS)}")
    start = start.astimezone(UTC)
    end = start + timedelta(hours=hours)
    midnight = _midnight(_last_day(end, offset), offset)
    planted = [_planted(plot, midnight) for plot in PLOTS if plot.kind in incidents]
    truth = tuple(each for each in planted if start <= each.start and each.end <= end)
    return Simulation(seed=seed, start=start, end=end, offset=offset, rate=rate, truth=truth)


def _planted(plot: Plot, midnight: datetime) -> Planted:
    start = midnight + timedelta(minutes=round(plot.hour * 60))
    return Planted(
        kind=plot.kind,
        start=start,
        end=start + timedelta(minutes=plot.minutes),
        streams=plot.streams,
        entities=plot.entities,
        strangers=plot.strangers,
        sentence=plot.sentence,
        claimed_by=plot.claimed_by,
        silent=plot.kind == "silent_source",
    )


def _written(scene: Scene) -> dict[str, pl.DataFrame]:
    day, asked = scene.day, scene.requests
    frames: dict[str, list[pl.DataFrame]] = {
        "web": shop.web(asked, day),
        "gateway": shop.gateway(asked, day),
        "cart": shop.cart(asked),
        "payment": shop.payment(asked, day),
        "catalogue": shop.catalogue(asked),
        "search": shop.search(asked, day),
        "identity": shop.identity(asked),
        "inventory": shop.inventory(asked, day),
        "mailer": shop.mailer(asked, day),
        "auth": hosts.auth(day),
        "orders-db": hosts.database(asked, day),
        "scheduler": hosts.scheduler(day),
        "cluster": hosts.cluster(day),
        "clicks": shop.clicks(asked),
        "transactions": shop.transactions(asked),
        "audit": business.audit(day),
        "metrics": business.metrics(day, scene.effects),
    }
    return {stream: together([*parts, *scene.extra[stream]]) for stream, parts in frames.items()}


def _day_number(at: datetime, offset: timedelta) -> int:
    return (at + offset - _EPOCH) // timedelta(days=1)


def _last_day(end: datetime, offset: timedelta) -> int:
    return _day_number(end - timedelta(microseconds=1), offset)


def _midnight(number: int, offset: timedelta) -> datetime:
    return _EPOCH + timedelta(days=number) - offset


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLOT_OF = {plot.kind: plot for plot in PLOTS}
