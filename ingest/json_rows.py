"""JSON into events: a line or an array element is one object; what is not is refused alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ingest.batch import Rejected
from ingest.conventions import Row
from ingest.limits import Limits
from ingest.lines import Split, count_openers, reject
from tocsin.errors import InputError, TooLargeError

_KEY_BYTES = 5  # the shortest key and value there is: `"":1,`

_decode = msgspec.json.Decoder().decode
_check = msgspec.json.Decoder(msgspec.Raw).decode
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The events of a body."""

    rows: list[Row]
    positions: Sequence[int]  # place of each in the body, from 0
    texts: Sequence[str] | None  # as they were sent; None where they have no text of their own
    rejected: tuple[Rejected, ...]


def rows_of_ndjson(split: Split, limits: Limits) -> Rows:
    """Events of lines of JSON."""
    texts = split.texts
    decoded: list[object]
    try:
        decoded = [_decode(text) for text in texts]
    except (msgspec.DecodeError, RecursionError):
        decoded = [_value_or_why(text) for text in texts]
    why = _refused(decoded)
    # With fewer than this, each object has its own brace and none can be too deep.
    if split.openers >= len(texts) - len(why) + limits.json_depth_max or _any_long(texts, limits):
        why |= _over_limits(texts, decoded, limits)
    if not why:
        return Rows(rows=decoded, positions=split.positions, texts=texts, rejected=split.rejected)  # type: ignore[arg-type]  # all are objects
    kept = [at for at in range(len(texts)) if at not in why]
    return Rows(
        rows=[decoded[at] for at in kept],  # type: ignore[misc]  # as above
        positions=[split.positions[at] for at in kept],
        texts=[texts[at] for at in kept],
        rejected=(*split.rejected, *(reject(split.positions[at], texts[at], why[at], limits) for at in why)),
    )


def are_valid(texts: Sequence[str], limits: Limits) -> bool:
    """Whether all lines are JSON objects within the limits; no object is made of them."""
    if not all(text.startswith("{") for text in texts) or _any_long(texts, limits):
        return False
    if any(count_openers(text) > limits.json_depth_max for text in texts):
        return False  # perhaps too deep
    try:
        for text in texts:
            _check(text)
    except msgspec.DecodeError:
        return False
    return True


def rows_of_json(text: str, limits: Limits) -> Rows:
    """Events of one JSON document: an array of objects, or one object. `line` of a refused one is its place.

    Raises:
        InputError: the document as a whole cannot be read.
        TooLargeError: it holds more than `lines_max` elements.
    """
    try:
        document = _decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"body: {_why(error)}") from error
    items: list[Any] = document if isinstance(document, list) else [document]
    if len(items) > limits.lines_max:
        raise TooLargeError(f"body: more than {limits.lines_max} elements; send it in parts")
    why = _refused(items)
    if count_openers(text) > limits.json_depth_max or _any_long([text], limits):
        # Written out again, because an element has no text of its own that could be measured.
        texts = [_json(item) for item in items]
        why |= _over_limits(texts, items, limits)
        size_max = limits.line_bytes_max
        why |= {at: f"longer than {size_max} bytes" for at, own in enumerate(texts) if len(own.encode()) > size_max}
    kept = [at for at in range(len(items)) if at not in why]
    return Rows(
        rows=[items[at] for at in kept],
        positions=kept,
        texts=None,
        rejected=tuple(reject(at, _json(items[at]), why[at], limits) for at in sorted(why)),
    )


class _Poison(str):
    """Why a line has no value."""

    __slots__ = ()


def _value_or_why(text: str) -> object:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return _Poison(_why(error))


def _refused(values: Sequence[object]) -> dict[int, str]:
    if set(map(type, values)) <= {dict}:
        return {}
    return {
        at: str(value) if isinstance(value, _Poison) else f"not an object but {_kind(value)}"
        for at, value in enumerate(values)
        if not isinstance(value, dict)
    }


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep to be read"
    reason = str(error).removeprefix("JSON is malformed: ")
    return f"not valid JSON: {'it ends too early' if 'truncated' in reason else reason}"


def _kind(value: object) -> str:
    return {list: "an array", str: "a text", type(None): "null", bool: "a truth value"}.get(type(value), "a number")


def _json(value: object) -> str:
    return _encoder.encode(value).decode()


def _any_long(texts: Sequence[str], limits: Limits) -> bool:
    return max(map(len, texts), default=0) > min(_KEY_BYTES * limits.fields_max, limits.line_bytes_max)


def _over_limits(texts: Sequence[str], values: Sequence[object], limits: Limits) -> dict[int, str]:
    """Events nested too deep or with too many keys; only those whose text allows it are walked through."""
    keys_bytes = _KEY_BYTES * limits.fields_max
    suspects = [
        at for at, text in enumerate(texts) if len(text) > keys_bytes or count_openers(text) > limits.json_depth_max
    ]
    reasons = {at: why_over(value, limits) for at in suspects if isinstance(value := values[at], dict)}
    return {at: why for at, why in reasons.items() if why is not None}


def why_over(row: Row, limits: Limits) -> str | None:
    """Why an event is refused for its depth or the number of its keys; None where it is not."""
    fields = depth = 0
    level: list[Any] = [row]
    while level:
        depth += 1
        if depth > limits.json_depth_max:
            return f"nested deeper than {limits.json_depth_max}"
        fields += sum(len(holder) for holder in level if isinstance(holder, dict))
        if fields > limits.fields_max:
            return f"more than {limits.fields_max} fields"
        level = [value for holder in level for value in _held(holder) if isinstance(value, (dict, list))]
    return None


def _held(holder: Any) -> Iterable[Any]:
    return holder.values() if isinstance(holder, dict) else holder
