"""Cost of requests that follow each other, as messages of OpenAI's shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from clawvm_es.representations.counter import counter
from clawvm_es.representations.messages import Shape, pieces
from clawvm_es.representations.messages.framing import count
from tests.conftest import ROOT

COUNTER = counter("lines4")


@attrs.frozen
class Spent:
    """Cost of requests that follow each other: a tenth for what the one before began with, 1.25 for the rest."""

    paid: int
    share: int
    most: int


def spent(sent: Iterable[list[dict[str, Any]]]) -> Spent:
    """The cost in tokens, the percentage that is a prefix of the request before, and the largest request."""
    sizes: dict[bytes, int] = {}
    before: list[bytes] = []
    same = whole = most = 0
    for messages in sent:
        now = pieces(messages)
        for piece, message in zip(now, messages, strict=True):
            if piece not in sizes:
                sizes[piece] = count([message], Shape.OPENAI, COUNTER)
        common = next((n for n, (a, b) in enumerate(zip(now, before, strict=False)) if a != b), None)
        common = min(len(now), len(before)) if common is None else common
        tokens = sum(sizes[piece] for piece in now)
        same, whole = same + sum(sizes[piece] for piece in now[:common]), whole + tokens
        before, most = now, max(most, tokens)
    return Spent((same + 12 * (whole - same)) // 10, same * 100 // whole, most)


def check_readme(told: str) -> None:
    """Fail unless the README says this of a measurement, wherever it breaks its lines."""
    assert told in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()), told
