"""`tools/screens.py`: pictures of the page's scenes; a run takes some, the program all."""

from __future__ import annotations

from pathlib import Path

from tests.browser.conftest import chromium
from tools.screens import take

SCENES = ("session", "erased", "live", "error")


def test_scenes_have_pictures(tmp_path: Path) -> None:
    """No picture is empty or wider than its screen, and no console says a word."""
    chromium()
    assert take(tmp_path, None, only=SCENES, turns=30) == []
    assert {path.name.partition("-")[0] for path in tmp_path.glob("*.png")} == set(SCENES)
