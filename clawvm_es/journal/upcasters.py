"""Upcasters: convert the data of an older schema version to the next, on read, one event to one event.

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


def _as_it_is(data: dict[str, Any]) -> dict[str, Any]:
    """Leave the data unchanged: the next version only added values, or fields whose defaults mean the same."""
    return data


def _scored(data: dict[str, Any]) -> dict[str, Any]:
    """Convert older policies, which had scoring without naming it, no thresholds, and no weights by content."""
    profile = data.get("profile")
    if not isinstance(profile, dict):
        return data
    if not isinstance(profile.get("capabilities"), list) or not isinstance(profile.get("weights", {}), dict):
        return data  # a fork under its parent's policy, or no data of this type, which decoding says better
    thresholds = {"flush_permille": 0, "compact_permille": 0, "summary_permille": 0}
    new = ("holds_record", "holds_result", "holds_said", "holds_told", "holds_stated", "reuse")
    weights = {**profile.get("weights", {}), **dict.fromkeys(new, 0)}
    capabilities = [*profile["capabilities"], "scoring"]
    return {**data, "profile": {**profile, **thresholds, "weights": weights, "capabilities": capabilities}}


def _paged_by_turn(data: dict[str, Any]) -> dict[str, Any]:
    """Convert older policies, which selected at every turn."""
    profile = data.get("profile")
    if not isinstance(profile, dict):
        return data
    unused = ("low_permille", "cold_low_permille", "rent_permille", "read_price", "write_price", "ttl_s")
    return {**data, "profile": {**profile, "paging": "turn", **dict.fromkeys(unused, 0)}}


UPCASTERS: Final[Upcasters] = MappingProxyType(
    {
        ("session_opened", 1): _scored,
        ("session_opened", 2): _as_it_is,
        ("session_opened", 3): _paged_by_turn,
        ("session_opened", 4): _as_it_is,
        ("session_opened", 5): _as_it_is,
        ("session_opened", 6): _as_it_is,
        ("session_opened", 7): _as_it_is,
        ("session_forked", 1): _as_it_is,
        ("session_forked", 2): _scored,
        ("session_forked", 3): _paged_by_turn,
        ("session_forked", 4): _as_it_is,
        ("session_forked", 5): _as_it_is,
        ("session_forked", 6): _as_it_is,
        ("session_forked", 7): _as_it_is,
        ("settings_adopted", 1): _paged_by_turn,
        ("settings_adopted", 2): _as_it_is,
        ("settings_adopted", 3): _as_it_is,
        ("settings_adopted", 4): _as_it_is,
        ("settings_adopted", 5): _as_it_is,
        ("turn_began", 1): _as_it_is,
        ("page_written", 1): _as_it_is,
        ("page_written", 2): _as_it_is,
        ("tool_called", 1): _as_it_is,
        ("tool_called", 2): _as_it_is,
        ("tool_returned", 1): _as_it_is,
        ("model_responded", 1): _as_it_is,
        ("model_responded", 2): _as_it_is,
        ("recall_answered", 1): _as_it_is,
        ("update_staged", 1): _as_it_is,
        ("update_staged", 2): _as_it_is,
        ("boundary_reached", 1): _as_it_is,
        ("boundary_reached", 2): _as_it_is,
        ("boundary_reached", 3): _as_it_is,
        ("scope_synced", 1): _as_it_is,
        ("scope_changed", 1): _as_it_is,
        ("update_committed", 1): _as_it_is,
        ("prompt_assembled", 1): _as_it_is,
    }
)
"""(event type, schema version) → the step to the next version."""
UPCASTERS_VERSION: Final = 11
"""Raise it when a step is added or mended: snapshots of states that were folded through others are not used."""


def reads_as_it_is(type_: str, schema_version: int, target: int) -> bool:
    """Tell whether data of an older version is valid for the `target` version without a change."""
    return all(UPCASTERS.get((type_, step)) is _as_it_is for step in range(schema_version, target))


def upcast(
    type_: str, schema_version: int, data: dict[str, Any], target: int, upcasters: Upcasters
) -> dict[str, Any]:
    """Convert `data` from `schema_version` to `target`, step by step; raises KeyError if a step is missing."""
    for version in range(schema_version, target):
        data = upcasters[type_, version](data)
    return data
