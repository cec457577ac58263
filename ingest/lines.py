"""A body into its lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.batch import Rejected
from ingest.limits import Limits
from tocsin.errors import TooLargeError

_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The lines of a body that are not empty."""

    positions: Sequence[int]  # place of each in the body, from 0, empty lines counted
    texts: list[str]  # without line ends
    openers: int  # brackets and braces that open in the whole body
    rejected: tuple[Rejected, ...]  # those that are too long


def text_of(body: bytes) -> str:
    """The body as text; what is not UTF-8, and NUL, becomes U+FFFD, so that every later stage can keep it."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode(errors="replace")
    if "\0" in text:
        text = text.replace("\0", _REPLACEMENT)
    return text.removeprefix("\ufeff")  # a byte order mark


def split(text: str, limits: Limits) -> Split:
    """The lines of `text`; one of nothing but spaces is empty.

    Lists, not columns: a call of polars costs as much as two hundred lines here, and most batches are small.

    Raises:
        TooLargeError: there are more than `lines_max`.
    """
    check_lines(text, limits)
    openers = count_openers(text)
    texts = text.split("\n")
    if "\r" in text:
        texts = [line.removesuffix("\r") for line in texts]
    positions: Sequence[int] = range(len(texts))
    if not all(texts) or any(map(str.isspace, texts)):
        positions = [at for at, line in enumerate(texts) if line and not line.isspace()]
        texts = [texts[at] for at in positions]
    # A character takes 4 bytes at most.
    size_max = limits.line_bytes_max
    long = {at for at, line in enumerate(texts) if 4 * len(line) > size_max and len(line.encode()) > size_max}
    if not long:
        return Split(positions=positions, texts=texts, openers=openers, rejected=())
    short = [at for at in range(len(texts)) if at not in long]
    return Split(
        positions=[positions[at] for at in short],
        texts=[texts[at] for at in short],
        openers=openers,
        rejected=tuple(
            reject(positions[at], texts[at], f"longer than {size_max} bytes", limits) for at in sorted(long)
        ),
    )


def count_openers(text: str) -> int:
    """How often JSON in `text` could go one level deeper."""
    return text.count("{") + text.count("[")


def check_lines(text: str, limits: Limits) -> None:
    """Refuse a body of too many lines before anything is made of them.

    Raises:
        TooLargeError: there are more than `lines_max`.
    """
    if text.count("\n") >= limits.lines_max:
        raise TooLargeError(f"body, line {limits.lines_max + 1}: more than {limits.lines_max} lines; send it in parts")


def reject(position: int, line: str, detail: str, limits: Limits) -> Rejected:
    """A poison line, with as much of it as is kept."""
    raw = line[: limits.rejected_bytes_max].encode()[: limits.rejected_bytes_max]
    return Rejected(line=position + 1, detail=detail, raw=raw)
