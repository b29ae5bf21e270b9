"""Values of the durable store: what updates add up to, and the facts that the edge finds out about a new one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es import limits
from clawvm_es.model.facts import Op, SchemaVerdict

Validator: TypeAlias = Callable[[str, Any], bool]
"""(field, value) → whether the validator agrees."""

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "any": (object,),
    "object": (dict,),
    "array": (list, tuple),
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
}


@attrs.frozen
class FieldSchema:
    """A declared field: the JSON kind of its values and their size.

    Kinds are `any, object, array, string, number, boolean`.
    """

    kind: str = "any"
    max_bytes: int = limits.VALUE_BYTES_MAX

    def verdict(self, value: Any, size_bytes: int) -> SchemaVerdict:
        """Whether a value has the right type and size."""
        wrong = self.kind == "number" and isinstance(value, bool)
        if wrong or not isinstance(value, _KINDS[self.kind]):
            return SchemaVerdict.WRONG_TYPE
        return SchemaVerdict.TOO_LARGE if size_bytes > self.max_bytes else SchemaVerdict.OK


def value_bytes(value: Any) -> bytes:
    """A value as the bytes of its body: JSON, keys sorted."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def fold_values(changes: Iterable[tuple[Op, bytes | None]]) -> Any:
    """What the committed changes of one field add up to, in order; erased values count as null.

    `set_with_version` replaces, `append` adds to a list, `merge` adds keys to an object.
    """
    current: Any = None
    for op, body in changes:
        value = None if body is None else json.loads(body)
        if op is Op.SET_WITH_VERSION:
            current = value
        elif op is Op.APPEND:
            current = [*(current if isinstance(current, list) else []), value]
        elif isinstance(value, dict):
            current = {**(current if isinstance(current, dict) else {}), **value}
    return current


def merge_facts(current: Any, value: Any) -> tuple[int, int]:
    """How many keys a merge of `value` into `current` adds and changes."""
    if not isinstance(value, dict):
        return 0, 0
    old = current if isinstance(current, dict) else {}
    added = sum(key not in old for key in value)
    changed = sum(key in old and old[key] != found for key, found in value.items())
    return added, changed
