"""`CLAWVM_REQUIRE`: where something must be there, a test that is skipped for want of it is a failure."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

TEST = "tests/importers/test_real_counts.py"


@pytest.mark.parametrize(("required", "code"), [("", 0), ("zstd, recorded sessions", 1), ("zstd", 0)])
def test_a_skip_for_want_of_what_is_required_fails(tmp_path, required, code):
    """Only a reason that names something in the list fails, and the failure says what was wanted."""
    environment = {**os.environ, "CLAWVM_REQUIRE": required, "CLAWVM_TRACES": str(tmp_path / "none")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-x", TEST]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == code, done.stdout
    assert ("CLAWVM_REQUIRE is zstd, recorded sessions, but it was skipped" in done.stdout) is bool(code)
