"""The shop's customers and staff. Everything about a customer follows from the number, so none has to be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from service.simulate.clock import Day

Numbers = NDArray[np.int64]

NEW_A_DAY = 12  # customers that sign up; somebody is always new
ACTIVE = 2400  # the latest so many customers still come
ANDROID = "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537.36"
BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 Version/19.1 Mobile Safari/604.1",
    ANDROID,
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_2) AppleWebKit/605.1.15 Version/19.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
COUNTRIES = ("DE", "DE", "DE", "DE", "AT", "CH", "FR", "NL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Employee:
    """One of the staff."""

    name: str
    role: str  # ops, dev, support or finance
    ip: str  # address in the office network


STAFF = tuple(
    Employee(name=name, role=role, ip=f"10.8.0.{11 + place}")
    for place, (name, role) in enumerate(
        (
            ("okafor", "ops"),
            ("lindqvist", "ops"),
            ("mlopez", "ops"),
            ("tanaka", "dev"),
            ("abebe", "dev"),
            ("novak", "dev"),
            ("schmidt", "dev"),
            ("rossi", "dev"),
            ("haddad", "support"),
            ("jensen", "support"),
            ("kowalski", "support"),
            ("oneill", "support"),
            ("dkim", "finance"),
            ("moreau", "finance"),
        )
    )
)


def by_role(role: str) -> tuple[Employee, ...]:
    """Who has a role."""
    return tuple(person for person in STAFF if person.role == role)


def visitors(rng: np.random.Generator, day: Day, size: int) -> Numbers:
    """Customers who come, by number; a few come often, most seldom."""
    active = NEW_A_DAY * day.number - np.arange(ACTIVE, dtype=np.int64)
    weight = 1.0 / (0.02 + uniform(active, 1))
    chosen = rng.choice(active, size, p=weight / weight.sum())
    # Those who signed up today come today.
    fresh = NEW_A_DAY * day.number + rng.integers(1, NEW_A_DAY + 1, size)
    return np.asarray(np.where(rng.random(size) < 0.012, fresh, chosen), np.int64)


def customers(numbers: Numbers) -> pl.DataFrame:
    """What is known of each customer: name, home address, device, card and habits, one row a number."""
    first, second, third = (1 + (uniform(numbers, salt) * 253).astype(np.int64) for salt in (2, 3, 4))
    network = 78 + (uniform(numbers, 5) * 17).astype(np.int64)
    kind = np.minimum((uniform(numbers, 6) ** 1.5 * len(BROWSERS)).astype(np.int64), len(BROWSERS) - 1)
    return pl.DataFrame(
        {
            "number": numbers,
            "home": _dotted(network, first, second, third),
            "agent": np.array(BROWSERS)[kind],
            "device": hashed_names("d-", numbers, 10),
            "card": 4_000_000_000 + (uniform(numbers, 7) * 999_999_999).astype(np.int64),
            "country": np.array(COUNTRIES)[(uniform(numbers, 8) * len(COUNTRIES)).astype(np.int64)],
            "spends": np.exp(3.3 + 0.6 * normal(numbers, 9)),  # usual basket in euros, 27 in the middle
        }
    ).with_columns(pl.format("c{}", "number").alias("customer"), pl.format("tok_{}", "card").alias("card"))


def mobile_ip(rng: np.random.Generator, size: int) -> pl.Series:
    """Addresses of phone networks, shared by everybody who is on the way."""
    low = rng.integers(1, 255, size)
    return _dotted(np.full(size, 109), np.full(size, 43), rng.integers(48, 52, size), low)


def stranger_ip(rng: np.random.Generator, size: int) -> pl.Series:
    """Addresses from anywhere, as scanners have them."""
    return _dotted(*(rng.integers(low, high, size) for low, high in ((141, 222), (0, 256), (0, 256), (1, 255))))


def hashed_names(prefix: str, numbers: Numbers, salt: int) -> list[str]:
    """A fixed name for each number that does not show it."""
    return [f"{prefix}{name:012x}" for name in (uniform(numbers, salt) * 2**48).astype(np.int64).tolist()]


def uniform(numbers: Numbers, salt: int) -> NDArray[np.float64]:
    """A fixed number in [0, 1) for each number: a hash (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt * 0x632BE59BD9B4E019 % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11), np.float64) / 2.0**53


def normal(numbers: Numbers, salt: int) -> NDArray[np.float64]:
    """A fixed normal deviate for each number (Box and Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log1p(-uniform(numbers, salt)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform(numbers, salt + 100)), np.float64)


def _dotted(*parts: Numbers) -> pl.Series:
    named = pl.DataFrame({str(place): part for place, part in enumerate(parts)})
    return named.select(pl.concat_str(list(named.columns), separator=".").alias("ip"))["ip"]
