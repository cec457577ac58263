"""What the machines beneath the shop write: logins, the database, cron, the cluster's controller."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from service.simulate.clock import HOUR_NS, MINUTE_NS, SECOND_NS, Day, Times, always, arrivals, every, office
from service.simulate.people import Employee, by_role, stranger_ip
from service.simulate.text import hexes, later, rows, written

SERVICES = ("web", "gateway", "cart", "search", "catalogue", "inventory", "payment", "identity", "mailer")
HOSTS = ("gw-1", "cart-1", "pay-1", "db-1", "bkp-1", "ops-1")
_SCANNED = ("admin", "test", "oracle", "ubuntu", "postgres", "pi", "git", "user", "ftp", "guest")


def auth(day: Day) -> list[pl.DataFrame]:
    """Logins to machines by SSH as syslog: staff through ops-1, service accounts, and scanners."""
    rng = day.rng("auth")
    times = arrivals(rng, day, 46, office)
    people = by_role("ops") + by_role("dev")
    who = [people[index] for index in rng.integers(0, len(people), len(times))]
    staff = logins(
        times,
        {
            "host": [_workplace(rng, person) for person in who],
            "user": [person.name for person in who],
            "ip": [person.ip for person in who],
        },
        rng,
    )
    hourly = every(day, 3600.0, 1804.0)
    backup = logins(hourly, {"host": "bkp-1", "user": "svc-backup", "ip": "10.20.3.7"}, rng)
    deploys = _restarts(day)
    deploying = logins(
        deploys["time"].to_physical().to_numpy() - 20 * SECOND_NS,
        {"host": "ops-1", "user": "svc-deploy", "ip": "10.20.4.2"},
        rng,
    )
    ops = rows(
        times,
        {"user": [person.name for person in who], "lead": [person.role == "ops" for person in who], "host": "ops-1"},
    )
    sudo = later(ops.filter(pl.col("lead").cast(pl.Boolean)), 40.0).with_columns(
        pl.Series(
            "command",
            rng.choice(
                ["/usr/bin/systemctl status nginx", "/usr/bin/journalctl -u cart", "/usr/bin/apt-get update"],
                int(ops["lead"].sum()),
            ),
        )
    )
    sudo_line = "<syslog> <host> sudo:   <user> : TTY=pts/0 ; PWD=/home/<user> ; USER=root ; COMMAND=<command>"
    return [*staff, *backup, *deploying, *_scans(day), *_hourly_sessions(day), written(sudo, sudo_line)]


def logins(
    times: Times,
    columns: Mapping[str, object],
    rng: np.random.Generator,
    *,
    how: str = "publickey",
    planted: str | None = None,
) -> list[pl.DataFrame]:
    """Lines of successful logins, from the key to the goodbye."""
    size = len(times)
    frame = rows(
        times,
        {**columns, "pid": rng.integers(9000, 32000, size), "port": rng.integers(32768, 61000, size)},
        planted=planted,
    )
    frame = frame.with_columns(pl.Series("stays", rng.gamma(2.0, 400.0, size)))
    head = "<syslog> <host> sshd[<pid>]: "
    key = " ssh2: ED25519 SHA256:9mJt3vQkXl" if how == "publickey" else " ssh2"
    gone = later(frame, pl.col("stays"))
    return [
        written(frame, head + f"Accepted {how} for <user> from <ip> port <port>{key}"),
        written(frame, head + "pam_unix(sshd:session): session opened for user <user>(uid=1000) by (uid=0)"),
        written(gone, head + "Received disconnect from <ip> port <port>:11: disconnected by user"),
        written(gone, head + "pam_unix(sshd:session): session closed for user <user>"),
    ]


def failures(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """Lines of failed logins; wants `host`, `user`, `ip`, `pid`, `port`, and `exists` for known users."""
    head = "<syslog> <host> sshd[<pid>]: "
    exists = pl.col("exists").cast(pl.Boolean)  # a day without any has no type of its own
    known, unknown = frame.filter(exists), frame.filter(~exists)
    return [
        written(unknown, head + "Invalid user <user> from <ip> port <port>"),
        written(unknown, head + "Failed password for invalid user <user> from <ip> port <port> ssh2"),
        written(known, head + "Failed password for <user> from <ip> port <port> ssh2"),
        written(later(frame, 1.2), head + "Connection closed by <ip> port <port> [preauth]"),
    ]


def _workplace(rng: np.random.Generator, person: Employee) -> str:
    """Developers work on ops-1; operators go everywhere."""
    return (
        "ops-1" if person.role == "dev" or rng.random() < 0.4 else str(rng.choice(["gw-1", "cart-1", "db-1", "ops-1"]))
    )


def _scans(day: Day) -> list[pl.DataFrame]:
    """The usual noise of the internet: short tries of names that do not exist here; and staff mistypes, too."""
    rng = day.rng("scans")
    begins = arrivals(rng, day, 22, always)
    many = rng.integers(1, 7, len(begins))
    size = int(many.sum())
    pauses = np.concatenate([np.arange(count) * rng.uniform(2, 9) for count in many] or [np.zeros(0)])
    scanned = rows(
        (np.repeat(begins, many) + pauses * SECOND_NS).astype(np.int64),
        {
            "host": "gw-1",
            "user": np.array(_SCANNED)[rng.integers(0, len(_SCANNED), size)],
            "ip": stranger_ip(rng, len(begins)).to_numpy().repeat(many),
            "pid": rng.integers(9000, 32000, size),
            "port": rng.integers(32768, 61000, size),
            "exists": False,
        },
    )
    slips = arrivals(rng, day, 5, office)
    people = by_role("ops")
    who = [people[index] for index in rng.integers(0, len(people), len(slips))]
    typos = rows(
        slips,
        {
            "host": "ops-1",
            "user": [person.name for person in who],
            "ip": [person.ip for person in who],
            "pid": rng.integers(9000, 32000, len(slips)),
            "port": rng.integers(32768, 61000, len(slips)),
            "exists": True,
        },
    )
    return failures(scanned) + failures(typos)


def _hourly_sessions(day: Day) -> list[pl.DataFrame]:
    """Cron opens a session on every host at 17 minutes past the hour."""
    rng = day.rng("cron-sessions")
    times = np.concatenate([every(day, 3600.0, 1020.0 + place * 0.3) for place in range(len(HOSTS))])
    frame = rows(
        times, {"host": np.repeat(HOSTS, len(times) // len(HOSTS)), "pid": rng.integers(9000, 32000, len(times))}
    )
    return [
        written(
            frame, "<syslog> <host> CRON[<pid>]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"
        ),
        written(later(frame, 0.6), "<syslog> <host> CRON[<pid>]: pam_unix(cron:session): session closed for user root"),
    ]


def database(requests: pl.DataFrame, day: Day) -> list[pl.DataFrame]:
    """PostgreSQL: slow statements, checkpoints, vacuum, connections, and a deadlock on some days."""
    rng = day.rng("database")
    own = requests.filter(pl.col("step").is_in(["pay", "checkout", "orders"]))
    own = own.with_columns(
        pl.Series("pid", 2000 + rng.integers(0, 40, len(own))),
        pl.Series("took", np.round(rng.lognormal(4.2, 0.9, len(own)), 3)),
    )
    slow = own.filter(pl.col("took") > 200)
    night = rows(
        day.at(2.05) + (np.sort(rng.random(60)) * 25 * MINUTE_NS).astype(np.int64),
        {
            "pid": 2077,
            "took": np.round(rng.lognormal(8.2, 0.5, 60), 3),
            "table": rng.choice(["orders", "order_items", "customers"], 60),
        },
    )
    checkpoints = rows(
        every(day, 300.0, 41.0), {"buffers": rng.poisson(900, 288), "wrote": np.round(rng.gamma(40, 0.7, 288), 3)}
    )
    vacuum = rows(arrivals(rng, day, 34, always))
    vacuum = vacuum.with_columns(
        pl.Series("table", rng.choice(["orders", "sessions", "cart_items"], len(vacuum))),
        pl.Series("removed", rng.poisson(4000, len(vacuum))),
    )
    dead = rows(arrivals(rng, day, 0.6, office), {"pid": 2003})
    head = "<postgres> [<pid>] shop@orders "
    return [
        written(own, head + "LOG:  connection authorized: user=shop database=orders application_name=<step>"),
        written(
            slow,
            head + "LOG:  duration: <took> ms  statement: SELECT * FROM orders WHERE customer_id = <number>",  # noqa: S608 -- a log line
        ),
        written(
            night, head + "LOG:  duration: <took> ms  statement: REFRESH MATERIALIZED VIEW CONCURRENTLY <table>_by_day"
        ),
        written(
            checkpoints,
            "<postgres> [811] LOG:  checkpoint complete: wrote <buffers> buffers (5.5%); write=<wrote> s, sync=0.012 s",
        ),
        written(
            vacuum,
            '<postgres> [820] LOG:  automatic vacuum of table "orders.public.<table>": tuples: <removed> removed',
        ),
        written(dead, head + "ERROR:  deadlock detected"),
    ]


def scheduler(day: Day) -> list[pl.DataFrame]:
    """Jobs by the clock: reports every ten minutes, hourly feeds, the batch of the night."""
    rng = day.rng("scheduler")
    frames: list[pl.DataFrame] = []
    for job, period_s, first_s, usual_s in (
        ("sync-prices", 600.0, 60.0, 21.0),
        ("send-reminders", 3600.0, 300.0, 44.0),
        ("export-feed", 3600.0, 1500.0, 95.0),
        ("rotate-sessions", 900.0, 450.0, 4.0),
        ("nightly-orders", 86_400.0, 7200.0, 1480.0),
        ("nightly-accounts", 86_400.0, 7500.0, 960.0),
        (
            "weekly-stocktake",
            86_400.0 * (1 if day.weekday == 6 else 2),
            12_600.0 if day.weekday == 6 else 90_000.0,
            2400.0,
        ),
    ):
        times = every(day, period_s, first_s)
        columns = {
            "job": job,
            "pid": rng.integers(4000, 9000, len(times)),
            "took": rng.normal(usual_s, usual_s / 12, len(times)).round(1),
        }
        started = rows(times, columns).with_columns(pl.Series("items", rng.poisson(usual_s * 20, len(times))))
        head = "<syslog> ops-1 jobs[<pid>]: "
        frames += [
            written(started, head + "job <job> started"),
            written(later(started, pl.col("took")), head + "job <job> finished in <took> s, <items> items"),
        ]
    return frames


def cluster(day: Day) -> list[pl.DataFrame]:
    """The controller's log in klog's format: probes, and deploys that only restart a service."""
    rng = day.rng("cluster")
    probes = rows(every(day, 60.0, 33.0))
    scaled = _restarts(day)
    probes_line = 'I<klog>       1 node_lifecycle.go:1068] "Node is healthy" node="worker-<node>"'
    resync = rows(every(day, 600.0, 12.0), {"objects": rng.poisson(340, 144)})
    return [
        written(probes.with_columns((pl.int_range(pl.len()) % 4 + 1).alias("node")), probes_line),
        written(resync, 'I<klog>       1 reflector.go:368] "Caches synced" objects=<objects>'),
        *rollout(scaled, rng),
    ]


def rollout(deploys: pl.DataFrame, rng: np.random.Generator) -> list[pl.DataFrame]:
    """Lines of deploys; wants `service` and `version`."""
    frame = deploys.with_columns(hexes(rng, len(deploys), 9).alias("replica"), hexes(rng, len(deploys), 5).alias("pod"))
    head = "I<klog>       1 "
    return [
        written(
            frame,
            head
            + 'deployment_controller.go:498] "Rolling out" deployment="shop/<service>" '
            + 'image="registry.shop.example/<service>:<version>"',
        ),
        written(
            later(frame, 1.0),
            head
            + 'replica_set.go:621] "Created pod" replicaSet="shop/<service>-<replica>" pod="<service>-<replica>-<pod>"',
        ),
        written(later(frame, 24.0), head + 'replica_set.go:705] "Deleted pod" replicaSet="shop/<service>" count=1'),
        written(
            later(frame, 26.0),
            head + 'deployment_util.go:820] "Rollout finished" deployment="shop/<service>" seconds=26',
        ),
    ]


def _restarts(day: Day) -> pl.DataFrame:
    """Deploys of a day: a new version or only a restart; none of them changes what the service writes."""
    rng = day.rng("deploys")
    times = arrivals(rng, day, 3.5, office)
    which = rng.integers(0, len(SERVICES), len(times))
    # A version every other week; most deploys restart the present one.
    version = [f"2.{(day.number // 14) % 60}.{int(rng.random() < 0.3)}" for _ in range(len(times))]
    return rows(times + 0 * HOUR_NS, {"service": np.array(SERVICES)[which], "version": version})
