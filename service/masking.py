"""Settings as text that may be shown: values as in TOML, secrets masked."""

from __future__ import annotations

import json
import re
from pathlib import Path

from service.layers import flattened
from service.settings import Configuration

MASK = "***"

#: `scheme://user:password@host`: the password, which may itself hold everything but a slash.
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):([^/]*)@")
_SECRET_NAME = re.compile(r"(^|[._])(secret|password|token|routing_key|api_key|shared_key)$")


def shown(found: Configuration) -> list[dict[str, str]]:
    """Every setting: its key path, its value, where it came from."""
    rows = []
    for key, value in flattened(found.settings):
        hidden = key in found.secret or _SECRET_NAME.search(key)
        text = json.dumps(MASK) if hidden and value else _text(value)
        rows.append({"key": key, "value": text, "origin": found.origins.get(key, "default")})
    return rows


def without_password(url: str) -> str:
    """A URL that may be shown."""
    return _PASSWORD.sub(rf"\1:{MASK}@", url)


def _text(value: object) -> str:
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str):
        value = without_password(value)
    if isinstance(value, tuple | frozenset):
        value = list(value)
    return json.dumps(value, ensure_ascii=False, default=str)
