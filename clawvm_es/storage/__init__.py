"""Where journals are kept: each package fills the ports of `journal.ports`, and nothing else knows SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clawvm_es.journal.caches import RankedTexts


def ranked_texts() -> RankedTexts:
    """Make an empty full-text index in memory, ranked by BM25."""
    from clawvm_es.storage.sqlite.text_index import Ranked

    return Ranked()
