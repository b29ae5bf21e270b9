"""`CLAWVM_REQUIRE`: where something must be there, a test that is skipped for want of it is a failure."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT, pytest_runtest_makereport

TEST = "tests/importers/test_real_counts.py"


def test_a_run_that_lacks_what_is_required_fails(tmp_path):
    """The run ends with a failure, which says what was wanted."""
    required = {"CLAWVM_REQUIRE": "zstd, recorded sessions", "CLAWVM_TRACES": str(tmp_path / "none")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-x", TEST]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | required, cwd=ROOT, check=False)
    assert done.returncode == 1, done.stdout
    assert "CLAWVM_REQUIRE is zstd, recorded sessions, but it was skipped" in done.stdout


@pytest.mark.parametrize(
    ("required", "outcome"),
    [("", "skipped"), ("zstd, recorded sessions", "failed"), ("recorded sessions,", "failed"), ("zstd", "skipped")],
)
def test_a_skip_for_want_of_what_is_required_fails(monkeypatch, required, outcome):
    """Only a reason that names something in the list fails."""
    monkeypatch.setenv("CLAWVM_REQUIRE", required)
    reason = ("tests/conftest.py", 30, "Skipped: no recorded sessions in traces (set CLAWVM_TRACES)")
    report = SimpleNamespace(skipped=True, outcome="skipped", longrepr=reason)
    judging = pytest_runtest_makereport(SimpleNamespace(nodeid="one"))
    next(judging)
    with pytest.raises(StopIteration) as judged:
        judging.send(report)
    assert judged.value.value is report and report.outcome == outcome
