"""How right found templates are: their groups of lines, and what they read, by line and by template.

Grouping accuracy (GA; Zhu et al., ICSE-SEIP 2019), parsing accuracy (PA; Dai et al., TSE 2020), and F1 by template of
groups (FGA) and of texts (FTA; Jiang et al., ISSTA 2024, "A Large-Scale Evaluation for Log Parsing Techniques").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ingest.mask import WILDCARD

_MASK = re.compile(r"<[A-Z]+>")
_DELIMITERS = re.compile(r"([\s,!;:=|\"'\[\](){}.\-+@#$%&])")
_NEIGHBOURS = re.compile(r"<\*>(?:[.:#/@]?<\*>)+")
_QUOTED = re.compile(r"(?<= )([\"'])<\*>\1(?= )")
_NUMBERED = re.compile(r" #<\*>#?(?= )")


@dataclass(frozen=True, slots=True)
class Found:
    """What a parser made of lines.

    Attributes:
        groups: of each line, the name of its template.
        texts: of each template, what it reads when all lines were seen.
    """

    groups: Sequence[object]
    texts: Mapping[object, str]


def grouping_accuracy(found: Sequence[object], truth: Sequence[object]) -> float:
    """Share of lines whose group is exactly a group of the truth.

    >>> grouping_accuracy([1, 1, 2, 3], ["a", "a", "b", "b"])
    0.5
    """
    sizes_found, _, right = _compared(found, truth)
    return sum(sizes_found[group] for group in right) / len(found)


def fga(found: Sequence[object], truth: Sequence[object]) -> float:
    """F1 of the groups.

    >>> fga([1, 1, 2, 3], ["a", "a", "b", "b"])
    0.4
    """
    sizes_found, sizes_true, right = _compared(found, truth)
    return 2 * len(right) / (len(sizes_found) + len(sizes_true))


def parsing_accuracy(found: Sequence[str], truth: Sequence[str]) -> float:
    """Share of lines whose template reads as the true one.

    >>> parsing_accuracy(["a <*>", "a <*>", "b", "<*>"], ["a <*>", "a <*>", "b", "c"])
    0.75
    """
    return sum(map(str.__eq__, found, truth)) / len(found)


def fta(found: Sequence[str], truth: Sequence[str]) -> float:
    """F1 of the templates; a found one is right when all its lines have the true template of that very text.

    >>> fta(["a <*>", "a <*>", "b", "b"], ["a <*>", "a <*>", "b", "c"])
    0.4
    """
    pairs = set(zip(found, truth, strict=True))
    truths = Counter(text for text, _ in pairs)
    right = sum(1 for text, true in pairs if text == true and truths[text] == 1)
    return 2 * right / (len(set(found)) + len(set(truth)))


def normal(template: str) -> str:
    """How templates are compared: the corrections of Loghub-2.0, and masks of every kind are `<*>`.

    The corrections are those that its published results were made with (DS, DG, WV, DV and CV of Khan et al., ICSE
    2022): blanks are single; between blanks and punctuation (but slashes), what is a number or holds a `<*>` is a
    `<*>`; neighbours with nothing or one of `.:#/@` between them are one; quotes and # around one go. They are applied
    to every parser's templates and to the true ones.

    >>> normal("Took 15 ms  from <IP>:<NUM> (uid=<*>.<*>)")
    'Took <*> ms from <*> (uid=<*>)'
    """
    text = " ".join(_MASK.sub(WILDCARD, template).split())
    text = "".join(WILDCARD if _varies(part) else part for part in _DELIMITERS.split(text))
    text = _NEIGHBOURS.sub(WILDCARD, text)
    text = _NUMBERED.sub(f" {WILDCARD}", text)
    return _NEIGHBOURS.sub(WILDCARD, _QUOTED.sub(WILDCARD, text))


def measures(found: Found, truth: Sequence[str]) -> dict[str, float]:
    """Every measure by its name."""
    normal_of = {group: normal(text) for group, text in found.texts.items()}
    texts = [normal_of[group] for group in found.groups]
    true_of = {text: normal(text) for text in set(truth)}
    true_texts = [true_of[text] for text in truth]
    by_text: dict[str, Callable[[Sequence[str], Sequence[str]], float]]
    by_text = {"parsing_accuracy": parsing_accuracy, "fta": fta}
    return {
        "grouping_accuracy": grouping_accuracy(found.groups, truth),
        "fga": fga(found.groups, truth),
        **{name: measure(texts, true_texts) for name, measure in by_text.items()},
    }


def _varies(part: str) -> bool:
    return (part.isascii() and part.isdigit()) or (WILDCARD in part and "/" not in part)


def _compared(
    found: Sequence[object], truth: Sequence[object]
) -> tuple[Counter[object], Counter[object], list[object]]:
    """Sizes of the groups found, of the true ones, and the found ones that are exactly true ones."""
    sizes_found, sizes_true = Counter(found), Counter(truth)
    shared = Counter(zip(found, truth, strict=True))
    right = [one for (one, other), size in shared.items() if size == sizes_found[one] == sizes_true[other]]
    return sizes_found, sizes_true, right
