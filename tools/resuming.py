"""Runs over a range of seeds or parts that go on where a file says: the range, and the file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def span(text: str) -> tuple[int, int]:
    """The range that FIRST:END means, for argparse."""
    first, _, end = text.partition(":")
    if not (first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{text!r} is no range; expected FIRST:END, such as 0:100")
    return int(first), int(end)


def resumed(state: Path | None, fresh: dict[str, int]) -> dict[str, int]:
    """State that an earlier run left; `fresh` where there is none."""
    if state is None or not state.exists():
        return fresh
    found: dict[str, int] = json.loads(state.read_text())
    return found


def save(state: Path | None, told: dict[str, int]) -> None:
    """Leave the state of a run for the next one, where a file was named."""
    if state is not None:
        state.write_text(json.dumps(told))
