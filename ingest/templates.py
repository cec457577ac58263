"""The templates of one stream: Drain behind a cache, bounded, and kept as plain JSON.

Drain (He et al., ICWS 2017; here drain3's class): lines of one token count and one first token are compared with the
templates they lead to, and join the most similar one when at least `sim_th` of its tokens are equal; tokens that differ
become `<*>`.

Differs from the paper: (1) a masked text that was seen before keeps the template it found the first time, without
asking Drain again; on 22 of 23 real settings that gives the groups of drain3 line by line, and ids never move. (2)
Lines that differ in a word of state (started, stopped, up, down ...) have trees of their own.
(3) Memory and work are bounded: the least recently used templates are forgotten, and a batch that brings more new
templates than `templates_new_max` or more comparing than `comparisons_max` leaves the rest of its unknown lines to the
template `<*>`, "anything", until the next batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drain3.drain import Drain, LogCluster, Node

from ingest.events import Form
from ingest.mask import WILDCARD
from ingest.words import METHODS, STATE
from tocsin.identity import template_id

_STATE_WORDS_MAX = 8  # of a line that count; more make the same lines fall apart
_AROUND = "\"'()[]{},.;:!="


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSettings:
    """How lines become templates, and how many are kept."""

    sim_th: float = 0.4  # drain3's default; 0.5 gives the same grouping on loghub_2k
    depth: int = 4  # drain3's default: the token count and the first token lead to the candidates
    max_children: int = 100  # drain3's default
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

    @property
    def text(self) -> str:
        """The template in words."""
        return " ".join(self.tokens)


class _Tree(Drain):  # type: ignore[misc]  # drain3 has no types
    """drain3's Drain that counts its work and keeps its clusters without an order of use."""

    compared = 0

    def fast_match(self, cluster_ids: Sequence[int], tokens: list[str], sim_th: float, include_params: bool) -> Any:  # noqa: FBT001 -- drain3's signature
        self.compared += len(cluster_ids) * len(tokens)
        return super().fast_match(cluster_ids, tokens, sim_th, include_params)


class StreamTemplates:
    """What is known of one stream; the same texts in the same batches give the same templates."""

    def __init__(self, tenant: str, stream: str, settings: TemplateSettings) -> None:
        self.tenant = tenant
        self.stream = stream
        self._settings = settings
        self._tree = _Tree(depth=settings.depth, sim_th=settings.sim_th, max_children=settings.max_children)
        self._roots: dict[str, Node] = {}  # by the words of state
        self._known: dict[int, Known] = {}  # by Drain's cluster number; those below 0 are whole texts, not Drain's
        self._numbers: dict[str, int] = {}  # cluster number by template id
        self._texts: dict[str, list[int]] = {}  # masked text -> [cluster number, last batch that had it]
        self._names: dict[str, dict[str, None]] = {}  # key of JSON events -> event names seen
        self._whole: dict[str, int] = {}  # cluster number of whole texts
        self._made_whole = 0
        self._forms: dict[Form, str] = {}  # texts of forms of JSON events; only a memory of pure work
        self._made = 0
        self.batch = 0
        self.changed: dict[str, Known] = {}  # created or changed since it was last emptied

    def begin(self) -> None:
        """Count a new batch: use, and what may be spent."""
        self.batch += 1
        self._made = 0
        self._tree.compared = 0

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
            self._made_whole -= 1
            number = self._whole[text] = self._made_whole
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
            "counter": self._tree.clusters_counter,
            "made_whole": self._made_whole,
            "known": [
                [number, known.template_id, list(known.tokens), known.used] for number, known in self._known.items()
            ],
            "texts": [[text, number, used] for text, (number, used) in self._texts.items()],
            "names": {key: list(values) for key, values in self._names.items()},
            "roots": {signature: _node_words(root) for signature, root in self._roots.items()},
        }

    def restore(self, words: Mapping[str, Any]) -> None:
        """Be what `words` says."""
        self.batch = words["batch"]
        self._made_whole = words["made_whole"]
        self._tree.clusters_counter = words["counter"]
        for number, identity, tokens, used in words["known"]:
            self._known[number] = Known(identity, tuple(tokens), used)
            self._numbers[identity] = number
            if number > 0:
                self._tree.id_to_cluster[number] = LogCluster(tokens, number)
            else:
                self._whole[" ".join(tokens)] = number
        self._texts = {text: [number, used] for text, number, used in words["texts"]}
        self._names = {key: dict.fromkeys(values) for key, values in words["names"].items()}
        self._roots = {signature: _node(root) for signature, root in words["roots"].items()}

    def _ask(self, masked: str) -> int | None:
        """Drain's cluster of a text not seen before, or None when this batch has had enough."""
        settings = self._settings
        if self._made >= settings.templates_new_max or self._tree.compared > settings.comparisons_max:
            return None
        self._tree.root_node = self._roots.setdefault(_signature(masked), Node())
        cluster, change = self._tree.add_log_message(masked)
        number: int = cluster.cluster_id
        if change == "cluster_created":
            self._add(number, tuple(cluster.log_template_tokens))
        elif change == "cluster_template_changed":
            known = self._known[number]
            known.tokens = tuple(cluster.log_template_tokens)
            self.changed[known.template_id] = known
        return number

    def _add(self, number: int, tokens: tuple[str, ...]) -> None:
        text = " ".join(tokens)
        identity = template_id(self.tenant, self.stream, text)
        again = 1
        while identity in self._numbers:  # another template began with this very text and has become too general for it
            again += 1
            identity = template_id(self.tenant, self.stream, f"{text} #{again}")
        known = Known(identity, tokens, self.batch)
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
            self._tree.id_to_cluster.pop(number, None)
        self._texts = {text: place for text, place in self._texts.items() if place[0] in self._known}
        self._roots = {signature: root for signature, root in self._roots.items() if _prune(root, self._known)}


def plain_drain(texts: Iterable[str]) -> list[int]:
    """Cluster numbers that drain3 gives as it comes, without masks; what the parser is measured against."""
    tree = Drain()
    return [tree.add_log_message(text)[0].cluster_id for text in texts]


def _signature(masked: str) -> str:
    """The words of state of a text, and the methods of its requests, in order."""
    words = []
    for token in masked.split():
        bare = token.strip(_AROUND)
        word = bare.lower()
        if "=" in word or ":" in word:
            word = word.replace(":", "=").rsplit("=", 1)[-1].strip(_AROUND)
        if word in STATE or bare in METHODS:
            words.append(word)
    return " ".join(words[:_STATE_WORDS_MAX])


def _prune(node: Node, known: Mapping[int, Known]) -> bool:
    """Take forgotten clusters out of a tree; False when nothing is left of it."""
    node.cluster_ids = [number for number in node.cluster_ids if number in known]
    children = node.key_to_child_node
    node.key_to_child_node = {token: child for token, child in children.items() if _prune(child, known)}
    return bool(node.cluster_ids or node.key_to_child_node)


def _node_words(node: Node) -> list[Any]:
    return [node.cluster_ids, {token: _node_words(child) for token, child in node.key_to_child_node.items()}]


def _node(words: Sequence[Any]) -> Node:
    node = Node()
    node.cluster_ids = list(words[0])
    node.key_to_child_node = {token: _node(child) for token, child in words[1].items()}
    return node
