"""The report: score by folder, and every survivor with its change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mutate.operators import Mutant
from mutate.run import Result

Row = tuple[Mutant, Result]


def score(rows: Sequence[Row]) -> float:
    """Percent of mutants that the tests noticed; those that no test runs count as not noticed."""
    return round(100 * sum(result.killed for _, result in rows) / max(1, len(rows)), 1)


def folders(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each folder of the package, and of all of them."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(Path(row[0].path).parts[1], []).append(row)
    return {**dict(sorted(found.items())), "all": [row for part in found.values() for row in part]}


def counts(rows: Sequence[Row]) -> dict[str, Any]:
    """How many mutants there are of each outcome."""
    tally = dict.fromkeys(("killed", "timeout", "survived", "untested"), 0)
    for _, result in rows:
        tally[result.outcome] += 1
    return {"mutants": len(rows), **tally, "score": score(rows)}


def survivors(root: Path, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Every mutant that was not noticed, in the order of places."""
    for mutant, result in sorted(rows, key=lambda row: (row[0].path, row[0].start, row[0].variant)):
        if not result.killed:
            yield {
                "mutant": mutant.id,
                "operator": mutant.operator,
                "outcome": result.outcome,
                "tests": result.tests,
                "diff": mutant.diff((root / mutant.path).read_bytes()),
            }


def document(root: Path, rows: Sequence[Row], about: dict[str, Any]) -> dict[str, Any]:
    """The report as one JSON document."""
    return {
        **about,
        "folders": {name: counts(part) for name, part in folders(rows).items()},
        "survivors": list(survivors(root, rows)),
    }


def text(found: dict[str, Any]) -> str:
    """The report as a person reads it."""
    columns = ("mutants", "killed", "timeout", "survived", "untested", "score")
    lines = [f"{'':<10}" + "".join(f"{name:>10}" for name in columns)]
    for name, part in found["folders"].items():
        lines.append(
            f"{name:<10}" + "".join(f"{part[column]:>10}" for column in columns[:-1]) + f"{part['score']:>9}%"
        )
    for each in found["survivors"]:
        where = ":".join(each["mutant"].split(":")[:2])
        why = "no test runs it" if each["outcome"] == "untested" else f"{each['tests']} tests ran it"
        lines += ["", f"{where}  {each['operator']}  ({why})  {each['mutant']}", each["diff"]]
    return "\n".join(lines)
