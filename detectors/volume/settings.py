"""What the volume detector may be told; every bound of its memory is here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSettings:
    """Intervals, memory of the baselines, and from when on a deviation is worth a word."""

    interval_s: int = 300  # counts of one minute are mostly noise; a burst is told before its interval ends anyway
    lateness_s: float = 30.0  # a line may arrive so much after a newer one of its stream and still count
    in_step_s: float = 900.0  # a stream that follows the tenant's clock this closely falls silent by that clock
    jump_s: float = (
        21_600.0  # a leap of the tenant's clock beyond this is a new beginning, not a silence of all streams
    )
    gap_s: float = 86_400.0  # of a longer gap only this much is learned as zeros: the stream was off
    history_min: int = 12  # intervals of a stream, or of a series, before it is scored: one hour
    recent_halflife: float = 12.0  # intervals; the present level, one hour
    level_halflife: float = 576.0  # intervals; the usual level, two days
    season_memory: float = 48.0  # intervals remembered for an hour of the week: four weeks
    peaks_halflife_days: float = 14.0  # of what a series did at its worst
    deviation_min: float = 20.0  # lines off the expected number; fewer never alert, whatever the ratio
    ratio_min: float = 0.5  # share of the expected number that must be off as well
    burst_lines: float = 5.0  # lines come in bunches of about so many: variance of a small mean; chosen, not measured
    decades_usual: float = 3.0  # -log10 of a chance that some interval of every few days has: the unit of the score
    kinds: tuple[str, ...] = (
        "user",
        "ip",
        "host",
        "service",
        "process",
        "path",
        "url",
        "domain",
        "email",
        "device",
        "container",
        "status",
    )  # entities that are counted; others are keys, each seen a few times
    streams_max: int = 2_000  # the stalest are forgotten
    series_max: int = 20_000  # 1.6 kB each; the stalest are forgotten
    series_per_group_max: int = 1_000  # templates, or entities of a kind, of one stream
    open_max: int = 200_000  # counts of intervals that are not over; beyond it the smallest are dropped
    reasons_max: int = 4  # series told about one interval
    text_chars_max: int = 240  # of an example line, with its time and host, in explanations

    @property
    def hour(self) -> float:
        """Intervals in an hour."""
        return 3600.0 / self.interval_s
