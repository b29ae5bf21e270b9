"""Text as UTF-8 can say it: the one place where surrogates are merged or replaced.

LAW-SAYABLE-1: a text counts as its sayable form does, and that form is what messages send. A body keeps the text as
it came; a surrogate pair in it is one character, a lone surrogate U+FFFD, as soon as it is counted or sent.
"""

from __future__ import annotations

from typing import Any


def sayable(text: str) -> str:
    """The text with surrogate pairs merged and lone surrogates replaced by U+FFFD; idempotent."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def sayable_json(value: Any) -> Any:
    """JSON with every text and every key `sayable`; of keys that become the same the last one stays."""
    if isinstance(value, str):
        return sayable(value)
    if isinstance(value, list):
        return [sayable_json(each) for each in value]
    if isinstance(value, dict):
        return {sayable(name): sayable_json(each) for name, each in value.items()}
    return value
