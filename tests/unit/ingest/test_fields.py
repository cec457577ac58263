"""Entities: what a line says about who, from where and on what; one row a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from ingest.batch import Batch
from ingest.parse import Parser
from tocsin.record import LINES


def table(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Lines and, below each, its entities."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    for body, entities in zip(lines[::2], lines[1::2], strict=True):
        yield body, sorted(entities.removeprefix("  ->").split())


LINES_AND_ENTITIES = list(table(Path(__file__).with_name("entities.txt")))


def records(bodies: list[str], attributes: list[str | None] | None = None) -> pl.DataFrame:
    count = len(bodies)
    columns: dict[str, list[object]] = {name: [None] * count for name in LINES}
    columns |= {"position": list(range(count)), "body": list(bodies), "attributes": [*(attributes or [None] * count)]}
    at = datetime(2024, 11, 1, tzinfo=UTC)
    lines = pl.DataFrame(columns, schema=LINES).with_columns(pl.lit(at).cast(LINES["time"]).alias("time"))
    batch = Batch(tenant="t", stream="s", observed_time=at, identity="b", fingerprint="", lines=lines)
    return Parser().parse(batch, 0)


@pytest.mark.parametrize(("body", "expected"), LINES_AND_ENTITIES, ids=[body[:40] for body, _ in LINES_AND_ENTITIES])
def test_a_line_names_its_entities(body: str, expected: list[str]) -> None:
    assert records([body])["entities"][0].to_list() == expected


def test_lines_of_one_batch_have_the_entities_they_have_alone() -> None:
    together = records([body for body, _ in LINES_AND_ENTITIES])["entities"].to_list()
    alone = [records([body])["entities"][0].to_list() for body, _ in LINES_AND_ENTITIES]
    assert together == alone


def test_lines_that_share_a_skeleton_keep_their_own_values() -> None:
    bodies = [
        f"Failed password for root from 10.0.0.{last} port {port} ssh2"
        for last, port in ((1, 1000), (2, 2000), (3, 3000))
    ]
    assert records(bodies)["entities"].to_list() == [
        ["ip:10.0.0.1", "port:1000", "user:root"],
        ["ip:10.0.0.2", "port:2000", "user:root"],
        ["ip:10.0.0.3", "port:3000", "user:root"],
    ]


def test_values_are_cut_at_the_right_bytes_behind_other_alphabets() -> None:
    found = records(["Пользователь user=Łukasz адрес 10.0.0.7 конец", "Пользователь user=Łukasz адрес 10.0.0.8 конец"])
    assert found["entities"].to_list() == [["ip:10.0.0.7", "user:Łukasz"], ["ip:10.0.0.8", "user:Łukasz"]]


def test_attributes_and_header_name_entities_too() -> None:
    sent = {
        "user.name": "yves",
        "k8s": {"pod": {"name": "api-1"}, "node": {"name": "Node-4"}},
        "http": {"status_code": 500},
    }
    found = records(["Oct 31 10:00:00 web-2 nginx[91]: worker stopped"], [json.dumps(sent)])
    expected = ["container:api-1", "host:node-4", "host:web-2", "pid:91", "process:nginx", "status:500", "user:yves"]
    assert found["entities"][0].to_list() == expected


def test_impossible_addresses_and_ports_are_no_entities() -> None:
    assert records(["connect 10.0.0.256 port 70000 failed"])["entities"][0].to_list() == []


def test_a_record_has_at_most_so_many_entities_and_keeps_who_and_where() -> None:
    ports = " ".join(f"port={port}" for port in range(1, 60))
    found = records([f"user=zoe ip=10.0.0.1 {ports}"])["entities"][0].to_list()
    assert len(found) == 32
    assert {"user:zoe", "ip:10.0.0.1"} <= set(found)
    assert found == sorted(set(found))


def test_a_long_value_is_cut() -> None:
    found = records([f"path=/{'a' * 5000}"])["entities"][0].to_list()
    assert found == [f"path:/{'a' * 199}"]


def test_trace_and_span_ids_in_the_text_become_those_of_the_record() -> None:
    found = records(["trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331 done"])
    assert found["trace_id"].to_list() == ["0af7651916cd43dd8448eb211c80319c"]
    assert found["span_id"].to_list() == ["b7ad6b7169203331"]
