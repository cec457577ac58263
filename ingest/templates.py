"""The templates of one stream: Drain with words that count, behind a cache, bounded, and kept as plain JSON.

Drain (He et al., ICWS 2017, as drain3 implements it): lines of one token count and one first token are compared with
the templates they lead to, and join the most similar one when at least `sim_th` of its tokens are equal; tokens that
differ become `<*>`.

Differs from the paper (docs/adr/0006): (1) Lines that differ in a word are of different templates (likeness.py), until
`words_per_place_max` templates differ in that place alone; words that come later share one with `<*>` there. (2) The
first word leads to the candidates, not the first token, and masks of different kinds are the same. (3) A masked text
that was seen before keeps the template it found the first time, so ids never move. (4) Memory and work are bounded: the
least recently used templates are forgotten, and a batch that brings more new templates than `templates_new_max` or more
comparing than `comparisons_max` leaves the rest of its unknown lines to the template `<*>`, "anything", until the next
batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.events import Form
from ingest.likeness import Likeness, joined, likeness
from ingest.mask import WILDCARD
from tocsin.identity import template_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSettings:
    """How lines become templates, and how many are kept."""

    sim_th: float = 0.4  # drain3's default; 0.5 gives the same grouping on loghub_2k
    max_children: int = 100  # drain3's default: first words that lead to templates of their own, of lines of one length
    words_per_place_max: int = 8  # templates that differ in one word; 4 to 1,000 give the same grouping on loghub_2k
    templates_compared_max: int = 200  # of one length and first word; with more of them words count no longer
    templates_per_stream_max: int = 5_000  # Loghub-2.0 systems have 249 on average and 1,241 at most
    texts_per_stream_max: int = 20_000  # masked texts whose template is remembered
    templates_new_max: int = 1_000  # new templates a batch and stream; more is no log but noise
    comparisons_max: int = 20_000_000  # tokens compared a batch and stream: about two seconds of one core
    values_per_key_max: int = 100  # event names kept of one key of JSON events; a key with more holds no names


@dataclass(slots=True)
class Known:
    """A template that lines are given."""

    template_id: str
    tokens: tuple[str, ...]  # as they are now
    used: int  # the last batch that had it
    likeness: Likeness  # of the tokens

    @property
    def text(self) -> str:
        """The template in words."""
        return " ".join(self.tokens)


class StreamTemplates:
    """What is known of one stream; the same texts in the same batches give the same templates."""

    def __init__(self, tenant: str, stream: str, settings: TemplateSettings) -> None:
        self.tenant = tenant
        self.stream = stream
        self._settings = settings
        self._leaves: dict[int, dict[str, list[int]]] = {}  # token count -> first word -> numbers, in order of making
        self._known: dict[int, Known] = {}  # by number; those below 0 are whole texts, which are compared with nothing
        self._numbers: dict[str, int] = {}  # number by template id
        self._texts: dict[str, list[int]] = {}  # masked text -> [number, last batch that had it]
        self._names: dict[str, dict[str, None]] = {}  # key of JSON events -> event names seen
        self._whole: dict[str, int] = {}  # number of whole texts
        self._last = 0  # the highest number given
        self._last_whole = 0  # the lowest
        self._compared = 0  # tokens, in this batch
        self._forms: dict[Form, str] = {}  # texts of forms of JSON events; only a memory of pure work
        self._made = 0  # in this batch
        self.batch = 0
        self.changed: dict[str, Known] = {}  # created or changed since it was last emptied

    def begin(self) -> None:
        """Count a new batch: use, and what may be spent."""
        self.batch += 1
        self._made = 0
        self._compared = 0

    def find(self, masked: str) -> Known:
        """Template of a masked text."""
        place = self._texts.get(masked)
        if place is None:
            number = self._ask(masked)
            if number is None:
                return self.exact(WILDCARD)
            self._remember(masked, number)
        else:
            number = place[0]
            place[1] = self.batch
        known = self._known[number]
        known.used = self.batch
        return known

    def exact(self, text: str) -> Known:
        """Template that is the text itself; for shapes of JSON events, which need no comparing."""
        number = self._whole.get(text)
        if number is None:
            if self._made >= self._settings.templates_new_max and text != WILDCARD:
                return self.exact(WILDCARD)
            self._last_whole -= 1
            number = self._whole[text] = self._last_whole
            self._add(number, tuple(text.split(" ")))
        known = self._known[number]
        known.used = self.batch
        return known

    def of_form(self, form: Form, text: Callable[[], str]) -> Known:
        """Template of a JSON event, whose text is worked out when its form is new."""
        known_text = self._forms.get(form)
        if known_text is None:
            if len(self._forms) >= self._settings.texts_per_stream_max:
                self._forms = {}
            known_text = self._forms[form] = text()
        return self.exact(known_text)

    def is_name(self, key: str, value: str) -> bool:
        """Whether a value of a key that names events is one of few; the first so many of a key are."""
        names = self._names.setdefault(key, {})
        if value in names:
            return True
        if (
            len(names) >= self._settings.values_per_key_max
            or len(self._names) > self._settings.templates_per_stream_max
        ):
            return False
        names[value] = None
        return True

    def words(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "batch": self.batch,
            "last": self._last,
            "last_whole": self._last_whole,
            "known": [
                [number, known.template_id, list(known.tokens), known.used] for number, known in self._known.items()
            ],
            "texts": [[text, number, used] for text, (number, used) in self._texts.items()],
            "names": {key: list(values) for key, values in self._names.items()},
            "leaves": [
                [count, first, list(leaf)] for count, leaves in self._leaves.items() for first, leaf in leaves.items()
            ],
        }

    def restore(self, words: Mapping[str, Any]) -> None:
        """Be what `words` says."""
        self.batch = words["batch"]
        self._last_whole = words["last_whole"]
        self._last = words["last"]
        for number, identity, tokens, used in words["known"]:
            self._known[number] = Known(identity, tuple(tokens), used, likeness(tokens))
            self._numbers[identity] = number
            if number < 0:
                self._whole[" ".join(tokens)] = number
        self._texts = {text: [number, used] for text, number, used in words["texts"]}
        self._names = {key: dict.fromkeys(values) for key, values in words["names"].items()}
        for count, first, leaf in words["leaves"]:
            self._leaves.setdefault(count, {})[first] = list(leaf)

    def _ask(self, masked: str) -> int | None:
        """Number of the template of a text not seen before, or None when this batch has had enough."""
        if self._made >= self._settings.templates_new_max or self._compared > self._settings.comparisons_max:
            return None
        tokens = masked.split(" ")
        text = likeness(tokens)
        leaf = self._leaf(text)
        self._compared += len(leaf) * len(tokens)
        number, worn = self._most_similar(leaf, text)
        if number is None:
            self._last += 1
            leaf.append(self._last)
            self._add(self._last, tuple(WILDCARD if place in worn else token for place, token in enumerate(tokens)))
            return self._last
        known = self._known[number]
        shared = tuple(map(joined, known.tokens, tokens))
        if shared != known.tokens:
            known.tokens = shared
            known.likeness = likeness(shared)
            self.changed[known.template_id] = known
        return number

    def _leaf(self, text: Likeness) -> list[int]:
        """Numbers of the templates that a text is compared with: those of its length and first word."""
        leaves = self._leaves.setdefault(len(text.tokens), {})
        first = text.first_word
        if first not in leaves and len(leaves.keys() - {""}) >= self._settings.max_children - 1:
            first = ""
        return leaves.setdefault(first, [])

    def _most_similar(self, leaf: Sequence[int], text: Likeness) -> tuple[int | None, frozenset[int]]:
        """The template to join, if any, and the places that hold too many words for each to be an event."""
        words_count = len(leaf) < self._settings.templates_compared_max
        best = None
        most = (0, 0)
        words: Counter[int] = Counter()
        for number in leaf:
            other = self._known[number].likeness
            equal = other.equal(text)
            if equal / len(text.tokens) < self._settings.sim_th:
                continue
            differing = other.differing(text) if words_count else []
            if len(differing) == 1:
                words.update(differing)
            rank = (equal, other.wildcards)
            if not differing and (best is None or rank > most):
                best, most = number, rank
        worn = frozenset(place for place, seen in words.items() if seen >= self._settings.words_per_place_max)
        return best, worn

    def _add(self, number: int, tokens: tuple[str, ...]) -> None:
        text = " ".join(tokens)
        identity = template_id(self.tenant, self.stream, text)
        again = 1
        while identity in self._numbers:  # another template began with this very text and has become too general for it
            again += 1
            identity = template_id(self.tenant, self.stream, f"{text} #{again}")
        known = Known(identity, tokens, self.batch, likeness(tokens))
        self._known[number] = known
        self._numbers[identity] = number
        self.changed[identity] = known
        self._made += 1
        if len(self._known) > self._settings.templates_per_stream_max:
            self._forget_templates()

    def _remember(self, text: str, number: int) -> None:
        self._texts[text] = [number, self.batch]
        limit = self._settings.texts_per_stream_max
        if len(self._texts) > limit:
            oldest = sorted(self._texts, key=lambda name: self._texts[name][1])[: max(limit // 8, 1)]
            for name in oldest:
                del self._texts[name]

    def _forget_templates(self) -> None:
        """Forget the eighth that was used longest ago; the order of equals is the order of their making."""
        by_use = sorted(self._known, key=lambda number: self._known[number].used)
        for number in by_use[: max(len(by_use) // 8, 1)]:
            known = self._known.pop(number)
            del self._numbers[known.template_id]
            if number < 0:
                del self._whole[known.text]
        self._texts = {text: place for text, place in self._texts.items() if place[0] in self._known}
        leaves = self._leaves
        self._leaves = {}
        for count, first, leaf in [(count, *each) for count, of_count in leaves.items() for each in of_count.items()]:
            kept = [number for number in leaf if number in self._known]
            if kept:
                self._leaves.setdefault(count, {})[first] = kept
