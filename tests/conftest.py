"""What all tests share."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True, max_examples=50)
settings.register_profile("nightly", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session")
def traces() -> Path:
    """The folder of recorded sessions; tests that need it are skipped where it is not there."""
    folder = Path(os.environ.get("CLAWVM_TRACES") or ROOT.parent / "shared" / "traces")
    if not folder.is_dir():
        pytest.skip(f"no recorded sessions in {folder} (set CLAWVM_TRACES)")
    return folder


def pytest_configure(config: pytest.Config) -> None:
    """Run the hypothesis profile `nightly` with `-m nightly`."""
    if "nightly" in (config.option.markexpr or ""):
        settings.load_profile("nightly")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that is skipped for a reason that names something in `CLAWVM_REQUIRE` (words between commas)."""
    report = yield
    required = [word.strip() for word in os.environ.get("CLAWVM_REQUIRE", "").split(",") if word.strip()]
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if any(word in reason for word in required):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: CLAWVM_REQUIRE is {', '.join(required)}, but it was skipped: {reason}"
    return report


SWEEPS: Final = 2
"""Sweeps without cases of their own that a run takes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark sweeps `nightly` too, and keep a sample of them, chosen by the commit, unless all are asked for.

    Of a sweep with `sample=N` N cases are kept, or N of all sweeps `of` the same name; of all the others `SWEEPS`.
    All run with `-m nightly` and with `-k`.
    """
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        if mark := item.get_closest_marker("sweep"):
            item.add_marker(pytest.mark.nightly)
            alone = item.nodeid.partition("[")[0] if mark.kwargs else ""
            groups.setdefault(mark.kwargs.get("of", alone), []).append(item)
    if "nightly" in (config.option.markexpr or "") or config.option.keyword:
        return
    left_out: set[pytest.Item] = set()
    for group in groups.values():
        mark = group[0].get_closest_marker("sweep")
        assert mark is not None
        left_out.update(sorted(group, key=_by_commit)[mark.kwargs.get("sample", SWEEPS) :])
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


def _by_commit(item: pytest.Item) -> bytes:
    """An order of tests that is another one for each commit, and the same for all processes of a run."""
    return hashlib.sha256(f"{_commit()} {item.nodeid}".encode()).digest()


@cache
def _commit() -> str:
    """The commit that is checked out; empty where there is none."""
    git = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


@pytest.fixture(scope="session")
def cases(traces: Path) -> Path:
    """The folder of small inputs with their right values, beside the recorded sessions."""
    folder = traces.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no cases in {folder}")
    return folder
