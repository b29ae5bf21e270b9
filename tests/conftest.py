"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def traces() -> Path:
    """The folder of recorded sessions; tests that need it are skipped where it is not there."""
    folder = Path(os.environ.get("CLAWVM_TRACES") or ROOT.parent / "shared" / "traces")
    if not folder.is_dir():
        pytest.skip(f"no recorded sessions in {folder} (set CLAWVM_TRACES)")
    return folder
