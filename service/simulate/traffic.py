"""Visits of customers: sessions of a few kinds, each a row of requests with its trace through the services."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from service.simulate.clock import SECOND_NS, Day, Times, arrivals, shopping
from service.simulate.people import customers, mobile_ip, visitors
from service.simulate.text import hexes
from tocsin.record import TIME

SESSIONS_A_DAY = 1500
PRODUCTS = 400

#: What people do in one visit, and how often such a visit is.
SCRIPTS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.22, ("home", "search", "view", "view")),
    (0.16, ("home", "view")),
    (0.12, ("view", "view", "view", "add", "cart")),
    (0.10, ("search", "view", "search", "view", "view", "add")),
    (0.12, ("home", "login", "search", "view", "add", "cart", "checkout", "pay")),
    (0.09, ("login", "view", "add", "view", "add", "cart", "checkout", "pay", "orders")),
    (0.07, ("home", "login", "orders")),
    (0.07, ("home",)),
    (0.05, ("login", "cart", "checkout", "pay")),
)
#: Method, path and usual milliseconds of each step.
STEPS: dict[str, tuple[str, str, float]] = {
    "home": ("GET", "/", 21.0),
    "search": ("GET", "/api/search", 64.0),
    "view": ("GET", "/api/products/<sku>", 33.0),
    "add": ("POST", "/api/cart/items", 41.0),
    "cart": ("GET", "/api/cart", 28.0),
    "checkout": ("POST", "/api/checkout", 118.0),
    "pay": ("POST", "/api/payments", 260.0),
    "login": ("POST", "/api/login", 95.0),
    "orders": ("GET", "/api/orders", 47.0),
}
WORDS = ("lamp", "desk", "chair", "kettle", "rug", "shelf", "mirror", "teapot", "blanket", "vase", "clock", "basket")


def requests(day: Day) -> pl.DataFrame:
    """All requests of customers of a day, one row each, in time order."""
    rng = day.rng("sessions")
    starts = arrivals(rng, day, SESSIONS_A_DAY * day.rate, shopping)
    who = visitors(rng, day, len(starts))
    weights = np.array([weight for weight, _ in SCRIPTS])
    scripts = [SCRIPTS[index][1] for index in rng.choice(len(SCRIPTS), len(starts), p=weights / weights.sum())]
    # People give up or look at one thing more.
    scripts = [
        script[: max(1, len(script) - cut)]
        for script, cut in zip(scripts, rng.geometric(0.7, len(starts)) - 1, strict=True)
    ]
    lengths = np.array([len(script) for script in scripts], np.int64)
    step = np.concatenate([np.array(script) for script in scripts])
    gaps = rng.lognormal(2.7, 0.8, len(step))
    visits = pl.DataFrame(
        {"number": who, "session": hexes(rng, len(who), 16), "abroad": rng.random(len(who)) < 0.15}
    ).with_columns(mobile_ip(rng, len(who)).alias("mobile"))
    visits = visits.hstack(customers(who).drop("number"))
    address = pl.when("abroad").then("mobile").otherwise("home")
    visits = visits.with_columns(address.alias("ip")).drop("abroad", "mobile")
    place = pl.Series(np.repeat(np.arange(len(who)), lengths))
    frame = visits[place].with_columns(
        pl.Series("step", step),
        pl.Series("time", _times(starts, lengths, gaps)).cast(TIME),
        pl.lit(None, pl.String).alias("planted"),
    )
    return completed(frame, rng).sort("time")


def completed(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Add what the service makes of each step: trace, product, duration, status, bytes.

    Args:
        frame: rows with `time`, `step` and the customer's columns.
        rng: chance.
    """
    size = len(frame)
    product = (rng.pareto(1.1, size) * 12).astype(np.int64) % PRODUCTS
    usual = frame["step"].replace_strict({step: ms for step, (_, _, ms) in STEPS.items()}, return_dtype=pl.Float64)
    frame = frame.with_columns(
        hexes(rng, size, 32).alias("trace"),
        pl.Series("sku", np.char.add("SKU-", (1000 + product).astype(str))),
        pl.Series("word", np.array(WORDS)[rng.integers(0, len(WORDS), size)]),
        (usual * pl.Series(rng.lognormal(0.0, 0.45, size))).round(0).cast(pl.Int64).alias("ms"),
        pl.Series("luck", rng.random(size)),
        pl.Series("bytes", (rng.lognormal(7.6, 0.7, size)).astype(np.int64)),
        pl.Series("amount", frame["spends"].to_numpy() * rng.lognormal(0.0, 0.35, size)).round(2),
        frame["step"].replace_strict({step: each[0] for step, each in STEPS.items()}).alias("method"),
        frame["step"].replace_strict({step: each[1] for step, each in STEPS.items()}).alias("path"),
    )
    return frame.with_columns(
        pl.col("path").str.replace("<sku>", pl.col("sku"), literal=True),
        pl.when(pl.col("luck") > 0.97).then(pl.lit("gift_card")).otherwise(pl.lit("household")).alias("category"),
        _status().cast(pl.Int64).alias("status"),
    )


def _status() -> pl.Expr:
    """Most requests succeed; a few fail as they do on any day."""
    luck, step = pl.col("luck"), pl.col("step")
    return (
        pl.when((step == "login") & (luck < 0.05))
        .then(401)  # a mistyped password
        .when((step == "pay") & (luck < 0.035))
        .then(402)  # the bank says no
        .when((step == "view") & (luck < 0.006))
        .then(404)  # an old link
        .when((step == "add") & (luck < 0.012))
        .then(409)  # sold out meanwhile
        .when(luck > 0.9993)
        .then(502)
        .when(luck > 0.9988)
        .then(499)  # the customer did not wait
        .otherwise(pl.when(step == "add").then(201).otherwise(200))
    )


def _times(starts: Times, lengths: NDArray[np.int64], gaps: NDArray[np.float64]) -> Times:
    """Time of each step: its session's start and the pauses up to it."""
    first = np.cumsum(lengths) - lengths
    gaps[first] = 0.0
    passed = np.cumsum(gaps)
    passed -= np.repeat(passed[first], lengths)
    return (np.repeat(starts, lengths) + passed * SECOND_NS).astype(np.int64)
