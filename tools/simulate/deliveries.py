"""Hooks of a harness, by key: what a session is told, in an order that works, whoever tells it and however often."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import attrs

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.session import Session
from clawvm_es.engine.store import FieldSchema

SETTINGS: Final = Settings(fields={"facts": FieldSchema("object"), "notes": FieldSchema()})
Answers = dict[str, Any]


@attrs.frozen
class Delivery:
    """One hook: its key, its call with the answers so far, the canary in its text, and whether it shows texts."""

    key: str
    call: Callable[[Session, Answers], Any]
    canary: str = ""
    shows: bool = False


def script(dice: Random, session_id: str, scope: str, length: int) -> list[Delivery]:
    """A session's deliveries, in an order in which each has the answers that it needs."""
    made = [_said(session_id, 0)]
    calls: list[str] = []
    for n in range(1, length):
        kind = dice.choice(_KINDS)
        if kind == "said":
            made.append(_said(session_id, n))
        elif kind == "model":
            calls.append(f"model{n}")
            made.append(_model(n))
        elif kind == "result" and calls:
            made.append(_result(session_id, n, calls.pop(dice.randrange(len(calls)))))
        else:
            made.append(_other(kind, n, scope))
    return made


_KINDS: Final = (
    "said", "said", "model", "result", "result", "rule", "turn", "turn", "note", "note", "fact", "flush", "save",
    "compact", "budget", "pin",
)  # fmt: skip


def canary(session_id: str, n: int) -> str:
    """A text that stands nowhere else."""
    return f"canary-{session_id}-{n:03}-yellowhammer"


def _said(session_id: str, n: int) -> Delivery:
    text = canary(session_id, n)
    return Delivery(f"said{n}", lambda s, a: s.user_says(f"hello {text}", key=f"said{n}"), text)


def _model(n: int) -> Delivery:
    return Delivery(f"model{n}", lambda s, a: s.observe_model(f"look {n}", [("read", {"x": n})], key=f"model{n}"))


def _result(session_id: str, n: int, call: str) -> Delivery:
    text = canary(session_id, n)
    return Delivery(f"result{n}", lambda s, a: s.observe_result(a[call][0], f"found {text}", key=f"result{n}"), text)


def _other(kind: str, n: int, scope: str) -> Delivery:
    key = f"{kind}{n}"
    calls: dict[str, Callable[[Session, Answers], Any]] = {
        "rule": lambda s, a: s.write_page("constraint", f"Rule {n}.", key=key),
        "turn": lambda s, a: s.assemble([a["said0"]], 10, key=key),
        "note": lambda s, a: s.stage("notes", "append", n, scope=scope, evidence=a["said0"], key=key),
        "fact": lambda s, a: s.stage("facts", "merge", {f"f{n}": n}, evidence=a["said0"], key=key),
        "flush": lambda s, a: s.flush(key=key),
        "save": lambda s, a: s.save(key=key),
        "compact": lambda s, a: s.compact(key=key),
        "budget": lambda s, a: s.set_budget(900 + n, key=key),
        "pin": lambda s, a: s.pin(a["said0"], "soft", key=key),
    }
    return Delivery(key, calls.get(kind, calls["note"]), shows=kind == "turn")
