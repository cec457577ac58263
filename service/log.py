"""Sets logging up: structlog, one fact a line, JSON for machines or colours for people, always on standard error."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is said and how."""

    format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal, JSON into a pipe or a file
    level: Literal["debug", "info", "warning", "error"] = "info"  # one line a batch is debug, one line a change is info


#: Libraries that speak more than they have to say; their warnings still come through.
_QUIET = ("alembic", "apscheduler", "asyncio", "uvicorn", "uvicorn.error", "uvicorn.access", "drain3", "httpx2")


def set_up_logging(settings: LogSettings, **bound: object) -> None:
    """Send every log line of this process, the libraries' too, to standard error in one format.

    Args:
        settings: format and level.
        bound: said with every line, for example the process's role.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _Bound(bound),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    ending: list[Processor]
    if settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty()):
        ending = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # A plain traceback: the pretty one shows local variables, and those hold other people's lines.
        plain = structlog.dev.plain_traceback
        ending = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        # A logger made at import time must follow this set-up, and that of a later test.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
        logger.setLevel(max(level, logging.WARNING))


class _Bound:
    """A processor that adds the same words to every line."""

    def __init__(self, words: dict[str, object]) -> None:
        self._words = words

    def __call__(self, _logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        for name, value in self._words.items():
            event.setdefault(name, value)
        return event
