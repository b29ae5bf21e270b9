"""What `diff` prints of two runs: where they part first, how often they differ in what, and the next differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from clawvm_es.engine.values import Change
    from clawvm_es.history.compare import At, Comparison, Divergence

TEXT_CHARS: Final = 2_000
"""How much of a text a document holds of each side."""


def compared_lines(runs: Comparison, limit: int, ends: Iterable[str]) -> Iterator[str]:
    """A comparison for people: the first difference, the next ones, counts, how the ends differ, and the verdict."""
    from clawvm_es.cli.output import bad, good, style, table

    if runs.settings:
        yield "settings  " + "; ".join(f"{each.name} {each.a} → {each.b}" for each in runs.settings)
    if runs.first is not None:
        yield ""
        yield style("first difference", bold=True)
        yield f"  {runs.first}"
        later = runs.divergences[1 : limit + 1]
        if later:
            yield style("then", bold=True)
            yield from (f"  {each}" for each in later)
        if more := len(runs.divergences) - 1 - len(later):
            yield f"  … and {more} more (-n {len(runs.divergences)} lists them)"
        yield ""
        hows = ("changed", "only_a", "only_b")
        cells = [
            (kind, *(counted.get(how, 0) for how in hows), runs.firsts[kind].place)
            for kind, counted in runs.counts.items()
        ]
        yield from table(cells, ("kind", "changed", "only in a", "only in b", "first"))
    if runs.erased:
        yield f"! {runs.erased} texts are erased in both runs: nobody can tell whether they differed"
    at_ends = list(ends)
    yield from at_ends
    alike = "the same was said, called, returned and decided"
    if runs.first is not None:
        yield f"{bad('✗')} {len(runs.divergences)} events differ, first at {runs.first}"
    elif runs.settings or at_ends:
        yield f"{bad('✗')} {alike}; {'settings' if runs.settings else 'the ends'} differ"
    else:
        yield f"{good('✓')} nothing differs: {alike}"


def compared_document(runs: Comparison, limit: int) -> dict[str, Any]:
    """A comparison as a JSON object; beside the first difference at most `limit` are listed."""
    return {
        "same": runs.same,
        "settings": [{"name": each.name, "a": each.a, "b": each.b} for each in runs.settings],
        "first": None if runs.first is None else _divergence(runs.first),
        "firsts": {kind: _divergence(each) for kind, each in runs.firsts.items()},
        "counts": {kind: dict(counted) for kind, counted in runs.counts.items()},
        "differences": len(runs.divergences),
        "listed": [_divergence(each) for each in runs.divergences[: limit + 1]],
        "erased_in_both": runs.erased,
    }


def _divergence(each: Divergence) -> dict[str, Any]:
    return {
        "text": str(each),
        "kind": each.kind,
        "type": each.type,
        "who": each.who,
        "how": each.how,
        "a": _at(each.a),
        "b": _at(each.b),
        "changes": [_change(change) for change in each.changes],
    }


def _at(at: At | None) -> dict[str, int] | None:
    return None if at is None else {"version": at.version, "turn": at.turn}


def _change(change: Change) -> dict[str, Any]:
    """A field that differs: values as JSON (long texts cut; null where a side has none), and as they are shown."""
    a, b = (_value(value) for value in (change.was, change.now))
    return {"path": change.path, "line": change.line, "a": a, "b": b, "shown": list(change.shown)}


def _value(value: Any) -> Any:
    from clawvm_es.engine.values import NOTHING, Mark

    if isinstance(value, Mark):
        return None if value is NOTHING else value.word
    return value[:TEXT_CHARS] if isinstance(value, str) else value
