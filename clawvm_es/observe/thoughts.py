"""Models whose provider drops what they thought once the user speaks again.

Anthropic's API ignores thoughts of earlier exchanges for Opus before 4.5, Sonnet before 4.6 and all Haiku up to 4.5;
later models see them again. Of models of other providers nothing is known, so that their thoughts stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

KEPT_SINCE: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"opus": (4, 5), "sonnet": (4, 6), "haiku": (4, 6)}
)
"""Family of Claude → first version whose thoughts stay."""
_VERSION: Final = r"(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?"
_NEW: Final = re.compile(rf"claude-([a-z]+)-{_VERSION}")
_OLD: Final = re.compile(rf"claude-{_VERSION}-([a-z]+)")


def pass_away(model: str) -> bool:
    """Tell whether the provider of a model drops its thoughts once the user speaks again."""
    if found := _NEW.search(model):
        family, version = found[1], (int(found[2]), int(found[3] or 0))
    elif found := _OLD.search(model):
        family, version = found[3], (int(found[1]), int(found[2] or 0))
    else:
        return False
    return version < KEPT_SINCE.get(family, (0, 0))
