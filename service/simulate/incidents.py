"""The incidents that can be planted, each with what it leaves behind and what is true about it.

`claimed_by` names those of the present detectors, novelty and volume, that claim to find it. Empty means that nobody
claims it yet: it shows in bytes, durations, hours or the order of events, which is work for later detectors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from service.simulate.business import AUDIT_LINE, Effect
from service.simulate.clock import MINUTE_NS, SECOND_NS, Day, Times
from service.simulate.hosts import failures, logins, rollout
from service.simulate.people import NEW_A_DAY, customers, mobile_ip
from service.simulate.text import hexes, later, rows, written
from service.simulate.traffic import completed
from tocsin.record import TIME


@dataclass(slots=True, kw_only=True)
class Scene:
    """A day while incidents are planted into it."""

    day: Day
    requests: pl.DataFrame  # customers' requests, which an incident may change or add to
    extra: defaultdict[str, list[pl.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    effects: list[Effect] = field(default_factory=list)
    silences: list[tuple[str, int, int]] = field(default_factory=list)  # stream, start, end in ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """An incident that can be planted."""

    kind: str
    hour: float  # by the shop's clock
    minutes: float
    streams: tuple[str, ...]
    entities: tuple[str, ...]  # that have to do with it
    strangers: tuple[str, ...] = ()  # those of them that no normal line names
    sentence: str
    claimed_by: tuple[str, ...]
    plant: Callable[[Scene, int, int], None]  # scene, start and end in ns


_GUESSING_IP, _SCRAPING_IP = "193.46.255.17", "185.220.103.9"
_BAD_VERSION = "3.0.0-rc1"


def _odd_hour_change(scene: Scene, start: int, end: int) -> None:  # noqa: ARG001 -- a plot
    frame = rows(
        np.array([start, start + 41 * SECOND_NS]),
        {
            "user": "okafor",
            "action": "config.update",
            "resource": "config/egress-policy",
            "ip": "10.8.0.11",
            "outcome": "allowed",
            "bytes": [5120, 5344],
        },
        planted="odd_hour_change",
    )
    scene.extra["audit"].append(written(frame, AUDIT_LINE))


def _disk_full(scene: Scene, start: int, end: int) -> None:
    rng = scene.day.rng("disk_full")
    times = _within(rng, start, end, 44)
    frame = rows(
        times,
        {"pid": 2000 + rng.integers(0, 40, len(times)), "file": rng.integers(24_000, 25_000, len(times))},
        planted="disk_full",
    )
    head = "<postgres> [<pid>] shop@orders "
    scene.extra["orders-db"] += [
        written(frame, head + 'ERROR:  could not extend file "base/16402/<file>": No space left on device'),
        written(frame, head + "HINT:  Check free disk space."),
    ]
    scene.effects.append(
        Effect(name="disk_used_percent", host="db-1", start=start, end=end, factor=1.81, planted="disk_full")
    )


def _brute_force(scene: Scene, start: int, end: int) -> None:
    rng = scene.day.rng("brute_force")
    won = end - 3 * MINUTE_NS
    times = _within(rng, start, won, 380)
    user = rng.choice(["root", "admin", "mlopez", "deploy", "backup"], len(times))
    tries = rows(
        times,
        {
            "host": "gw-1",
            "user": user,
            "ip": _GUESSING_IP,
            "pid": rng.integers(9000, 32_000, len(times)),
            "port": rng.integers(32_768, 61_000, len(times)),
            "exists": np.isin(user, ["root", "mlopez"]),
        },
        planted="brute_force",
    )
    inside = {"host": "gw-1", "user": "mlopez", "ip": _GUESSING_IP}
    command = rows(
        np.array([won + 50 * SECOND_NS, won + 75 * SECOND_NS]),
        {"command": ["/usr/bin/cat /etc/shadow", "/usr/bin/crontab -e"]},
        planted="brute_force",
    )
    sudo = "<syslog> gw-1 sudo:   mlopez : TTY=pts/1 ; PWD=/tmp ; USER=root ; COMMAND=<command>"
    scene.extra["auth"] += [
        *failures(tries),
        *logins(np.array([won]), inside, rng, how="password", planted="brute_force"),
        written(command, sudo),
    ]


def _scraper(scene: Scene, start: int, end: int) -> None:
    rng = scene.day.rng("scraper")
    times = _within(rng, start, end, 2600)
    frame = rows(
        times,
        {"item": 1000 + np.arange(len(times)) % 400, "bytes": rng.lognormal(8.5, 0.3, len(times)).astype(np.int64)},
        planted="scraper",
    )
    asked = '"GET /product/SKU-<item> HTTP/1.1" 200 <bytes> "-" "python-requests/2.33.0"'
    shape = f"{_SCRAPING_IP} - - [<nginx>] {asked} rt=0.019"
    scene.extra["web"].append(written(frame, shape))


def _slow_exfiltration(scene: Scene, start: int, end: int) -> None:
    rng = scene.day.rng("slow_exfiltration")
    times = np.arange(start, end, 13 * MINUTE_NS) + rng.integers(
        0, 4 * MINUTE_NS, -(-(end - start) // (13 * MINUTE_NS))
    )
    frame = rows(
        times,
        {
            "user": "dkim",
            "action": "report.export",
            "resource": "report/payouts",
            "ip": "10.8.0.23",
            "outcome": "allowed",
            "bytes": (8e8 * rng.lognormal(0, 0.2, len(times))).astype(np.int64),
        },
        planted="slow_exfiltration",
    )
    scene.extra["audit"].append(written(frame, AUDIT_LINE))


def _bad_deploy(scene: Scene, start: int, end: int) -> None:
    rng = scene.day.rng("bad_deploy")
    deploy = rows(np.array([start]), {"service": "cart", "version": _BAD_VERSION}, planted="bad_deploy")
    rollback = rows(np.array([end]), {"service": "cart", "version": "2.0.0"}, planted="bad_deploy")
    scene.extra["cluster"] += [*rollout(deploy, rng), *rollout(rollback, rng)]
    broken = (
        _during(start + 30 * SECOND_NS, end) & pl.col("step").is_in(["add", "cart"]) & (pl.col("luck") * 97 % 1 < 0.4)
    )
    scene.requests = scene.requests.with_columns(
        pl.when(broken).then(500).otherwise("status").cast(pl.Int64).alias("status"),
        pl.when(broken).then(pl.lit("bad_deploy")).otherwise("planted").alias("planted"),
    )
    failed = later(scene.requests.filter(pl.col("planted") == "bad_deploy"), 0.011)
    head = "time=<iso> level=error svc=cart host=cart-1 "
    scene.extra["cart"] += [
        written(
            failed,
            head + 'msg="panic recovered: nil discount rule" at=pricing.go:218 trace_id=<trace> customer=<customer>',
        ),
        written(failed, head + 'msg="request aborted" err="internal: price of cart unknown" trace_id=<trace> ms=2'),
    ]


def _slow_dependency(scene: Scene, start: int, end: int) -> None:
    slow = _during(start, end) & (pl.col("step") == "pay")
    scene.requests = scene.requests.with_columns(
        pl.when(slow).then(pl.col("ms") * 5).otherwise("ms").alias("ms"),
        pl.when(slow).then(pl.lit("slow_dependency")).otherwise("planted").alias("planted"),
    )
    for host, factor in (("payment", 5.0), ("gateway", 1.35)):
        scene.effects.append(
            Effect(name="latency_p95_ms", host=host, start=start, end=end, factor=factor, planted="slow_dependency")
        )


def _silent_source(scene: Scene, start: int, end: int) -> None:
    scene.silences.append(("inventory", start, end))


def _fraud_ring(scene: Scene, start: int, end: int) -> None:
    rng = scene.day.rng("fraud_ring")
    accounts = NEW_A_DAY * scene.day.number - 2600 - np.arange(14, dtype=np.int64) * 3
    script = ("login", "view", "add", "cart", "checkout", "pay")
    pauses = np.cumsum([0.0, 2.0, 1.5, 1.0, 2.0, 3.0])  # a machine's, the same for all
    who = customers(accounts).with_columns(
        hexes(rng, len(accounts), 16).alias("session"), mobile_ip(rng, len(accounts)).alias("ip")
    )
    begins = np.linspace(start, end - MINUTE_NS, len(accounts)).astype(np.int64)
    times = (begins[:, None] + pauses * SECOND_NS).astype(np.int64).ravel()
    frame = who[pl.Series(np.repeat(np.arange(len(accounts)), len(script)))].with_columns(
        pl.Series("time", times).cast(TIME),
        pl.Series("step", script * len(accounts)),
        pl.lit("fraud_ring").alias("planted"),
    )
    frame = completed(frame, rng).with_columns(
        pl.lit(49.5).alias("amount"),
        pl.lit("gift_card").alias("category"),
        pl.when(pl.col("step") == "add").then(201).otherwise(200).cast(pl.Int64).alias("status"),
    )
    scene.requests = pl.concat([scene.requests, frame.select(scene.requests.columns)]).sort("time", maintain_order=True)


def _lateral_movement(scene: Scene, start: int, end: int) -> None:
    rng = scene.day.rng("lateral_movement")
    hosts = ["db-1", "pay-1", "gw-1", "cart-1", "ops-1"]
    times = _within(rng, start, end - 5 * MINUTE_NS, len(hosts))
    columns = {"host": hosts, "user": "svc-backup", "ip": "10.20.3.7"}
    command = rows(times + 25 * SECOND_NS, {"host": hosts}, planted="lateral_movement")
    sudo = "<syslog> <host> sudo:   svc-backup : TTY=pts/3 ; PWD=/tmp ; USER=root ; COMMAND=/usr/bin/tar czf - /home"
    scene.extra["auth"] += [*logins(times, columns, rng, planted="lateral_movement"), written(command, sudo)]


def _within(rng: np.random.Generator, start: int, end: int, count: int) -> Times:
    return np.sort(rng.integers(start, end, count)).astype(np.int64)


def _during(start: int, end: int) -> pl.Expr:
    time = pl.col("time").cast(pl.Int64)
    return (time >= start) & (time < end)


PLOTS: tuple[Plot, ...] = (
    Plot(
        kind="odd_hour_change",
        hour=3.28,
        minutes=2,
        streams=("audit",),
        entities=("user:okafor",),
        sentence="An operator changes the egress policy at a quarter past three, when nobody ever changes anything.",
        claimed_by=(),
        plant=_odd_hour_change,
    ),
    Plot(
        kind="disk_full",
        hour=4.6,
        minutes=12,
        streams=("orders-db", "metrics"),
        entities=("host:db-1",),
        sentence="The disk of the order database is full: an error that was never seen before.",
        claimed_by=("novelty", "volume"),
        plant=_disk_full,
    ),
    Plot(
        kind="brute_force",
        hour=5.7,
        minutes=17,
        streams=("auth",),
        entities=(f"ip:{_GUESSING_IP}", "user:mlopez", "host:gw-1"),
        strangers=(f"ip:{_GUESSING_IP}",),
        sentence="Hundreds of passwords are guessed from a new address; one for mlopez is right and reads /etc/shadow.",
        claimed_by=("novelty", "volume"),
        plant=_brute_force,
    ),
    Plot(
        kind="scraper",
        hour=8.4,
        minutes=20,
        streams=("web",),
        entities=(f"ip:{_SCRAPING_IP}",),
        strangers=(f"ip:{_SCRAPING_IP}",),
        sentence="One address fetches the whole catalogue six times over.",
        claimed_by=("volume",),
        plant=_scraper,
    ),
    Plot(
        kind="slow_exfiltration",
        hour=9.5,
        minutes=420,
        streams=("audit",),
        entities=("user:dkim", "ip:10.8.0.23"),
        sentence="An accountant exports a report every quarter of an hour, each four thousand times its usual size.",
        claimed_by=(),
        plant=_slow_exfiltration,
    ),
    Plot(
        kind="bad_deploy",
        hour=11.1,
        minutes=45,
        streams=("cart", "gateway", "cluster", "web"),
        entities=("service:cart",),
        sentence=f"Version {_BAD_VERSION} of the cart panics on every other request until it is rolled back.",
        claimed_by=("novelty", "volume"),
        plant=_bad_deploy,
    ),
    Plot(
        kind="slow_dependency",
        hour=14.0,
        minutes=50,
        streams=("payment", "gateway", "web", "metrics"),
        entities=("host:payment",),
        sentence="The card acquirers answer five times slower; nothing fails.",
        claimed_by=(),
        plant=_slow_dependency,
    ),
    Plot(
        kind="silent_source",
        hour=16.7,
        minutes=55,
        streams=("inventory",),
        entities=(),
        sentence="The stock service says nothing any more.",
        claimed_by=("volume",),
        plant=_silent_source,
    ),
    Plot(
        kind="fraud_ring",
        hour=19.0,
        minutes=100,
        streams=("clicks", "transactions", "web", "gateway", "identity", "cart", "payment"),
        entities=(),
        sentence="Fourteen dormant accounts replay one script to the second, each to buy a gift card.",
        claimed_by=(),
        plant=_fraud_ring,
    ),
    Plot(
        kind="lateral_movement",
        hour=22.1,
        minutes=30,
        streams=("auth",),
        entities=("user:svc-backup", "ip:10.20.3.7"),
        sentence="The backup account, which only ever logs in to its own machine, goes from host to host as root.",
        claimed_by=("novelty",),
        plant=_lateral_movement,
    ),
)
