"""The process that runs one SQL query of a user and ends: `python -I storage/sandbox.py LIMITS`.

It imports nothing of ours, has no environment, and limits itself before it reads the query. Two lines of JSON come in
on standard input, two go out on standard output:

1. `{"query", "views"}` -> `{"names", "all"}`: the query was taken apart and is allowed; these views it reads.
2. `{"views", "paths", "rows", "bytes"}` -> `{"columns", "types", "rows", "truncated"}`: the views were made out of
   these files, nothing else can be opened any more, and the query ran.

Either answer may be `{"error"}` instead.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import importlib
import json
import math
import re
import resource
import signal
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

_FETCHED = 500  # rows between two looks at the bytes
_DEPTH_MAX = 200  # of values inside values
_NODES_MAX = 200_000  # of the tree of a query
_EXPLAIN = re.compile(r"\s*explain\s+(?=\S)", re.IGNORECASE)
_COMMENT = re.compile(r"\s*(?:--[^\n]*(?:\n|\Z)|/\*.*?\*/)", re.DOTALL)
_PATH = re.compile(r"(?:/[^\s'\"/:,)]+){2,}/?")

#: Functions of a FROM clause. All others are refused: they read files, settings, or text that is a query again.
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree", "regexp_split_to_table"})
#: Functions that say something about the machine, keep something, or run text.
_REFUSED = re.compile(
    r"(current_setting|getenv|getvariable|setval|__internal_.*|set_config|write_log|parse_duckdb_log_message|json_execute_serialized_sql|"
    r"json_serialize_plan|query|query_table|glob|sniff_csv|nextval|currval|pg_(?!typeof|size_pretty).*|duckdb_.*|pragma_.*|read_.*|parquet_.*|"
    r".*_scan|scan_.*|sleep.*|which_secret|from_substrait.*|get_substrait.*|in_search_path|txid_current|current_query|"
    r"add_parquet_key|force_checkpoint|checkpoint|enable_.*|disable_.*|load_.*|install_.*|import_.*|export_.*)\Z",
    re.IGNORECASE,
)
_CATALOGUE = frozenset({"tables", "columns"})  # of information_schema
_SHOWN = frozenset({"tables", "__show_tables_expanded"})


class RefusedError(Exception):
    """The query may not run; the text says why."""


def main(arguments: Sequence[str]) -> int:
    """Answer two questions and end."""
    limits = json.loads(arguments[0])
    _limit(limits)
    _stand_in_for_pytz()
    duckdb = _engine()
    with _answering(sys.stdout, duckdb.Error):
        asked = json.loads(sys.stdin.readline())
        connection = duckdb.connect(":memory:", config=_config(limits))
        _say(sys.stdout, taken_apart(connection, asked["query"], asked["views"]))
        granted = json.loads(sys.stdin.readline())
        _furnish(connection, granted)
        _say(sys.stdout, _run(connection, asked["query"], granted))
    return 0


def taken_apart(connection: Any, query: str, views: Sequence[str]) -> dict[str, Any]:
    """Which views the query reads, and whether it asks for all of them.

    Raises:
        RefusedError: it is not one SELECT, or it names what it may not.
    """
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise RefusedError(f"expected one statement, got {len(statements)}")
    kind = statements[0].type.name
    if kind not in {"SELECT", "EXPLAIN"}:
        raise RefusedError(
            f"only SELECT (also DESCRIBE, SHOW TABLES, SUMMARIZE, EXPLAIN) may run here, not {_named(kind)}"
        )
    tree = _tree(connection, _explained(query) if kind == "EXPLAIN" else query)
    names: set[str] = set()
    everything = False
    nodes = list(_nodes(tree))
    defined = {entry["key"].lower() for node in nodes for entry in _common_tables(node)}
    for node in nodes:
        _check_function(node)
        if node.get("type") == "SHOW_REF" and node.get("query") is None:
            everything |= _check_shown(node)
        if node.get("type") == "BASE_TABLE":
            name = _check_table(node, views, defined)
            everything |= name is None
            names |= {name} if name else set()
    return {"names": sorted(names), "all": everything}


def plain(value: Any, depth: int = 0) -> Any:
    """A value of DuckDB as JSON has it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if depth > _DEPTH_MAX:
        raise RefusedError("a value is nested too deeply")
    if isinstance(value, Mapping):
        return {_key(key): plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(each, depth + 1) for each in value]
    return _leaf(value)


