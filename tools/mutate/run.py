"""Mutants: which ones a seed chooses, what becomes of each, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Final

from mutate.gather import Tests
from mutate.operators import Mutant, compiles, mutants
from mutate.pool import Worker, each

FIRST: Final = 20
"""Tests that are tried in the first fork; most mutants end there, and collecting few files is quick."""
LIMIT_BASE, LIMIT_FACTOR = 20, 10
"""Tests that took S seconds under coverage are ended, and the mutant counts as killed, after base + factor × S."""


@dataclass(frozen=True)
class Result:
    """What became of a mutant: `killed` by a test or an error, `timeout`, `survived`, or `untested`."""

    mutant: str
    outcome: str
    by: str | None = None
    tests: int = 0
    seconds: float = 0.0

    @property
    def killed(self) -> bool:
        """Whether the tests noticed."""
        return self.outcome in ("killed", "timeout")


def sources(root: Path, folders: Iterable[str]) -> list[str]:
    """The modules of the package's folders, by path from the root."""
    return [
        str(path.relative_to(root)) for name in folders for path in sorted((root / "clawvm_es" / name).rglob("*.py"))
    ]


def chosen(root: Path, paths: Iterable[str], seed: int, count: int) -> tuple[list[Mutant], int]:
    """`count` mutants of the files, chosen by a seed from all of them, and how many there are."""
    found = [mutant for path in paths for mutant in mutants(path, (root / path).read_bytes())]
    Random(seed).shuffle(found)
    kept: list[Mutant] = []
    for mutant in found:
        if len(kept) == count:
            break
        if compiles(mutant.apply((root / mutant.path).read_bytes())):
            kept.append(mutant)
    return kept, len(found)


def named(root: Path, ids: Iterable[str]) -> list[Mutant]:
    """Mutants by their ids."""
    wanted = list(dict.fromkeys(ids))
    paths = dict.fromkeys(each.split(":")[0] for each in wanted)
    known = {mutant.id: mutant for path in paths for mutant in mutants(path, (root / path).read_bytes())}
    return [known[each] for each in wanted]


class Kept:
    """Results in a file of JSON lines, by digest of the tree: what was run once is not run again."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path, self.digest = path, digest
        self.known: dict[str, Result] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                if row.pop("tree") == digest:
                    self.known[row["mutant"]] = Result(**row)

    def add(self, result: Result) -> None:
        """Keep a result."""
        self.known[result.mutant] = result
        with self.path.open("a") as file:
            file.write(json.dumps({"tree": self.digest, **asdict(result)}) + "\n")


def run(
    pool: list[Worker], todo: Iterable[Mutant], tests: Tests, test_seconds: float
) -> Iterator[tuple[Mutant, Result]]:
    """Run mutants on the workers; each comes with its result as soon as it has one."""
    return each(pool, todo, lambda worker, mutant: _judge(worker, mutant, tests, test_seconds))


def _judge(worker: Worker, mutant: Mutant, tests: Tests, test_seconds: float) -> Result:
    found = tests.of(mutant, test_seconds)
    if not found:
        return Result(mutant.id, "untested")
    seconds = 0.0
    for part in (found[:FIRST], found[FIRST:]):
        if not part:
            continue
        limit = LIMIT_BASE + LIMIT_FACTOR * sum(tests.seconds[test] for test in part)
        files = list(dict.fromkeys(test.split("::")[0] for test in part))
        request = {"mutant": asdict(mutant), "tests": part, "files": files, "limit": limit}
        answer = worker.ask(request)
        seconds += answer["seconds"]
        if answer["timeout"]:
            return Result(mutant.id, "timeout", None, len(found), round(seconds, 2))
        if answer.get("code") != 0:  # a failed test, an error on import, or a process that broke off
            by = answer.get("by") or ("could not be collected" if "code" in answer else "broke off")
            return Result(mutant.id, "killed", by, len(found), round(seconds, 2))
    return Result(mutant.id, "survived", None, len(found), round(seconds, 2))
