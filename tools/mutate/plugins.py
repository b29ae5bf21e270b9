"""What pytest is given in a fork: one plugin gathers which lines each test runs, the other runs chosen tests."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import coverage
import pytest


class Chooser:
    """Runs the chosen tests and no others, in the order in which they are given; tells the first that fails."""

    def __init__(self, tests: list[str]) -> None:
        self.rank = {test: place for place, test in enumerate(tests)}
        self.by: str | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what was chosen."""
        items[:] = sorted((item for item in items if item.nodeid in self.rank), key=lambda i: self.rank[i.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the first failure."""
        if report.failed and self.by is None:
            self.by = report.nodeid

    def found(self) -> dict[str, Any]:
        """The first test that failed."""
        return {"by": self.by}


class Gatherer:
    """Runs all tests of a file and notes, test by test, which lines of the package they run, and for how long.

    Seconds are those of the processor, of ended child processes too: what else the machine does changes no choice.
    What a fixture runs that several tests share counts for each of them.
    """

    def __init__(self, copy: Path) -> None:
        self.copy = copy
        self.coverage = coverage.Coverage(data_file=None, include=[f"{copy}/clawvm_es/*"], config_file=False)
        self.coverage.start()
        self.context = ""
        self.seconds: dict[str, float] = {}
        self.bad: dict[str, None] = {}
        self.skipped: dict[str, None] = {}
        self.fixtures: dict[str, list[str]] = {}

    @contextmanager
    def _within(self, context: str) -> Iterator[None]:
        before, self.context = self.context, context
        self.coverage.switch_context(context)
        try:
            yield
        finally:
            self.context = before
            self.coverage.switch_context(before)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Generator[None, object, object]:
        """Note what a test runs, and what it uses that outlives it."""
        used = (fixtures[-1] for fixtures in item._fixtureinfo.name2fixturedefs.values())
        self.fixtures[item.nodeid] = [_shared(fixture) for fixture in used if fixture.scope != "function"]
        before = sum(os.times()[:4])
        try:
            with self._within(item.nodeid):
                return (yield)
        finally:
            self.seconds[item.nodeid] = sum(os.times()[:4]) - before

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, object, object]:
        """Keep apart what a shared fixture runs."""
        with self._within(self.context if fixturedef.scope == "function" else _shared(fixturedef)):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set aside what does not pass without a mutation."""
        if report.failed:
            self.bad[report.nodeid] = None
        elif report.skipped:
            self.skipped[report.nodeid] = None

    def found(self) -> dict[str, Any]:
        """The tests that pass, with their seconds and lines of each file; those that do not; the lines of no test."""
        self.coverage.stop()
        data = self.coverage.get_data()
        found: dict[str, dict[str, list[int]]] = {}
        for file in data.measured_files():
            path = str(Path(file).relative_to(self.copy))
            for line, contexts in data.contexts_by_lineno(file).items():
                for context in contexts:
                    found.setdefault(context, {}).setdefault(path, []).append(line)
        tests = {
            test: {
                "seconds": round(seconds, 4),
                "lines": _joined([found.get(context, {}) for context in (test, *self.fixtures.get(test, ()))]),
            }
            for test, seconds in self.seconds.items()
            if test not in self.bad and test not in self.skipped
        }
        return {"tests": tests, "bad": list(self.bad), "imported": found.get("", {})}


def _shared(fixture: Any) -> str:
    return f"fixture {fixture.baseid} {fixture.argname}"


def _joined(parts: list[dict[str, list[int]]]) -> dict[str, list[int]]:
    lines: dict[str, set[int]] = {}
    for part in parts:
        for path, found in part.items():
            lines.setdefault(path, set()).update(found)
    return {path: sorted(found) for path, found in sorted(lines.items())}
