"""Misuse of a log, and what is said to each: the class, the sentence and the hint."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from clawvm_es.errors import ClawVMError
from clawvm_es.journal.ports import EventLog, Expected
from clawvm_es.model.events import PageUsed, SessionForked
from clawvm_es.model.facts import NeedRule
from clawvm_es.testing.logs.place import budget, new, used

MISUSES: dict[str, Callable[[EventLog], object]] = {
    "no events": lambda log: log.append("t", []),
    "no name": lambda log: log.append("", [budget(1)]),
    "odd name": lambda log: log.append("\ud800", [budget(1)]),
    "key of a decision": lambda log: log.append("s", [new(PageUsed("p", NeedRule.DECLARED), "k")]),
    "cause after it": lambda log: log.append("s", [budget(1), used(cause=9)]),
    "cause 0": lambda log: log.append("s", [budget(1), used(cause=0)]),
    "time": lambda log: log.append("s", [replace(budget(1), at_us=2**63)]),
    "principal": lambda log: log.append("s", [replace(budget(1), principal="\ud800")]),
    "odd key": lambda log: log.append("s", [budget(1, "\ud800")]),
    "number": lambda log: log.append("s", [budget(2**70)]),
    "version": lambda log: log.append("s", [budget(9)], 7),
    "there already": lambda log: log.append("s", [budget(9)], Expected.NO_STREAM),
    "not there": lambda log: log.append("t", [budget(9)], 1),
    "key with other content": lambda log: log.append("s", [budget(9, "k1")]),
    "fork of nothing": lambda log: log.append("t", [new(SessionForked("nobody", 1, "0" * 64))], Expected.NO_STREAM),
    "fork too late": lambda log: log.append("t", [new(SessionForked("s", 99, "0" * 64))], Expected.NO_STREAM),
    "fork of another": lambda log: log.append("t", [new(SessionForked("s", 1, "0" * 64))], Expected.NO_STREAM),
    "name of a vault": lambda log: log.vault(""),
    "within": lambda log: _within(log, lambda: log.append("s", [budget(9)])),
    "closing within": lambda log: _within(log, log.close),
    "in two": lambda log: _within(log, lambda: log.transaction().__enter__()),
    "ended": lambda log: _ended(log).append("s", [budget(9)]),
    "ended, head": lambda log: _ended(log).head("s"),
}
CLOSED: dict[str, Callable[[EventLog], object]] = {
    "append": lambda log: log.append("s", [budget(9)]),
    "transaction": lambda log: log.transaction().__enter__(),
    "first": lambda log: log.first("s"),
    "head": lambda log: log.head("s"),
    "heads": lambda log: log.heads(),
    "find": lambda log: log.find("s", "k1"),
    "read": lambda log: list(log.read("s")),
    "read_all": lambda log: list(log.read_all()),
    "vault": lambda log: log.vault("s"),
    "bodies_kept": lambda log: log.bodies_kept(),
    "stored": lambda log: log.stored("0" * 64),
    "holders": lambda log: log.holders("0" * 64),
    "hashes": lambda log: list(log.hashes(0, 1)),
    "commitment_of": lambda log: log.commitment_of("s", bytes(32)),
    "stored_bodies": lambda log: log.stored_bodies(["0" * 64]),
    "size": lambda log: log.size(),
}


def refusals(open_: Callable[..., EventLog], reads: bool = True) -> Iterator[str]:
    """A line for each misuse of an open log, of one that is only read, and of one that is closed."""
    with open_() as log:
        log.append("s", [budget(1, "k1"), used(), budget(2, "k2")])
        before = [row.hash for row in log.read_all()]
        for name, misuse in MISUSES.items():
            yield f"{name}: {_said(log, misuse)}"
        assert [row.hash for row in log.read_all()] == before
        yield f"open in another thread: {_said(log, _in_another_thread)}"
    for name, misuse in CLOSED.items():
        yield f"closed, {name}: {_said(log, misuse)}"
    if reads:
        with open_(read_only=True) as log:
            for name in ("append", "transaction"):
                yield f"only read, {name}: {_said(log, CLOSED[name])}"


def _said(log: EventLog, misuse: Callable[[EventLog], object]) -> str:
    try:
        misuse(log)
    except ClawVMError as error:
        return f"{type(error).__name__}: {str(error).replace(log.place, 'PLACE')}"
    return "done"


def _within(log: EventLog, misuse: Callable[[], object]) -> None:
    with log.transaction():
        misuse()


def _ended(log: EventLog):
    with log.transaction() as transaction:
        pass
    return transaction


def _in_another_thread(log: EventLog) -> None:
    """A transaction of another thread that has ended is no hindrance."""
    thread = threading.Thread(target=lambda: _ended(log))
    thread.start()
    thread.join(10)
    _ended(log)


def golden(kind: str) -> list[str]:
    """The lines of a kind of log, as they were."""
    lines = Path(__file__).with_name("refusals.txt").read_text(encoding="utf-8").splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{kind} ")]
