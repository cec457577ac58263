"""When two masked texts are alike: what of each token must be the same in all lines of a template, and what may differ.

A word in a place says what happened (Started, Paused; stored as values, as bytes), so lines that differ in one are
different events. What is no plain word (a path, a dotted name, a token with digits inside) is taken for a value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from os.path import commonprefix

from ingest.mask import WILDCARD
from ingest.words import METHODS, STATE, VALUES

ANY_MASK = "<X>"  # where lines of one template are masked by different kinds

_MASK = re.compile(r"<[A-Z]+>")
_AROUND = "\"'()[]{}<>,.;:!?*=|+-"
_WORD = re.compile(r"[^\W\d](?:[^\W\d]|['-])*")
_KEY = re.compile(r"[\"'(\[{]*([A-Za-z][A-Za-z_.-]*)=")
_LAST_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]+$")
_LEAD = re.compile(r"[^<>]*[=:(\[{\"',;|]")
_FOLLOW = re.compile(r"[)\]}\"',;:.!?]+$")
_REMEMBERED = 100_000  # tokens; a memory of pure work


@dataclass(frozen=True, slots=True)
class Likeness:
    """Tokens as they are compared."""

    tokens: Sequence[str]  # kindless
    constants: Sequence[str | None]

    @property
    def first_word(self) -> str:
        """The first word, empty when there is none."""
        return next((word for word in self.constants if word is not None and word != ANY_MASK), "")

    @property
    def wildcards(self) -> int:
        """How many tokens were found to vary."""
        return sum(WILDCARD in token for token in self.tokens)

    def equal(self, other: Likeness) -> int:
        """How many tokens are the same."""
        return sum(map(str.__eq__, self.tokens, other.tokens))

    def differing(self, other: Likeness) -> list[int]:
        """Places where both have a word or a mask, and not the same; the first two, since more do not matter."""
        places = []
        for place, (mine, its) in enumerate(zip(self.constants, other.constants, strict=True)):
            if mine != its and mine is not None and its is not None:
                places.append(place)
                if len(places) > 1:
                    break
        return places


def likeness(tokens: Sequence[str]) -> Likeness:
    """How tokens of a masked text, or of a template, are compared."""
    alike = [kindless(token) for token in tokens]
    return Likeness(alike, [constant(token) for token in alike])


def joined(one: str, other: str) -> str:
    """Token of a template for lines that have one or the other; what leads to a value, and what follows it, stays.

    >>> joined("<IP>:<NUM>", "<HOST>:<NUM>"), joined("mask=ff,", "mask=<X>,"), joined("(null)", "()"), joined("a", "b")
    ('<X>:<X>', 'mask=<*>,', '(<*>)', '<*>')
    """
    if one == other:
        return one
    alike = kindless(one)
    if alike == kindless(other):
        return alike
    shared = commonprefix([one, other])  # noqa: RUF071 -- characters are meant
    lead = _LEAD.match(shared)
    before = lead[0] if lead else ""
    ends = [token[len(before) :][::-1] for token in (one, other)]
    follow = _FOLLOW.search(commonprefix(ends)[::-1])  # noqa: RUF071
    return f"{before}{WILDCARD}{follow[0] if follow else ''}"


def varying(token: str, start: int, end: int) -> tuple[int, int]:
    """Where a line varies in the place of a template's token with a `<*>`, given where the line has that place."""
    before, _, after = token.partition(WILDCARD)
    return start + len(before), end - len(after)


@lru_cache(_REMEMBERED)
def constant(token: str) -> str | None:
    """What of a token lines of its template must have in common; None of a value.

    >>> [constant(token) for token in ("Started", "(null)", "<X>,", "/a/b", "uid=<X>", "state=down", "WWEN[enable]")]
    ['Started', None, '<X>', None, 'uid', 'state=down', 'enable']
    """
    bare = token.strip(_AROUND)
    if ANY_MASK in token:
        return ANY_MASK if bare == "X" and token.count("<") == 1 else _key(token)
    if _WORD.fullmatch(bare):
        return None if bare.lower() in VALUES else bare
    last = _LAST_WORD.search(bare)
    state = last[0] if last and (last[0].lower() in STATE or last[0] in METHODS) else None
    key = _key(token)
    return f"{key}={state}" if key and state else key or state


def kindless(token: str) -> str:
    """The token with every mask of one kind; an address and a host name in one place are one event."""
    return _MASK.sub(ANY_MASK, token) if "<" in token else token


def _key(token: str) -> str | None:
    match = _KEY.match(token)
    return match[1] if match else None
