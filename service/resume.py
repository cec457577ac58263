"""Remembers how far a file was sent, so that the same command goes on where it was stopped."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tocsin.errors import InputError, StorageError
from tocsin.state import write_durably

#: Where it is remembered unless the command says otherwise; in the home folder, because the logs' is not ours.
DEFAULT_FOLDER = Path("~/.local/state/tocsin/ship")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one file was sent to one stream of one service."""

    path: str
    stream: str
    url: str
    head_bytes: int  # of the file, for the digest: a file that begins otherwise is another file
    head_digest: str
    acknowledged: int = 0  # offset in the decompressed file up to which the service answered that it has the lines
    lines: int = 0  # before that offset
    pending_end: int | None = None  # the chunk from `acknowledged` to here was sent; whether it arrived is not known


class Memory:
    """A folder with one small file for each file sent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser()

    def recall(self, path: str, stream: str, url: str) -> Progress | None:
        """What is remembered; None when nothing is."""
        file = self._file(path, stream, url)
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{file}: cannot be read: {error.strerror}") from error
        try:
            return TypeAdapter(Progress).validate_json(content)
        except ValidationError as error:
            raise InputError(f"{file}: damaged; delete it, or start anew with --again") from error

    def keep(self, progress: Progress) -> Progress:
        """Remember it, so that a crash cannot take it back."""
        file = self._file(progress.path, progress.stream, progress.url)
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(file, TypeAdapter(dict[str, object]).dump_json(asdict(progress)))
        except OSError as error:
            raise StorageError(f"{file}: cannot be written: {error.strerror}") from error
        return progress

    def _file(self, path: str, stream: str, url: str) -> Path:
        name = blake2b(f"{path}\x1f{stream}\x1f{url}".encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
        return self._folder / f"{name}.json"


def sending(progress: Progress, end: int) -> Progress:
    """A chunk is about to be sent."""
    return replace(progress, pending_end=end)


def sent(progress: Progress, end: int, lines: int) -> Progress:
    """The service has it."""
    return replace(progress, acknowledged=end, lines=progress.lines + lines, pending_end=None)