def _leaf(value: Any) -> int | float | str | None:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case decimal.Decimal():
            return _number(value)
        case dt.datetime():
            return _instant(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case dt.date() | dt.time():
            return value.isoformat()
        case _:
            return str(value)


def _key(key: Any) -> str:
    flat = plain(key)
    return flat if isinstance(flat, str) else json.dumps(flat)


def _number(value: decimal.Decimal) -> int | float | None:
    if not value.is_finite():
        return None
    return int(value) if value == value.to_integral_value() and value.as_tuple().exponent == 0 else float(value)


def _instant(value: dt.datetime) -> str:
    """ISO 8601; with Z when it has a zone, which is always UTC here."""
    text = value.replace(tzinfo=None).isoformat()
    return text if value.tzinfo is None else text + "Z"


def _explained(query: str) -> str:
    """The query inside an EXPLAIN."""
    while comment := _COMMENT.match(query):
        query = query[comment.end() :]
    prefix = _EXPLAIN.match(query)
    inside = query[prefix.end() :] if prefix else ""
    if not inside or inside[0] == "(" or re.match(r"analy[sz]e\b", inside, re.IGNORECASE):
        # ANALYZE names the files it reads.
        raise RefusedError("EXPLAIN takes a SELECT here, without ANALYZE and options")
    return inside


def _tree(connection: Any, query: str) -> Any:
    text = connection.execute("SELECT json_serialize_sql($1)", [query]).fetchone()[0]
    tree = json.loads(text)
    if tree.get("error"):
        message = str(tree.get("error_message", "it cannot be taken apart"))
        if "Only SELECT" in message:
            message = "only a plain SELECT may run here; a PIVOT needs its values: PIVOT ... ON column IN (...)"
        raise RefusedError(message)
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    waiting, count = [tree], 0
    while waiting:
        node = waiting.pop()
        count += 1
        if count > _NODES_MAX:
            raise RefusedError("the query is too long")
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _common_tables(node: dict[str, Any]) -> list[dict[str, Any]]:
    found = node.get("cte_map")
    entries = found.get("map", []) if isinstance(found, dict) else []
    # A recursive one has a node of its own, with the name in it.
    named = [{"key": node["cte_name"]}] if isinstance(node.get("cte_name"), str) else []
    recursive = [{"key": node["ctename"]}] if isinstance(node.get("ctename"), str) else []
    return [*entries, *named, *recursive]


def _check_function(node: dict[str, Any]) -> None:
    name = node.get("function_name")
    if not isinstance(name, str):
        function = node.get("function")
        if node.get("type") == "TABLE_FUNCTION" and isinstance(function, dict):
            name = function.get("function_name")
            if not isinstance(name, str) or name.lower() not in _TABLE_FUNCTIONS:
                raise RefusedError(f"the function {name} may not be read from here")
        return
    if _REFUSED.match(name):
        raise RefusedError(f"the function {name} may not be used here")


def _check_shown(node: dict[str, Any]) -> bool:
    name = str(node.get("table_name", "")).strip('"').lower()
    if name not in _SHOWN:
        raise RefusedError("of SHOW, only SHOW TABLES may run here; DESCRIBE shows the columns of a view")
    return True


def _check_table(node: dict[str, Any], views: Sequence[str], defined: set[str]) -> str | None:
    """The view that is read; None when it is the catalogue of all of them, "" when the query defines it itself."""
    name, schema = str(node.get("table_name", "")), str(node.get("schema_name", "")).lower()
    lower = name.lower()
    if schema == "information_schema" and lower in _CATALOGUE:
        return None
    known = {view.lower(): view for view in views}
    if schema in {"", "main"} and lower in known:
        return known[lower]
    if not schema and lower in defined:
        return ""
    raise RefusedError(f"there is no view {name[:100]!r}; the views are {', '.join(sorted(views))}")


def _furnish(connection: Any, granted: Mapping[str, Any]) -> None:
    """Make the views, then close every door."""
    connection.execute("SET TimeZone = 'UTC'")
    for name, view in granted["views"].items():
        connection.execute(f'CREATE VIEW "{name}" AS {view}')
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in granted["paths"])
    connection.execute(f"SET allowed_paths = [{listed}]")
    for setting in ("enable_external_access = false", "lock_configuration = true"):
        connection.execute(f"SET {setting}")


