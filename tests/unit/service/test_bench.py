import math
import os
from pathlib import Path

import pytest

from service.bench import Sizes, e2e
from service.bench_ingest import ingest
from service.bench_parse import parse
from service.load import append_and_sync, bodies, memory_mb, next_day, percentile


def test_bodies_hold_about_the_lines_that_were_asked_for_in_time_order() -> None:
    made = bodies(20_000, 500)
    assert 20_000 <= sum(body.lines for body in made) < 20_500
    assert [body.at for body in made] == sorted(body.at for body in made)
    assert all(body.content.count(b"\n") + 1 == body.lines <= 500 for body in made)


def test_the_steady_load_begins_where_the_bodies_end() -> None:
    assert next(iter(next_day(1000.0, 20.0, 100))).at > bodies(2000, 100)[-1].at


def test_the_peer_writes_every_body_and_leaves_nothing_behind(tmp_path: Path) -> None:
    assert append_and_sync(tmp_path / "peer", bodies(2000, 100)) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 50))
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0


def test_resident_memory_is_read_from_the_kernel() -> None:
    now, most = memory_mb(os.getpid())
    assert 10 < now <= most


@pytest.mark.slow
def test_the_whole_line_is_measured_with_its_peers_and_its_parts() -> None:
    sizes = Sizes(lines=5000, latency_s=3, staged_lines=2000, peer_lines=2000, drain_s_max=60.0)
    result = e2e(sizes=sizes)
    values = {(row["case"], row["peer"]): row["value"] for row in result["rows"]}
    assert values["acknowledged", False] > 0
    assert values["to findings", False] > 0
    assert values["probes told", False] == 100
    assert values["2xx to webhook, p50", False] > 0
    assert values["memory of worker", False] > 50
    assert {row["against"] for row in result["ratios"]} == {row["method"] for row in result["rows"] if row["peer"]}


@pytest.mark.slow
def test_taking_lines_is_measured_by_size_and_senders() -> None:
    result = ingest(quick=True, shapes=[(100, 2)])
    assert [row["unit"] for row in result["rows"]] == [*["lines/s", "ms"] * 4, "lines/s"]
    assert all(one["ratio"] > 0 for one in result["ratios"])


@pytest.mark.slow
def test_parsing_is_measured_beside_drain3_and_the_floor() -> None:
    result = parse(lines=20_000)
    assert {row["unit"] for row in result["rows"]} == {"lines/s"}
    assert all(row["value"] > 0 for row in result["rows"])
    # In a small sample the first lines, which are slow, count most
    assert all(one["ratio"] > 1 for one in result["ratios"] if one["against"] == "drain3 with its example masks")
