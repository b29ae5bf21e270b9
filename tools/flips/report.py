"""What came of many flips: a table for people, a document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from flips.content import PARTS
from flips.trials import Outcome

HEAD = ("file", "hit", "flips", "rows", "schema", "header", "derived", "found", "found, same content", "missed")


def table(outcomes: Sequence[Outcome]) -> str:
    """One line for each kind of place: flips, how many changed what a reader sees, how many were found."""
    rows = [tuple(line.values()) for line in lines(outcomes)]
    text: str = tabulate(rows, HEAD)
    return text


def lines(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The numbers of each kind of place, and of each file in all."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.flip.file, outcome.flip.kind), []).append(outcome)
    numbers = []
    for file in ("database", "wal"):
        mine = {kind: group for (name, kind), group in sorted(found.items()) if name == file}
        numbers += [_line(file, kind, group) for kind, group in mine.items()]
        if mine:
            numbers.append(_line(file, "all", [each for group in mine.values() for each in group]))
    return numbers


def _line(file: str, kind: str, group: Sequence[Outcome]) -> dict[str, Any]:
    changed = {part: sum(part in each.changed for each in group) for part in PARTS}
    return {
        "file": file,
        "hit": kind,
        "flips": len(group),
        **changed,
        "found": sum(each.detected for each in group),
        "found_same_content": sum(each.detected and not each.changed for each in group),
        "missed": sum(each.missed for each in group),
    }


def notes(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for every flip that was missed, changed derived rows unnoticed, or broke `verify`."""
    return [
        f"{each.flip.file} byte {each.flip.offset} ^ {each.flip.mask:#04x} ({each.flip.kind}): "
        f"{each.ending}; changed: {', '.join(each.changed) or 'nothing'}; {each.said}"
        for each in outcomes
        if each.broken or (each.changed and not each.detected)
    ]


def document(outcomes: Sequence[Outcome], seed: int) -> dict[str, Any]:
    """All numbers."""
    return {
        "seed": seed,
        "ok": not any(each.missed or each.broken for each in outcomes),
        "flips": len(outcomes),
        "missed": sum(each.missed for each in outcomes),
        "broken": sum(each.broken for each in outcomes),
        "places": lines(outcomes),
        "notes": notes(outcomes),
    }
