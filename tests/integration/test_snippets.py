"""What the pages of `docs/ship` tell people to write is run as it stands, with the address and the key put in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import House
from tests.integration.test_elasticsearch import bodies
from tests.integration.test_run import wait_for
from tests.npm import FOLDER, node

SHIP = Path(__file__).parents[2] / "docs" / "ship"

#: The page, the language, and a body that arrives in the stream `shop`.
SNIPPETS = [
    ("elasticsearch", "python", "paid 7"),
    ("loki", "python", "order 7 failed"),
    ("splunk", "python", "order 7 declined"),
    ("elasticsearch", "js", "order 7 declined"),
    ("loki", "js", "order 7 declined"),
    ("opentelemetry", "js", "order 7 declined"),
    ("splunk", "js", "order 7 declined"),
]


def snippet(page: str, language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", (SHIP / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize(("page", "language", "body"), SNIPPETS)
def test_what_the_pages_say_works(house: House, page: str, language: str, body: str) -> None:
    command = [sys.executable, "-W", "ignore", "-"] if language == "python" else [node(), "--input-type=module", "-"]
    with house.served() as address:
        text = snippet(page, language).replace("http://localhost:8780", address)
        text = text.replace("port=8780", f"port={address.rpartition(':')[2]}")
        text = text.replace("tocsin_...", house.key("ingest"))
        ran = subprocess.run(command, input=text, cwd=FOLDER, text=True, capture_output=True, timeout=60, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        wait_for(lambda: ("shop", body) in {(stream, text) for stream, texts in bodies(house) for text in texts}, 20)
