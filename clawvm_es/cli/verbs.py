"""The verbs, one row each: section of the help, module, purpose, and use of a journal.

A verb's module is imported only when the verb runs or its own help is shown, so that the program starts fast. The
clause here is the first clause of the verb's help; a test compares them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from enum import Enum
from typing import Final, NamedTuple

import click


class Use(Enum):
    """The ways in which verbs use a journal. Tests run each verb by its row, so a new verb needs no other list."""

    READS = "takes JOURNAL as its first argument, and does not change it"
    WRITES = "takes JOURNAL as its first argument, and changes it"
    FILLS = "writes what it is given to --journal, and makes that where there is none"
    HARNESS = "sets up or asks a harness that records into --journal"
    SERVES = "serves --journal until it is stopped"
    NONE = "has no journal"


class Row(NamedTuple):
    """One verb: its module below `clawvm_es.cli`, its command there, the first clause of its help, its use."""

    module: str
    command: str
    clause: str
    use: Use = Use.READS


SECTIONS: Final[dict[str, dict[str, Row]]] = {
    "Start here": {
        "demo": Row("demo", "demo", "See it work", Use.FILLS),
        "import": Row(
            "importing",
            "import_",
            "Import recorded sessions as they were, and report what each harness lost and its agent needed again",
            Use.FILLS,
        ),
        "follow": Row("follow", "follow", "Record sessions while their files grow", Use.FILLS),
        "replay": Row("replay", "replay", "Replay recorded sessions through the engine into a journal", Use.FILLS),
    },
    "Read": {
        "sessions": Row(
            "read", "sessions", "List the sessions of a journal with their titles, times, figures and cost"
        ),
        "log": Row("read", "log", "Print the events of a session (or of the whole journal), oldest first"),
        "show": Row(
            "read",
            "show",
            "Show one event (by its version) or one page (by its id, at any place) in full, with the texts behind it",
        ),
        "pages": Row("memory", "pages", "Print the page table"),
        "prompt": Row(
            "memory",
            "prompt",
            "Print the prompt of a turn as clawvm would have sent it under its budget, byte for byte",
        ),
        "store": Row("memory", "store", "Print the durable store"),
        "faults": Row("read", "faults", "List the faults"),
        "losses": Row(
            "losses",
            "losses",
            "Show the pages that a boundary took out of the prompt and the agent needed later, and every other loss",
        ),
        "trace": Row("read", "trace", "Print the decisions of a session"),
        "stats": Row("read", "stats", "Print the figures of a journal"),
        "grep": Row("grep", "grep", "Find the texts that hold all words of PATTERN"),
        "ui": Row("ui", "ui", "See sessions in the browser", Use.SERVES),
    },
    "Go back in time": {
        "diff": Row(
            "diff", "diff", "Show the first difference of two runs, or all differences between two moments of one"
        ),
        "why": Row("why", "why", "Explain the level of a page in a turn's prompt, or why the page was missing"),
        "blame": Row(
            "blame",
            "blame",
            "Tell who wrote every version of a field of the durable store, or of a page, when, and on what evidence",
        ),
        "check": Row("check", "check", "Check a claim about a session"),
        "bisect": Row("bisect", "bisect", "Find the first event after which something holds"),
        "whatif": Row("whatif", "whatif", "Decide a session's inputs again under other settings, and compare"),
        "fork": Row("fork", "fork", "Continue a session from any moment under another name", Use.WRITES),
    },
    "Prove and keep": {
        "verify": Row("upkeep", "verify", "Check that a journal is unaltered"),
        "checkpoint": Row("proof", "checkpoint", "Sign the journal's present state in a note to keep elsewhere"),
        "bundle": Row(
            "proof",
            "bundle",
            "Write sessions and their dependencies to one file that anyone with the public key can verify",
        ),
        "archive": Row(
            "archive",
            "archive",
            "Write closed sessions to a folder of signed bundles",
        ),
        "export": Row("upkeep", "export", "Write a session to a file"),
        "backup": Row("upkeep", "backup", "Copy a journal while others write to it, and verify the copy"),
        "rebuild": Row(
            "upkeep",
            "rebuild",
            "Rebuild the read models from the whole log, and take its snapshots anew",
            Use.WRITES,
        ),
        "redact": Row("redact", "redact", "Erase texts for good", Use.WRITES),
        "catalogue": Row("catalogue", "catalogue", "Query a folder of journals exported as Parquet", Use.NONE),
        "pg": Row("pg", "pg", "Make a journal in PostgreSQL, and look at its server", Use.NONE),
    },
    "Record live": {
        "install": Row(
            "harness",
            "install",
            "Record every session of a harness from now on, and give back what a compaction took",
            Use.HARNESS,
        ),
        "uninstall": Row("harness", "uninstall", "Take clawvm out of a harness", Use.HARNESS),
        "doctor": Row(
            "harness",
            "doctor",
            "Check the harnesses that record into a journal, and tell what does not work",
            Use.HARNESS,
        ),
        "mcp": Row("mcp", "mcp", "Serve pages and memory as tools of an MCP client, on stdin and stdout", Use.SERVES),
        "proxy": Row(
            "proxy",
            "proxy",
            "Record the requests that a harness really sends to its provider, and page old tool results",
            Use.SERVES,
        ),
        "hook": Row(
            "harness",
            "hook",
            "Record what live harnesses reported through hooks, and what is new in their transcripts",
            Use.HARNESS,
        ),
    },
    "Evaluate": {
        "eval": Row(
            "eval",
            "evaluate",
            "Evaluate policies on seeded workloads and recorded sessions, beside the paper's figures",
            Use.NONE,
        ),
    },
}
"""Section of the help → its verbs, in its order."""
ROWS: Final = {name: row for rows in SECTIONS.values() for name, row in rows.items()}


def using(*uses: Use) -> list[str]:
    """The verbs that use a journal in one of these ways, in the order of the help."""
    return [name for name, row in ROWS.items() if row.use in uses]


class Verbs(MutableMapping[str, click.Command]):
    """Name → command, imported at the first look."""

    def __init__(self) -> None:
        self._found: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._found:
            row = ROWS[name]
            self._found[name] = getattr(importlib.import_module(f"clawvm_es.cli.{row.module}"), row.command)
        return self._found[name]

    def __setitem__(self, name: str, verb: click.Command) -> None:
        self._found[name] = verb

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in ROWS or name in self._found

    def __iter__(self) -> Iterator[str]:
        yield from ROWS
        yield from (name for name in self._found if name not in ROWS)

    def __len__(self) -> int:
        return sum(1 for _ in self)
