"""What the novelty detector may be told; every bound of its memory is here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltySettings:
    """How long things stay known, how much is remembered, and what counts as news."""

    age_days: float = 30.0  # a value not seen for so long is new again (AMiner #1328: values must age out)
    halflife_days: float = 14.0  # of the rate at which new things appear: two weeks of habits
    identifying_kinds: tuple[str, ...] = (
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
    )  # entities that name an actor or a place; the others are keys that are new all the time
    entities_per_record_max: int = 6  # pairs grow with its square
    field_chars_max: int = 64  # a longer attribute value is prose or data, not a name
    values_max: int = 400_000  # known things, 48 bytes each
    values_per_group_max: int = 20_000  # so that a flood of addresses cannot make the users forgotten
    groups_max: int = 150_000  # novelty rates kept, 64 bytes each
    texts_max: int = 100_000  # readable values kept for explanations
    text_chars_max: int = 120  # of a value, in units and explanations
    chunk_records: int = 8_192  # learned at a time, so that rates follow within a long history
    surprise_min: float = 1.3  # what is expected one time in twenty is no news
    error_bonus: float = 0.5  # decades for a new template of severity error; a full decade for fatal
    bonus_max: float = 0.5  # decades that further new things of a record may add to its strongest
    numbers_min: int = 12  # a field with more known values counts something, unless its name says that it is a code
