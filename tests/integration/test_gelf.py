"""pygelf, a client of Graylog, at `POST /gelf`."""

from __future__ import annotations

import json
import logging

import pytest

from tests.house import House
from tests.integration.test_api_ingest import taken

COUNT = 60


def test_what_pygelf_writes_is_read(house: House) -> None:
    pygelf = pytest.importorskip("pygelf", reason="pygelf is missing: pip install pygelf")
    client, names = house.client(), []
    for is_compressed in (True, False):
        handler = pygelf.GelfHttpHandler(host="127.0.0.1", port=1, compress=is_compressed, debug=True, _service="shop")
        for number in range(COUNT):
            name = f"o{is_compressed}-{number}x"
            record = logging.LogRecord("shop", logging.ERROR, __file__, 1, "order number %s declined", (name,), None)
            # Its own `emit` hangs up without waiting for the answer, which is no way to count.
            body, headers = handler.convert_record_to_gelf(record), handler.headers
            assert client.post("/gelf", content=body, headers=headers).status_code == 202
            names.append(name)
    batches = taken(house)
    lines = [line for batch in batches for line in batch.lines.to_dicts()]
    assert {batch.stream for batch in batches} == {"shop"}
    assert [line["body"].split()[2] for line in lines] == names
    for line in lines:
        read = json.loads(line["attributes"])
        assert line["severity_number"] == 17
        assert (read["service.name"], read["logger_name"]) == ("shop", "shop")
        assert read["host.name"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"host": "web-1"}', b"[]"])
def test_what_is_no_message_is_refused(house: House, body: bytes) -> None:
    answer = house.client().post("/gelf", content=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_when_there_is_no_room_it_is_told_to_come_back(house: House) -> None:
    answer = house.client(inflight_bytes_max=5).post("/gelf", json={"short_message": "x"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
