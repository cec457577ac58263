"""State files: JSON for words, safetensors for numbers, checksums and atomic renames; never pickle."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tocsin.errors import StateError


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a parser or a detector knows, as plain values.

    Attributes:
        kind: who wrote it, for example `novelty`.
        version: of the layout; a reader refuses any other.
        words: JSON values.
        arrays: numbers by name.
        children: states of parts.
    """

    kind: str
    version: int
    words: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    children: Mapping[str, State] = field(default_factory=dict)

    def expect(self, kind: str, version: int) -> State:
        """Return this state, or raise StateError when it is not of this kind and version."""
        if (self.kind, self.version) != (kind, version):
            raise StateError(f"expected state {kind!r} version {version}, found {self.kind!r} version {self.version}")
        return self


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that after a crash it holds the old content or the new, whole."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def save_state(state: State, folder: Path) -> None:
    """Write `state` as the folder `folder`, replacing what was there in one step.

    Layout: `state.json` (kind, version, words, the same for children, SHA-256 of the numbers) and `arrays.safetensors`.
    """
    arrays: dict[str, NDArray[Any]] = {}
    tree = _tree(state, "", arrays)
    numbers = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    document = {"arrays_sha256": hashlib.sha256(numbers).hexdigest(), "state": tree}
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(folder.name + ".new")
    previous = folder.with_name(folder.name + ".old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    write_durably(temporary / "arrays.safetensors", numbers)
    write_durably(temporary / "state.json", json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
    shutil.rmtree(previous, ignore_errors=True)
    if folder.exists():
        folder.rename(previous)
    temporary.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(previous, ignore_errors=True)


def load_state(folder: Path) -> State | None:
    """Read what `save_state` wrote; None when nothing was ever saved there.

    Raises:
        StateError: the files are damaged.
    """
    if not folder.exists():
        folder = folder.with_name(folder.name + ".old")  # a crash between the two renames of save_state
        if not folder.exists():
            return None
    try:
        document = json.loads((folder / "state.json").read_bytes())
        numbers = (folder / "arrays.safetensors").read_bytes()
        if hashlib.sha256(numbers).hexdigest() != document["arrays_sha256"]:
            raise StateError(f"{folder}: arrays.safetensors does not match its checksum in state.json")
        return _state(document["state"], "", load(numbers))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise StateError(f"{folder}: {error}") from error


def _tree(state: State, path: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    arrays |= {f"{path}{name}": array for name, array in state.arrays.items()}
    return {
        "kind": state.kind,
        "version": state.version,
        "words": dict(state.words),
        "arrays": sorted(state.arrays),
        "children": {name: _tree(child, f"{path}{name}/", arrays) for name, child in state.children.items()},
    }


def _state(tree: dict[str, Any], path: str, arrays: dict[str, NDArray[Any]]) -> State:
    return State(
        kind=tree["kind"],
        version=tree["version"],
        words=tree["words"],
        arrays={name: arrays[f"{path}{name}"] for name in tree["arrays"]},
        children={name: _state(child, f"{path}{name}/", arrays) for name, child in tree["children"].items()},
    )
