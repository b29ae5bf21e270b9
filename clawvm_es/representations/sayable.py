"""Text in a form that UTF-8 can encode: the one place where surrogates are merged or replaced.

LAW-SAYABLE-1: counts and messages use the sayable form of a text, in which a surrogate pair is one character and a
lone surrogate is U+FFFD. A body keeps the text as it came.
"""

from __future__ import annotations

from typing import Any


def sayable(text: str) -> str:
    """The text with surrogate pairs merged and lone surrogates replaced by U+FFFD; idempotent."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_sayable(text: str) -> bool:
    """Tell whether UTF-8 can say a text: it holds no surrogates."""
    return text.isascii() or sayable(text) == text


def sayable_json(value: Any) -> Any:
    """JSON with every text and key `sayable`; of keys that become equal, the last one stays."""
    if isinstance(value, str):
        return sayable(value)
    if isinstance(value, list):
        return [sayable_json(each) for each in value]
    if isinstance(value, dict):
        return {sayable(name): sayable_json(each) for name, each in value.items()}
    return value
