"""Runs the contract without a test session of its own, and tells what failed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from clawvm_es.testing.logs import EventLogContract, Place, opened

TESTS = tuple(name for name, _ in inspect.getmembers(EventLogContract, inspect.isfunction) if name[:5] == "test_")


def failures(make: Callable[[Path], Place], folder: Path, names: Iterable[str] = TESTS) -> dict[str, BaseException]:
    """Test → what it raised, for those that fail, each on a place of its own; one that is skipped did not fail."""
    found: dict[str, BaseException] = {}
    for name in names:
        (folder / name).mkdir()
        place = make(folder / name / "journal.db")
        try:
            _run(name, place)
        except pytest.skip.Exception:
            continue
        except (Exception, pytest.fail.Exception) as error:
            found[name] = error
    return found


def _run(name: str, place: Place) -> None:
    test = getattr(EventLogContract(), name)
    if "log" in inspect.signature(test).parameters:
        with opened(place) as log:
            test(log)
    else:
        test(place)
