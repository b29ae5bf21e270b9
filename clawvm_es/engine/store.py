"""Values of the durable store: the fold of updates, and the facts of a new one, found at the edge.

LAW-STORE-1: two values are the same if their canonical bytes are. In Python `0 == False` and `1 == 1.0`; here they
are different values, and a merge that changes one into the other changes the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import attrs

from clawvm_es import limits
from clawvm_es.core.writeback import OVERWRITES
from clawvm_es.errors import UsageError
from clawvm_es.model.facts import Op, SchemaVerdict


class Validator(Protocol):
    """Judges an update of the durable store; all validators of an update run concurrently, and all must agree."""

    def __call__(self, field: str, value: Any, /) -> bool:
        """Tell whether a field may take a value; for a page written back, the arguments are its type and its text.

        An exception counts as a no, and is recorded.
        """
        ...


@attrs.frozen
class Asked:
    """An update, as a judge sees it.

    `evidence` is the text that supports it (empty if it names none), `age_s` the seconds since that text was
    recorded, `committed` the values of the same store, by field.
    """

    field: str
    value: Any
    evidence: str = ""
    age_s: int = 0
    committed: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Judged:
    """Judgement of an update: its `factors` are recorded as facts; `said` is shown with a refusal."""

    agrees: bool
    factors: Mapping[str, int] = attrs.field(factory=dict)
    said: str = ""


class Judge(Protocol):
    """A validator that receives the evidence of an update, and returns the factors it weighed."""

    def judge(self, asked: Asked, /) -> Judged:
        """Judge an update; an exception counts as a no, and is recorded."""
        ...


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

    def verdict(self, op: Op, value: Any, size_bytes: int) -> SchemaVerdict:
        """Tell whether an update has the right type and size: appends need a list, merges an object.

        A delete has no value.
        """
        if op is Op.DELETE:
            fits = value is None
        elif op is Op.APPEND:
            fits = self.kind in ("any", "array")
        elif op is Op.MERGE:
            fits = self.kind in ("any", "object") and isinstance(value, dict)
        else:
            fits = isinstance(value, _KINDS[self.kind]) and not (self.kind == "number" and isinstance(value, bool))
        if not fits:
            return SchemaVerdict.WRONG_TYPE
        return SchemaVerdict.TOO_LARGE if size_bytes > self.max_bytes else SchemaVerdict.OK


def value_bytes(value: Any) -> bytes:
    """A value as the bytes of its body: JSON with sorted keys. Raises `UsageError` for values JSON cannot hold."""
    try:
        return _canonical(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"a value of the store must be JSON: {error}",
            hint="use None, booleans, finite numbers, strings, lists, and dicts with string keys",
        ) from error


def _canonical(value: Any, allow_nan: bool = True) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=allow_nan)
    return text.encode()


def fold_values(changes: Iterable[tuple[Op, bytes | None]]) -> Any:
    """Return the value that the committed changes of one field add up to, in order; erased values count as null.

    `set_with_version` and `replace` set the value, `delete` sets it to null, `append` adds to a list, `merge` adds
    keys to an object.
    """
    current: Any = None
    for op, body in changes:
        value = None if body is None else json.loads(body)
        if op in OVERWRITES:
            current = None if op is Op.DELETE else value
        elif op is Op.APPEND:
            current = [*(current if isinstance(current, list) else []), value]
        elif isinstance(value, dict):
            current = {**(current if isinstance(current, dict) else {}), **value}
    return current


def overwritten(op: Op, current: Any, value: Any) -> tuple[int, int]:
    """Return how many keys an update adds to `current`, and how many it changes or overwrites."""
    if op in OVERWRITES or current is None:
        return (len(value), 0) if op is Op.MERGE and isinstance(value, dict) else (0, 0)
    if op is Op.APPEND:
        return 0, 0 if isinstance(current, list) else 1
    if not isinstance(current, dict) or not isinstance(value, dict):
        return 0, 1
    added = sum(key not in current for key in value)
    changed = sum(key in current and _canonical(current[key]) != _canonical(found) for key, found in value.items())
    return added, changed
