"""Names of stored read models in a journal: what the tables of each edition begin with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from clawvm_es.journal.ports import Edition

LIVE: Final = ""
NEXT: Final = "next_"
PREFIXES: Final[Mapping[Edition, str]] = MappingProxyType({Edition.LIVE: LIVE, Edition.NEXT: NEXT})
