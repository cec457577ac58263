"""Masks: what varies is hidden, what a line is about stays."""

from __future__ import annotations

import pytest

from ingest.fields import find
from ingest.mask import REST, mask
from ingest.skeleton import skeleton


def masked(text: str, tokens_max: int = 128) -> str:
    return mask(skeleton(text), find(skeleton(text)), tokens_max=tokens_max).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("took 15 ms", "took <NUM> ms"),
        ("took 1.5 ms, -3 left", "took <NUM> ms, <NUM> left"),
        ("took 15ms", "took <X> ms".replace(" ms", "")),
        ("at 0x7ffe00ff in libc", "at <HEX> in libc"),
        ("from 10.0.0.1:443 closed", "from <IP>:<NUM> closed"),
        ("block blk_-77 lost", "block <SESSION> lost"),
        ("worker-12 idle", "<X> idle"),
        (
            "Accepted password for alice from 10.0.0.1 port 22 ssh2",
            "Accepted password for <USER> from <IP> port <NUM> <X>",
        ),
        ("open /etc/shadow failed", "open <PATH> failed"),
        ("cache parity error corrected", "cache parity error corrected"),
        ("spaces   and\ttabs", "spaces and tabs"),
        ("", ""),
        ("   ", ""),
    ],
)
def test_what_varies_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize("text", ["a1", "x=5;y=6", "²³ and ٣", "Ünïcode9", "1e10 5% #3 @4", "000"])
def test_no_ascii_digit_is_left(text: str) -> None:
    assert not any(digit in masked(text) for digit in "0123456789")


def test_the_sign_of_drain_in_a_line_is_not_taken_for_its_own() -> None:
    assert masked("value <*> is odd") == "value <?> is odd"


def test_every_token_of_the_masked_text_has_its_place_in_the_line() -> None:
    text = "Failed password for  root from 10.0.0.1 port 22"
    found = mask(skeleton(text), find(skeleton(text)), tokens_max=128)
    assert [text[start:end] for start, end in found.tokens] == text.split()
    assert len(found.text.split()) == len(found.tokens)


def test_a_long_line_is_known_by_its_beginning() -> None:
    text = " ".join(["word"] * 500)
    assert masked(text, tokens_max=3) == f"word word word {REST}"
    assert masked("word word word", tokens_max=3) == "word word word"


def test_a_long_run_without_digits_is_read_in_linear_time() -> None:
    assert masked("a" * 4000) == "a" * 4000
