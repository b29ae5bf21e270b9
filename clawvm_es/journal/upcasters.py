"""Upcasters: what turns the data of an older schema version into the next one, on read, one event to one event.

An upcaster is a pure function from the decoded JSON object of (type, version) to that of (type, version + 1).
Stored bytes and hashes are never rewritten. A published schema version never changes; a changed meaning gets a
new version and an upcaster here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
Upcasters: TypeAlias = Mapping[tuple[str, int], Upcaster]

UPCASTERS: Final[Upcasters] = MappingProxyType({})
"""(event type, schema version) → the step to the next version. Empty: all events are at their first version."""
UPCASTERS_VERSION: Final = 1
"""Raise it when a step is added or mended: snapshots of states that were folded through others are not used."""


def upcast(
    type_: str, schema_version: int, data: dict[str, Any], target: int, upcasters: Upcasters
) -> dict[str, Any]:
    """Bring `data` from `schema_version` to `target`, step by step; raises KeyError where a step is missing."""
    for version in range(schema_version, target):
        data = upcasters[type_, version](data)
    return data