def _run(connection: Any, query: str, granted: Mapping[str, Any]) -> dict[str, Any]:
    rows_max, bytes_max = granted["rows"], granted["bytes"]
    if connection.extract_statements(query)[0].type.name == "SELECT":
        # With the limit inside, "all events by time" keeps the latest thousand instead of sorting everything. Of two
        # columns with one name, the second gets a number.
        query = f"SELECT * FROM (\n{_trimmed(query)}\n) LIMIT {rows_max + 1}"  # noqa: S608 -- one SELECT, checked
    connection.execute(query)
    described = connection.description
    rows: list[str] = []
    size = 0
    while size <= bytes_max and len(rows) <= rows_max and (some := connection.fetchmany(_FETCHED)):
        for row in some:
            text = json.dumps(plain(row), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            size += len(text)
            if size > bytes_max:
                break
            rows.append(text)
    truncated = size > bytes_max or len(rows) > rows_max
    return {
        "columns": [column[0] for column in described],
        "types": [str(column[1]) for column in described],
        "rows": _Text(f"[{','.join(rows[:rows_max])}]"),
        "truncated": truncated,
    }


def _trimmed(query: str) -> str:
    """The query without the semicolons and comments behind it."""
    text = query.encode()
    end = len(text)
    for offset, kind in reversed(_engine().tokenize(query)):
        if kind.name != "comment" and text[offset : offset + 1] != b";":
            break
        end = offset
    return text[:end].decode()


class _Text(str):
    """JSON that is JSON already."""

    __slots__ = ()


def _say(output: TextIO, answer: Mapping[str, Any]) -> None:
    parts = [
        f"{json.dumps(name)}:{value if isinstance(value, _Text) else json.dumps(value)}"
        for name, value in answer.items()
    ]
    output.write("{" + ",".join(parts) + "}\n")
    output.flush()


@contextlib.contextmanager
def _answering(output: TextIO, database_error: type[Exception]) -> Iterator[None]:
    """Say what went wrong in one line that names no file."""
    try:
        yield
    except RefusedError as error:
        _say(output, {"error": _cleaned(str(error))})
    except MemoryError:
        _say(output, {"error": "the query needs more memory than it may have"})
    except RecursionError:
        _say(output, {"error": "the query is nested too deeply"})
    except database_error as error:
        _say(output, {"error": _cleaned(str(error))})


def _cleaned(message: str) -> str:
    first = message.strip().split("\n", 1)[0].strip() or "the query failed"
    return _PATH.sub("...", first)[:500]


def _named(kind: str) -> str:
    return "a PIVOT without its values; write PIVOT ... ON column IN (...)" if kind == "MULTI" else kind


def _engine() -> Any:
    """DuckDB without its Python relations, which take 150 ms to import and are not used here."""
    try:
        return importlib.import_module("_duckdb")
    except ImportError:
        return importlib.import_module("duckdb")


def _config(limits: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "memory_limit": f"{limits['memory_bytes']}B",
        "threads": limits["threads"],
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "temp_directory": "",
        "max_temp_directory_size": "0MB",
        "python_enable_replacements": False,
    }


def _limit(limits: Mapping[str, Any]) -> None:
    """What the kernel enforces, whatever the query makes of this process."""
    seconds = math.ceil(limits["timeout_s"])
    for kind, most in (
        (resource.RLIMIT_AS, limits["address_bytes"]),
        (resource.RLIMIT_CPU, seconds * limits["threads"] + 1),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))
    signal.alarm(seconds + 2)  # ends this process when its parent is gone; else the parent kills it sooner


class _Utc(dt.tzinfo):
    """The only zone there is here."""

    def utcoffset(self, at: dt.datetime | None, /) -> dt.timedelta:  # noqa: ARG002 -- the base's
        return dt.timedelta(0)

    def dst(self, at: dt.datetime | None, /) -> dt.timedelta:  # noqa: ARG002 -- the base's
        return dt.timedelta(0)

    def tzname(self, at: dt.datetime | None, /) -> str:  # noqa: ARG002 -- the base's
        return "UTC"

    def localize(self, at: dt.datetime) -> dt.datetime:
        return at.replace(tzinfo=self)


def _stand_in_for_pytz() -> None:
    """DuckDB asks the module pytz for the zone of a timestamp. It is always UTC, so that library is not needed."""
    module = types.ModuleType("pytz")
    vars(module).update(utc=_Utc(), timezone=lambda _name: _Utc())
    sys.modules["pytz"] = module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
