"""The protocol of builders, which make the levels below full out of one page's text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from clawvm_es.model.pages import Fidelity


class LevelBuilder(Protocol):
    """Deterministic, offline and extractive: every level consists of verbatim pieces of the text.

    `build` takes at most `limits.BUILD_CHARS` characters and costs time linear in them.
    """

    @property
    def name(self) -> str:
        """Builder and version, like ``json/2``; a changed output is a new version."""
        ...

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """Candidate texts for some of compressed, structured and pointer.

        May raise ValueError, RecursionError or an error of the builder's library; then `fallback/1` steps in.
        """
        ...
