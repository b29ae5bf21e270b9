"""Levels for text that no other builder could work on: head and tail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.extract import compressed_aim, pointer_line, structured_aim


class FallbackBuilder:
    """Two thirds of the aim from the head, one third from the tail, by characters; works on any text."""

    name: Final = "fallback/1"

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels."""
        return {
            Fidelity.COMPRESSED: _ends(text, compressed_aim(text)),
            Fidelity.STRUCTURED: _ends(text, structured_aim(text)),
            Fidelity.POINTER: pointer_line(text, source),
        }


def _ends(text: str, aim: int) -> str:
    if len(text) <= aim:
        return text
    tail = aim // 3
    return f"{text[: aim - tail]}\n[… {len(text) - aim} chars]\n{text[-tail:]}"
