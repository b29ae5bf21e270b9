"""The two places of stored read models in a journal: what their names begin with."""

from __future__ import annotations

from typing import Final

LIVE: Final = ""
"""The tables that people query."""
NEXT: Final = "next_"
"""The tables of a rebuild under way."""
PLACES: Final = (LIVE, NEXT)
