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
        ("wait enable......0", "wait enable......<X>"),
        ("moved to shard-7. Again", "moved to <X>. Again"),
        ("since Sun Jul  2 03:04:05 2005, then", "since <TIME>, then"),
        ("[Sat, Jan 01 00:00:00 UTC 2022]", "[<TIME>]"),
        ("till 2024-06-01 10:20:30,123 or 2024-06-01T10:20Z", "till <TIME> or <TIME>"),
        ("src: /10.0.0.1:50010 dest: a/10.0.0.2", "src: <IP>:<NUM> dest: a/<IP>"),
        ("delete blk_1 blk_2 blk_3 now", "delete <SESSION> now"),
        ("via 10.0.0.1,10.0.0.2,10.0.0.3 and 10.0.0.4, 10.0.0.5", "via <IP> and <IP>"),
        ("load 1 2 3", "load <NUM> <NUM> <NUM>"),
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


def test_a_list_and_a_time_are_one_token_each() -> None:
    text = "deleted blk_1 blk_2 at Sun Jul 10 03:04:05 2005 by cron"
    found = mask(skeleton(text), find(skeleton(text)), tokens_max=128)
    assert found.text == "deleted <SESSION> at <TIME> by cron"
    places = [text[start:end] for start, end in found.tokens]
    assert places == ["deleted", "blk_1 blk_2", "at", "Sun Jul 10 03:04:05 2005", "by", "cron"]
    assert [text[span.start : span.end] for span in found.spans] == ["blk_1", "blk_2", "Sun Jul 10 03:04:05 2005"]


def test_a_long_line_is_known_by_its_beginning() -> None:
    text = " ".join(["word"] * 500)
    assert masked(text, tokens_max=3) == f"word word word {REST}"
    assert masked("word word word", tokens_max=3) == "word word word"


def test_a_long_run_without_digits_is_read_in_linear_time() -> None:
    assert masked("a" * 4000) == "a" * 4000
    assert masked("a." * 2000) == "a." * 2000
    assert masked("<" * 4000) == "<" * 4000
