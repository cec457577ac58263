"""drain3 as it comes, and behind the masks of its example: what our parsing is measured against."""

from __future__ import annotations

import re
from collections.abc import Iterable

from drain3.drain import Drain


def drain(texts: Iterable[str]) -> tuple[list[int], dict[object, str]]:
    """Cluster numbers that drain3 gives with its defaults, and what the clusters' templates read in the end."""
    tree = Drain()
    numbers = [tree.add_log_message(text)[0].cluster_id for text in texts]
    return numbers, {cluster.cluster_id: cluster.get_template() for cluster in tree.clusters}


def masked(line: str) -> str:
    """The line behind the masks of examples/drain3.ini."""
    for pattern, name in _MASKS:
        line = pattern.sub(name, line)
    return line


def _mask(pattern: str, name: str) -> tuple[re.Pattern[str], str]:
    return re.compile(rf"((?<=[^A-Za-z0-9])|^)({pattern})((?=[^A-Za-z0-9])|$)"), f"<{name}>"


#: `masking` of examples/drain3.ini in drain3, in its order.
_MASKS = (
    _mask(r"([0-9a-f]{2,}:){3,}([0-9a-f]{2,})", "ID"),
    _mask(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", "IP"),
    _mask(r"([0-9a-f]{6,} ?){3,}", "SEQ"),
    _mask(r"([0-9A-F]{4} ?){4,}", "SEQ"),
    _mask(r"0x[a-f0-9A-F]+", "HEX"),
    _mask(r"[\-\+]?\d+", "NUM"),
    (re.compile(r'(?<=executed cmd )(".+?")'), "<CMD>"),
)
