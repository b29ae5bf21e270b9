"""The report as canonical JSON: keys sorted, ASCII, one line a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def render(document: Mapping[str, Any]) -> str:
    """A document as text; the same document gives the same bytes."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, indent=1, allow_nan=False)
    return text.replace("\x7f", "\\u007f") + "\n"
