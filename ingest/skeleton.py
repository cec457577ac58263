"""The skeleton of a line: the same text with every digit a zero, so that lines that differ in numbers only become one.

A skeleton has the bytes of its line at the same offsets, so what is found once in the skeleton (a time, a field, a
mask) is cut out of all its lines by offset. Ids have random letters too: `collapse` zeroes those as well, and is run on
the few skeletons that are new. Whatever reads a skeleton must not ask for particular digits: [0-9], never 2. One digit
is left: a 1 at the beginning of a line, as times since 1970 have it and other numbers mostly do not.
"""

from __future__ import annotations

import numpy as np
import polars as pl

_ZERO_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_ZEROS = str.maketrans("123456789", "000000000")
_BREAKS = ["\n", "\r"]
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_ZERO_UUID = "00000000-0000-0000-0000-000000000000"

# A word is an id when it is so long and either of hexadecimal digits, or has letters behind digits twice: "8f3c0a9b" is
# one and "worker12" is none. Names that look like ids lose nothing but their own skeleton.
_ID_CHARS_MIN = 8
_DIGIT, _HEX, _LETTER = 1, 2, 4
_CLASSES = np.zeros(256, np.uint8)
_CLASSES[np.frombuffer(b"0123456789", np.uint8)] = _DIGIT
_CLASSES[np.frombuffer(b"abcdefABCDEF", np.uint8)] = _HEX
_CLASSES[np.frombuffer(b"ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ", np.uint8)] = _LETTER
_CLASSES[128:] = _LETTER


def skeletons(texts: pl.Series) -> pl.Series:
    """Skeletons of a String series without nulls; line breaks inside a text become other white space."""
    if texts.is_empty():
        return texts
    if texts.str.contains_any(_BREAKS).any():
        texts = texts.str.replace_many(_BREAKS, ["\x0b", "\x0b"])
    plain = texts.str.join("\n")[0].encode()
    joined = bytearray(plain.translate(_ZERO_DIGITS))
    joined += b"\n"
    _keep_ones(np.frombuffer(plain, np.uint8), np.frombuffer(joined, np.uint8))
    return pl.read_lines(bytes(joined)).to_series().alias(texts.name)


def skeleton(text: str) -> str:
    """Skeleton of one text, line breaks as they are, without the 1 of its beginning."""
    return text.translate(_ZEROS)


def collapse(new: pl.Series) -> pl.Series:
    """Zero the letters of UUIDs and other ids too, at the same length; 0x stays, and an id ends in a letter."""
    if new.is_empty():
        return new
    joined = new.str.replace_all(_UUID, _ZERO_UUID).str.join("\n")[0].encode() + b"\n"
    text = np.frombuffer(joined, np.uint8).copy()
    classes = _CLASSES[text]
    inside = classes > 0
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate(([0], edges))
    starts, ends = edges[0::2], edges[1::2]  # the last byte is a line's end, so every word ends
    long = ends - starts >= _ID_CHARS_MIN
    starts, ends = starts[long], ends[long]
    if len(starts):
        is_id = _are_ids(classes, starts, ends)
        starts, ends = starts[is_id], ends[is_id]
        second = text[starts + 1]
        steps = np.zeros(len(text) + 1, np.int8)
        steps[starts] = 1
        steps[ends] = -1
        text[np.cumsum(steps[:-1], dtype=np.int8) > 0] = ord("0")
        text[ends - 1] = ord("a")  # not to be taken for a number
        is_prefixed = (second == ord("x")) | (second == ord("X"))
        text[starts[is_prefixed] + 1] = ord("x")
    return pl.read_lines(text.tobytes()).to_series().alias(new.name)


def _are_ids(
    classes: np.typing.NDArray[np.uint8], starts: np.typing.NDArray[np.intp], ends: np.typing.NDArray[np.intp]
) -> np.typing.NDArray[np.bool_]:
    """Which words look random."""
    bounds = np.column_stack((starts, ends)).ravel()
    holds = np.bitwise_or.reduceat(classes, bounds)[::2]
    behind = np.zeros(len(classes), np.int32)
    behind[1:] = (classes[:-1] == _DIGIT) & (classes[1:] > _DIGIT)
    turns = np.add.reduceat(behind, bounds)[::2]
    return np.asarray((holds == (_DIGIT | _HEX)) | (((holds & _DIGIT) > 0) & (turns >= 2)))


def _keep_ones(plain: np.typing.NDArray[np.uint8], joined: np.typing.NDArray[np.uint8]) -> None:
    begins = np.concatenate(([0], np.flatnonzero(plain == ord("\n")) + 1))
    begins = begins[begins < len(plain)]
    begins = np.where(plain[begins] == ord("["), begins + 1, begins)
    begins = begins[begins < len(plain)]
    joined[begins[plain[begins] == ord("1")]] = ord("1")
