"""Which tests run which lines: gathered once for each test file, and kept until the package or that file changes."""

from __future__ import annotations

import ast
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from mutate import tree
from mutate.operators import Mutant
from mutate.pool import Worker, each

GATHER_SECONDS = 1800


@dataclass
class Tests:
    """All tests that pass, by id: seconds, and the lines that they run of each file."""

    seconds: dict[str, float] = field(default_factory=dict)
    by_line: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    by_file: dict[str, list[str]] = field(default_factory=dict)
    by_import: dict[str, list[str]] = field(default_factory=dict)
    at_import: set[tuple[str, int]] = field(default_factory=set)
    bad: list[str] = field(default_factory=list)

    def add(self, found: dict[str, Any], imports: Iterable[str] = ()) -> None:
        """Add the tests of a file that imports the modules at some paths."""
        self.bad.extend(found["bad"])
        self.at_import.update((path, number) for path, numbers in found["imported"].items() for number in numbers)
        for path in imports:
            self.by_import.setdefault(path, []).extend(found["tests"])
        for test, about in found["tests"].items():
            self.seconds[test] = about["seconds"]
            for path, numbers in about["lines"].items():
                self.by_file.setdefault(path, []).append(test)
                for number in numbers:
                    self.by_line.setdefault((path, number), []).append(test)

    def of(self, mutant: Mutant, at_most_s: float) -> list[str]:
        """The tests that run a mutant's lines, at least one: first its module's own, then near ones, then the others.

        Its own are in files that are named after it. Near are the tests of its folder, those whose file imports it,
        and the golden ones. Of each of the three the fastest are taken, as many as take so many seconds: else a line
        that thousands of tests run would be tested by none of the slow ones that are about it.

        What runs when its module is imported (a table, a default, a function that makes one) is tested by all that
        runs the module, by the tests of its folder, and by those whose file imports it. So is what no test is seen
        to run, which may run in a process that a test starts.
        """
        lines = range(mutant.line, mutant.last_line + 1)
        found = {test for line in lines for test in self.by_line.get((mutant.path, line), ())}
        folder, name = f"tests/{Path(mutant.path).parts[1]}/", f"test_{Path(mutant.path).stem.strip('_')}"
        importing = set(self.by_import.get(mutant.path, ()))
        if not found or mutant.on_import or any((mutant.path, line) in self.at_import for line in lines):
            found.update(self.by_file.get(mutant.path, ()), importing)
            found.update(test for test in self.seconds if test.startswith(folder))
        near = {test for test in found if test.startswith((folder, "tests/golden/")) or test in importing}
        own = {test for test in found if test.startswith(folder) and Path(test.split("::")[0]).name.startswith(name)}
        return [test for tests in (own, near - own, found - near - own) for test in self._fastest(tests, at_most_s)]

    def _fastest(self, tests: Iterable[str], at_most_s: float) -> list[str]:
        if not tests:
            return []
        ordered = sorted(tests, key=lambda test: (self.seconds[test], test))
        taken = list(accumulate(self.seconds[test] for test in ordered))
        return ordered[: max(1, bisect_right(taken, at_most_s))]


def gather(
    root: Path,
    names: list[Path],
    test_files: Iterable[Path],
    cache: Path,
    pool: list[Worker],
    tell: Callable[[str], None],
) -> Tests:
    """Run each test file once under coverage, or take what an earlier run kept of the same tree."""
    shared = [name for name in names if not (name.name.startswith("test_") and name.suffix == ".py")]
    base = tree.digest(root, shared)
    places = {file: cache / f"{base}-{tree.digest(root, [file])}.json" for file in test_files}
    cache.mkdir(parents=True, exist_ok=True)
    missing = [file for file, place in places.items() if not place.exists()]

    def run(worker: Worker, file: Path) -> dict[str, Any]:
        return worker.ask({"gather": True, "files": [str(file)], "limit": GATHER_SECONDS})

    for number, (file, found) in enumerate(each(pool, missing, run), 1):
        if "tests" not in found:
            raise RuntimeError(f"{file} did not end: {found}")
        places[file].write_text(json.dumps(found))
        tell(f"coverage {number}/{len(missing)}  {file}  {found['seconds']:.0f} s")
    tests = Tests()
    for file, place in places.items():
        tests.add(json.loads(place.read_text()), dict.fromkeys(imported((root / file).read_bytes())))
    return tests


def imported(source: bytes) -> Iterator[str]:
    """The paths that the modules which a file imports may have."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield name.replace(".", "/") + ".py"
