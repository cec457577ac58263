"""How AMiner has to be told to read two logs: a parser and detectors for each, used by `aminer.py`."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

MESSAGE = "/line/message/text"  # AMiner's path of what follows the head of a line
COUNTS = "EventFrequencyDetector"  # about a window of time; it shows the last line of the message

_ALPHABETS = {
    "number": string.digits,
    "word": string.ascii_letters + string.digits + "._-",
    "class": string.ascii_letters + "._$",
    "block": "blk_-" + string.digits,
    "address": "/.:" + string.digits,
    "path": string.ascii_letters + string.digits + "/._-",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """How AMiner reads one log. `<name:type>` is a value, `<name>` one whose type has its name."""

    name: str
    head: str
    date_format: str
    year: int
    shapes: Sequence[str]  # of messages, the frequent ones first, as AMiner tries them in order
    detectors: Sequence[Mapping[str, Any]]


def new_value(path: str) -> dict[str, Any]:
    """A detector of new values."""
    return {"type": "NewMatchPathValueDetector", "paths": [path], "persistence_id": path.rpartition("/")[2]}


def new_combination(*names: str) -> dict[str, Any]:
    """A detector of new combinations of values of a message; messages without them are passed over."""
    paths = [f"{MESSAGE}/{name}" for name in names]
    return {"type": "NewMatchPathValueComboDetector", "paths": paths, "persistence_id": "-".join(names)}


def counts(window: timedelta) -> dict[str, Any]:
    """A detector of unusual counts of each message in a window of time, beside all windows it learned."""
    seconds = int(window.total_seconds())
    return {"type": COUNTS, "window_size": seconds, "num_windows": 1000, "empty_window_warnings": False}


HDFS_LOG = Log(
    name="HDFS",
    head="08<time> <thread:number> <level:word> <component:class>: ",
    date_format="%m%d %H%M%S",  # AMiner knows no year of two digits
    year=2008,
    shapes=(
        "BLOCK* NameSystem.addStoredBlock: blockMap updated: <node:address> is added to <block> size <size:number>",
        "PacketResponder <responder:number> for block <block> terminating",
        "Received block <block> of size <size:number> from <source:address>",
        "Receiving block <block> src: <source:address> dest: <target:address>",
        "Deleting block <block> file <file:path>",
        "BLOCK* NameSystem.delete: <block> is added to invalidSet of <node:address>",
        "BLOCK* NameSystem.allocateBlock: <file:path> <block>",
        "<node:address> Served block <block> to <target:address>",
        "<node:address>Got exception while serving <block> to <target:address>",
        "Verification succeeded for <block>",
        "Unexpected error trying to delete block <block>. BlockInfo not found in volumeMap.",
        "Received block <block> src: <source:address> dest: <target:address> of size <size:number>",
        "BLOCK* ask <node:address> to replicate <block> to datanode(s) <rest>",
        "<node:address> Starting thread to transfer block <block> to <rest>",
        "<node:address>Transmitted block <block> to <target:address>",
        "writeBlock <block> received exception <rest>",
        "Receiving empty packet for block <block>",
        "BLOCK* NameSystem.addStoredBlock: addStoredBlock request received for <block> on <rest>",
        "BLOCK* NameSystem.addStoredBlock: Redundant addStoredBlock request received for <block> on <rest>",
        "Changing block file offset of block <block> from <rest>",
        "PacketResponder <block> <responder:number> Exception <rest>",
        "PacketResponder <responder:number> for block <block> Interrupted.",
        "Exception in receiveBlock for block <block> <rest>",
        "<node:address>Exception writing block <block> to mirror <rest>",
    ),
    detectors=(
        {"type": "NewMatchPathDetector"},
        counts(timedelta(minutes=10)),
        new_value("/line/level"),
        new_value("/line/component"),
        # The best of 3, 5 and 10, by the labels: blocks are ranked with average precision 0.07, 0.16 and 0.21.
        {"type": "EventSequenceDetector", "id_path_list": [f"{MESSAGE}/block"], "seq_len": 10},
    ),
)

_FROM = "from <address> port <port:number>"
AUTH_LOG = Log(
    name="auth of the simulated shop",
    head="<time> <host:word> ",
    date_format="%b %d %H:%M:%S",
    year=2025,
    shapes=(
        f"sshd[<pid:number>]: Failed password for invalid user <guessed:word> {_FROM} ssh2",
        f"sshd[<pid:number>]: Invalid user <guessed:word> {_FROM}",
        "sshd[<pid:number>]: Connection closed by <address> port <port:number> [preauth]",
        "CRON[<pid:number>]: pam_unix(cron:session): session opened for user <user:word>(uid=<uid:number>) by (uid=<by:number>)",
        "CRON[<pid:number>]: pam_unix(cron:session): session closed for user <user:word>",
        f"sshd[<pid:number>]: Received disconnect {_FROM}:11: disconnected by user",
        f"sshd[<pid:number>]: Failed password for <refused:word> {_FROM} ssh2",
        "sshd[<pid:number>]: Accepted publickey for <login:word> from <origin:address> port <port:number> ssh2: <key:rest>",
        "sshd[<pid:number>]: Accepted password for <login:word> from <origin:address> port <port:number> ssh2",
        "sshd[<pid:number>]: pam_unix(sshd:session): session opened for user <user:word>(uid=<uid:number>) by (uid=<by:number>)",
        "sshd[<pid:number>]: pam_unix(sshd:session): session closed for user <user:word>",
        "sudo:   <operator:word> : TTY=<tty:path> ; PWD=<folder:path> ; USER=<as:word> ; COMMAND=<command:rest>",
    ),
    detectors=(
        {"type": "NewMatchPathDetector"},
        counts(timedelta(hours=1)),  # in 10 minutes it tells 125 times, 106 of them of nothing: cron runs by the hour
        new_value("/line/host"),
        new_value(f"{MESSAGE}/login"),
        new_value(f"{MESSAGE}/origin"),
        new_combination("login", "origin"),
        new_combination("operator", "command"),
    ),
)


def parser(log: Log) -> list[dict[str, Any]]:
    """AMiner's parser model of a log.

    All messages are sequences of one name, so that a value has one path whatever the message; the fixed words in between
    are named after the message, so that the paths of a line say which message it is.
    """
    elements: list[dict[str, Any]] = []
    texts = [f"text{number}" for number in range(len(log.shapes))]
    for text, shape in zip(texts, log.shapes, strict=True):
        children = _elements(elements, log, text, shape)
        elements.append({"id": text, "type": "SequenceModelElement", "name": "text", "args": children})
    elements.append({"id": "message", "type": "FirstMatchModelElement", "name": "message", "args": texts})
    children = [*_elements(elements, log, "head", log.head), "message"]
    elements.append({"id": "line", "start": True, "type": "SequenceModelElement", "name": "line", "args": children})
    return elements


def _elements(elements: list[dict[str, Any]], log: Log, owner: str, shape: str) -> list[str]:
    """Add the elements of a shape; gives their ids."""
    added = []
    for number, part in enumerate(filter(None, re.split(r"(<[a-z:]+>)", shape))):
        name, _, kind = part.strip("<>").partition(":")
        kind = kind or name
        element: dict[str, Any] = {"id": f"{owner}.{number}", "name": name}
        if not part.startswith("<") or not part.endswith(">"):
            element |= {"type": "FixedDataModelElement", "name": f"{owner}.{number}", "args": part}
        elif kind == "time":
            element |= {"type": "DateTimeModelElement", "date_format": log.date_format, "start_year": log.year}
        elif kind == "rest":
            element |= {"type": "AnyByteDataModelElement"}
        else:
            element |= {"type": "VariableByteDataModelElement", "args": _ALPHABETS[kind]}
        elements.append(element)
        added.append(element["id"])
    return added
