"""Event time of every tenant: it follows the newest event, and while nothing arrives it follows the ticks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tocsin.errors import StateError


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantClock:
    """Where one tenant stands."""

    now: datetime  # event time up to which everything was seen; never goes back
    lag: timedelta  # how far the newest batch was behind the clock on the wall


class Clocks:
    """The clocks of all tenants. Everything comes from the journal, so a replay reads the same times."""

    def __init__(self, lag_s_max: float) -> None:
        self._lag_max = timedelta(seconds=lag_s_max)
        self._clocks: dict[str, TenantClock] = {}

    def now(self, tenant: str) -> datetime | None:
        """Event time of `tenant`; None before its first event."""
        clock = self._clocks.get(tenant)
        return clock.now if clock else None

    def seen(self, tenant: str, newest: datetime, observed: datetime) -> datetime:
        """A batch came whose newest event is of `newest`; return the tenant's event time."""
        before = self._clocks.get(tenant)
        now = newest if before is None else max(before.now, newest)
        self._clocks[tenant] = TenantClock(now=now, lag=observed - newest)
        return now

    def ticked(self, observed: datetime) -> dict[str, datetime]:
        """Time passed without events; return the event time of the tenants it moved.

        A tenant whose events are old when they come (a backfill of history) has no live clock: nothing moves it.
        """
        moved: dict[str, datetime] = {}
        for tenant, clock in sorted(self._clocks.items()):
            now = observed - clock.lag
            if abs(clock.lag) <= self._lag_max and now > clock.now:
                self._clocks[tenant] = TenantClock(now=now, lag=clock.lag)
                moved[tenant] = now
        return moved

    def words(self) -> dict[str, list[object]]:
        """All of it as JSON values."""
        return {
            tenant: [clock.now.isoformat(), clock.lag / timedelta(microseconds=1)]
            for tenant, clock in sorted(self._clocks.items())
        }

    def restore(self, words: Mapping[str, object]) -> None:
        """Know what `words` says and nothing else.

        Raises:
            StateError: it is not what `words` gave.
        """
        try:
            self._clocks = {tenant: _clock(value) for tenant, value in words.items()}
        except (TypeError, ValueError) as error:
            raise StateError(f"clocks: {error}") from error


def _clock(value: object) -> TenantClock:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"expected a time and a lag, found {value!r}")
    return TenantClock(now=datetime.fromisoformat(value[0]), lag=timedelta(microseconds=value[1]))
