"""Audit events of the staff's tools and the metrics of services and hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from service.simulate.clock import DAY_NS, Day, Floats, Times, always, arrivals, every, office, shopping
from service.simulate.people import by_role
from service.simulate.text import rows, together, written

AUDIT_LINE = (
    '{"time":"<iso>","user":"<user>","action":"<action>","resource":"<resource>","ip":"<ip>","outcome":"<outcome>",'
    '"bytes":<bytes>}'
)
#: What each role does in a working day: action, resources, how often by the whole role.
_WORK: dict[str, tuple[tuple[str, tuple[str, ...], float], ...]] = {
    "support": (
        ("ticket.read", ("queue/returns", "queue/delivery", "queue/billing"), 260.0),
        ("customer.read", ("customers",), 190.0),
        ("order.refund", ("orders",), 34.0),
    ),
    "dev": (
        ("repo.push", ("repo/cart", "repo/gateway", "repo/payment", "repo/search"), 48.0),
        ("deploy.start", ("deploy/cart", "deploy/gateway", "deploy/payment", "deploy/search"), 6.0),
        ("dashboard.read", ("dash/latency", "dash/errors", "dash/orders"), 120.0),
    ),
    "ops": (
        ("config.update", ("config/gateway", "config/cart", "config/egress-policy", "config/alerts"), 15.0),
        ("dashboard.read", ("dash/latency", "dash/errors", "dash/nodes"), 90.0),
        ("node.drain", ("node/worker-1", "node/worker-2", "node/worker-3", "node/worker-4"), 2.0),
    ),
    "finance": (
        ("report.export", ("report/payouts", "report/sales", "report/refunds"), 28.0),
        ("invoice.approve", ("invoices",), 45.0),
    ),
}


def audit(day: Day) -> list[pl.DataFrame]:
    """Who did what in the back office: tuples of user, action, resource, address and outcome, and bytes read."""
    rng = day.rng("audit")
    frames = [_work(day, rng, role, work) for role, works in _WORK.items() for work in works]
    machines = [
        (every(day, 3600.0, 1800.0), "svc-backup", "backup.run", "store/orders", "10.20.3.7", 5e8),
        (every(day, 1800.0, 240.0), "svc-report", "report.refresh", "report/sales", "10.20.4.9", 2e6),
        (arrivals(rng, day, 60, always), "svc-monitor", "dashboard.read", "dash/errors", "10.20.4.3", 9e3),
    ]
    for times, user, action, resource, ip, size in machines:
        frames.append(_events(times, {"user": user, "action": action, "resource": resource, "ip": ip}, size, rng))
    return [written(frame, AUDIT_LINE) for frame in frames]


def _work(day: Day, rng: np.random.Generator, role: str, work: tuple[str, tuple[str, ...], float]) -> pl.DataFrame:
    action, resources, per_day = work
    times = arrivals(rng, day, per_day, office)
    people = by_role(role)
    who = [people[index] for index in rng.integers(0, len(people), len(times))]
    columns = {
        "user": [person.name for person in who],
        "action": action,
        "resource": [resources[index] for index in rng.integers(0, len(resources), len(times))],
        "ip": [person.ip for person in who],
    }
    return _events(times, columns, 2e5 if action == "report.export" else 6e3, rng)


def _events(times: Times, columns: Mapping[str, object], size: float, rng: np.random.Generator) -> pl.DataFrame:
    outcome = np.where(rng.random(len(times)) < 0.015, "denied", "allowed")
    return rows(times, columns).with_columns(
        pl.Series("outcome", outcome, dtype=pl.String),
        pl.Series("bytes", (size * rng.lognormal(0, 0.5, len(times))).astype(np.int64)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an incident does to one metric."""

    name: str
    host: str
    start: int  # ns
    end: int
    factor: float
    planted: str


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    host: str
    level: float
    swing: float  # how far customers move it, as a share
    noise: float  # relative
    period_s: float = 120.0


_METRICS = (
    *(
        _Metric("http_requests_per_s", service, level, 0.9, 0.05)
        for service, level in (("gateway", 9.0), ("cart", 3.1), ("search", 2.2), ("payment", 0.5))
    ),
    *(
        _Metric("latency_p95_ms", service, level, 0.15, 0.07)
        for service, level in (("gateway", 240.0), ("cart", 61.0), ("search", 120.0), ("payment", 480.0))
    ),
    *(
        _Metric("cpu_percent", host, 34.0, 0.5, 0.08, 120.0)
        for host in ("gw-1", "cart-1", "pay-1", "db-1", "worker-1", "worker-2")
    ),
    *(_Metric("memory_percent", host, 61.0, 0.05, 0.01, 300.0) for host in ("gw-1", "cart-1", "pay-1", "db-1")),
    *(_Metric("disk_used_percent", host, 55.0, 0.0, 0.001, 600.0) for host in ("db-1", "bkp-1")),
)


def metrics(day: Day, effects: Iterable[Effect]) -> list[pl.DataFrame]:
    """Metrics of services and hosts: level, day and week, noise that remembers."""
    shape = '{"time":"<iso>","name":"<name>","host":"<host>","value":<value>}'
    effects = tuple(effects)
    frames = []
    for metric in _METRICS:
        rng = day.rng(f"metric {metric.name} {metric.host}")
        times = every(day, metric.period_s, float(rng.integers(0, 20)))
        value = _values(metric, day, times, rng)
        planted = np.full(len(times), None, object)
        for effect in effects:
            if (effect.name, effect.host) == (metric.name, metric.host):
                during = (times >= effect.start) & (times < effect.end)
                value[during] *= effect.factor
                planted[during] = effect.planted
        frame = rows(times, {"name": metric.name, "host": metric.host, "value": np.round(value, 2)})
        frames.append(written(frame.with_columns(pl.Series("planted", planted.tolist(), dtype=pl.String)), shape))
    return [together(frames)]


def _values(metric: _Metric, day: Day, times: Times, rng: np.random.Generator) -> Floats:
    minute = (times - day.start) // (DAY_NS // 1440)
    busy = shopping(day.weekday)[minute]
    drift = np.convolve(rng.normal(size=len(times) + 9), np.full(10, 10**-0.5), "valid")
    return np.asarray(metric.level * (1 + metric.swing * (busy - 1)) * np.exp(metric.noise * drift), np.float64)
