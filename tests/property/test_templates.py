"""Templates are what a slow and obvious account of docs/adr/0006 says, and drain3's where no words are involved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import pytest
from drain3.drain import Drain

from evaluation.parsing import systems
from ingest.fields import find
from ingest.likeness import ANY_MASK, constant, joined, kindless
from ingest.mask import WILDCARD, mask
from ingest.skeleton import skeleton
from ingest.templates import StreamTemplates, TemplateSettings

DATA = Path(os.environ.get("TOCSIN_DATA", "../shared/data"))
WORDS = ("up", "down", "read", "write", "Started", "Paused", "GET", "user_login", "true", "KB", "Jan")
VALUES = ("a.b", "c.d", "x=1.y", "k=v", "k=(v)", "(v)", "state=up", "state=down", "10%", "<IP>", "<NUM>", "<IP>:<NUM>")


class Account:
    """The rules one after the other, with nothing kept that can be looked up again."""

    def __init__(self, settings: TemplateSettings) -> None:
        self.settings = settings
        self.templates: list[list[str]] = []
        self.leaf_of: list[str] = []
        self.used: list[int] = []
        self.forgotten: set[int] = set()
        self.texts: dict[str, int] = {}

    def find(self, text: str, batch: int) -> int:
        number = self.texts.get(text)
        if number is None or number in self.forgotten:
            number = self.texts[text] = self.ask(text.split(" "), batch)
        self.used[number] = batch
        return number

    def ask(self, tokens: list[str], batch: int) -> int:
        leaf = self.leaf(tokens)
        candidates = [number for number in self.alive() if self.leaf_of[number] == leaf]
        alike = [number for number in candidates if self.equal(number, tokens) / len(tokens) >= self.settings.sim_th]
        differing = {number: differing_places(self.templates[number], tokens) for number in alike}
        if len(candidates) >= self.settings.templates_compared_max:
            differing = dict.fromkeys(alike, ())
        fitting = [number for number in alike if not differing[number]]
        if fitting:
            best = max(fitting, key=lambda number: (self.equal(number, tokens), self.wildcards(number), -number))
            self.templates[best] = [joined(one, other) for one, other in zip(self.templates[best], tokens, strict=True)]
            return best
        for place in range(len(tokens)):
            if sum(places == (place,) for places in differing.values()) >= self.settings.words_per_place_max:
                tokens[place] = WILDCARD
        self.templates.append(tokens)
        self.leaf_of.append(leaf)
        self.used.append(batch)
        self.forget()
        return len(self.templates) - 1

    def leaf(self, tokens: Sequence[str]) -> str:
        words = [word for word in map(constant, map(kindless, tokens)) if word not in {None, ANY_MASK}]
        first = f"{len(tokens)} {words[0] if words else ''}"
        known = {leaf for number, leaf in enumerate(self.leaf_of) if number not in self.forgotten}
        full = sum(leaf.startswith(f"{len(tokens)} ") and not leaf.endswith(" ") for leaf in known)
        return first if first in known or full < self.settings.max_children - 1 else f"{len(tokens)} "

    def alive(self) -> list[int]:
        return [number for number in range(len(self.templates)) if number not in self.forgotten]

    def equal(self, number: int, tokens: Sequence[str]) -> int:
        return sum(kindless(one) == kindless(other) for one, other in zip(self.templates[number], tokens, strict=True))

    def wildcards(self, number: int) -> int:
        return sum(WILDCARD in token for token in self.templates[number])

    def forget(self) -> None:
        alive = self.alive()
        if len(alive) > self.settings.templates_per_stream_max:
            self.forgotten |= set(sorted(alive, key=lambda number: self.used[number])[: max(len(alive) // 8, 1)])


def differing_places(template: Iterable[str], tokens: Iterable[str]) -> tuple[int, ...]:
    pairs = [(constant(kindless(one)), constant(kindless(other))) for one, other in zip(template, tokens, strict=True)]
    return tuple(
        place for place, (one, other) in enumerate(pairs) if one != other and one is not None and other is not None
    )


def batches_of(texts: Sequence[str], count: int) -> Iterable[Sequence[str]]:
    size = -(-len(texts) // count)
    return (texts[start : start + size] for start in range(0, len(texts), size))


def assert_same(texts: Sequence[str], settings: TemplateSettings, batch_count: int) -> None:
    """Line for line the same template, and in the end the same texts of all of them."""
    ours, account = StreamTemplates("t", "s", settings), Account(settings)
    names: dict[int, str] = {}
    for number, batch in enumerate(batches_of(texts, batch_count), 1):
        ours.begin()
        for text in batch:
            found, expected = ours.find(text), account.find(text, number)
            assert found.template_id == names.setdefault(expected, found.template_id)
            assert list(found.tokens) == account.templates[expected]
    alive = [names[number] for number in account.alive()]  # a forgotten one that is made again has its id again
    assert len(set(alive)) == len(alive)


def a_stream(random: Random, vocabulary: Sequence[str], first: Sequence[str] = ()) -> list[str]:
    some = random.sample(vocabulary, random.randint(2, len(vocabulary)))
    lengths = random.choices(range(1, 7), k=2)
    count = random.randint(1, 40)
    lines = [[random.choice(some) for _ in range(random.choice(lengths))] for _ in range(count)]
    if first:
        lines = [[random.choice(first), *line] for line in lines]
    return random.choices([" ".join(line) for line in lines], k=count)


@pytest.mark.parametrize("seed", range(4))
def test_templates_are_those_of_the_slow_account_on_random_streams(seed: int) -> None:
    random = Random(seed)
    for _ in range(2_500):
        settings = TemplateSettings(
            sim_th=random.choice([0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
            max_children=random.choice([2, 3, 5, 100]),
            words_per_place_max=random.choice([1, 2, 3, 8]),
            templates_compared_max=random.choice([0, 3, 6, 200]),
            templates_per_stream_max=random.choice([2, 5, 9, 5_000, 5_000]),
        )
        assert_same(a_stream(random, WORDS + VALUES), settings, random.randint(1, 10))


@pytest.mark.parametrize("seed", range(4))
def test_where_words_do_not_count_a_text_joins_the_template_that_drain3_gives_it_first(seed: int) -> None:
    random = Random(seed)
    first = [f"word{letter}" for letter in "abcdefghijkl"]
    for _ in range(2_500):
        sim_th, max_children = random.choice([0.2, 0.3, 0.4, 0.5, 0.6, 0.7]), random.choice([2, 3, 5, 100])
        texts = a_stream(random, ["a.b", "c.d", "up", "down", "read", "Jan", "10%", "(x)y"], first)
        settings = TemplateSettings(sim_th=sim_th, max_children=max_children, templates_compared_max=0)
        ours, theirs = StreamTemplates("t", "s", settings), Drain(sim_th=sim_th, max_children=max_children)
        ours.begin()
        found = {text: ours.find(text) for text in texts}
        clusters = {text: theirs.add_log_message(text)[0] for text in dict.fromkeys(texts)}
        assert [known.text for known in found.values()] == [cluster.get_template() for cluster in clusters.values()]
        assert len({known.template_id for known in found.values()}) == len(theirs.clusters)


@pytest.mark.real_data
@pytest.mark.skipif(not (DATA / "logs/loghub_2k").is_dir(), reason="loghub_2k is not here (TOCSIN_DATA)")
def test_templates_are_those_of_the_slow_account_on_real_logs() -> None:
    for system in systems(DATA):
        masked = {text: mask(text, find(text), tokens_max=128).text for text in set(map(skeleton, system.content))}
        texts = [masked[skeleton(line)] for line in system.content]
        assert_same([text for text in texts if text], TemplateSettings(), 4)
        assert_same([text for text in texts if text], TemplateSettings(templates_per_stream_max=40), 20)
