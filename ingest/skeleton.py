"""The skeleton of a line: the same text with every digit a zero, so that lines that differ in numbers only become one.

A skeleton has the bytes of its line at the same offsets, so what is found once in the skeleton (a time, a field, a
mask) is cut out of all its lines by offset. Ids have random letters too: `collapse` zeroes those as well, and is run on
the few skeletons that are new. Whatever reads a skeleton must not ask for particular digits: [0-9], never 2. One digit
is left: a 1 at the beginning of a line, as times since 1970 have it and other numbers mostly do not.
"""

from __future__ import annotations

from collections.abc import Container

import numpy as np
import polars as pl

_ZERO_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_ZEROS = str.maketrans("123456789", "000000000")
_BREAKS = ["\n", "\r"]

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
    text = np.frombuffer(new.str.join("\n")[0].encode() + b"\n", np.uint8).copy()
    words = _Words(text)
    is_uuid = words.are_uuids()
    is_id = words.are_ids() & ~is_uuid
    starts, ends = words.starts[is_id], words.ends[is_id]
    second = text[starts + 1]
    steps = np.zeros(len(text) + 1, np.int8)
    steps[words.starts[is_id | is_uuid]] = 1
    steps[words.ends[is_id | is_uuid]] = -1
    text[np.cumsum(steps[:-1], dtype=np.int8) > 0] = ord("0")
    text[ends - 1] = ord("a")  # not to be taken for a number
    is_prefixed = (second == ord("x")) | (second == ord("X"))
    text[starts[is_prefixed] + 1] = ord("x")
    return pl.read_lines(text.tobytes()).to_series().alias(new.name)


def collapse_unknown(distinct: pl.Series, known: Container[str]) -> list[str]:
    """Distinct skeletons; of those that are not known as they are, what `collapse` makes of them."""
    names: list[str] = distinct.to_list()
    new = [at for at, name in enumerate(names) if name not in known]
    for at, name in zip(new, collapse(distinct.gather(new)).to_list(), strict=True):
        names[at] = name
    return names


class _Words:
    """The runs of letters and digits in a text that ends in a line's end."""

    def __init__(self, text: np.typing.NDArray[np.uint8]) -> None:
        classes = _CLASSES[text]
        inside = classes > 0
        edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
        if inside[0]:
            edges = np.concatenate(([0], edges))
        self._text = text
        self._classes = classes
        self.starts, self.ends = edges[0::2], edges[1::2]
        self._lengths = self.ends - self.starts
        self._is_hex = self._count(classes == _LETTER) == 0

    def are_uuids(self) -> np.typing.NDArray[np.bool_]:
        """Which words are part of a UUID."""
        is_part = np.zeros(len(self.starts), bool)
        fits = [self._is_hex & (self._lengths == length) for length in (8, 4, 4, 4, 12)]
        is_joined = (self.starts[1:] - self.ends[:-1] == 1) & (self._text[self.ends[:-1]] == ord("-"))
        count = len(self.starts) - 4
        if count > 0:
            first = np.logical_and.reduce([fit[at : at + count] for at, fit in enumerate(fits)])
            first &= np.logical_and.reduce([is_joined[at : at + count] for at in range(4)])
            for at in range(5):
                is_part[at : at + count] |= first
        return is_part

    def are_ids(self) -> np.typing.NDArray[np.bool_]:
        """Which words look random."""
        classes = self._classes
        behind = np.zeros(len(classes), bool)
        behind[1:] = (classes[:-1] == _DIGIT) & (classes[1:] > _DIGIT)
        digits, turns = self._count(classes == _DIGIT), self._count(behind)
        # A character of several bytes must stay one, or a piece could begin or end in the middle of it.
        is_mixed = (digits > 0) & (digits < self._lengths) & (self._count(self._text >= 128) == 0)
        return np.asarray((self._lengths >= _ID_CHARS_MIN) & is_mixed & (self._is_hex | (turns >= 2)))

    def _count(self, flags: np.typing.NDArray[np.bool_]) -> np.typing.NDArray[np.int32]:
        """How many of the bytes of each word have a flag."""
        sums = np.zeros(len(flags) + 1, np.int32)
        np.cumsum(flags, out=sums[1:])
        return sums[self.ends] - sums[self.starts]


def _keep_ones(plain: np.typing.NDArray[np.uint8], joined: np.typing.NDArray[np.uint8]) -> None:
    begins = np.concatenate(([0], np.flatnonzero(plain == ord("\n")) + 1))
    begins = begins[begins < len(plain)]
    begins = np.where(plain[begins] == ord("["), begins + 1, begins)
    begins = begins[begins < len(plain)]
    joined[begins[plain[begins] == ord("1")]] = ord("1")
