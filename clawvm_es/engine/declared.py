"""A harness's own token counters and builders, checked when they are declared and while they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from clawvm_es.engine import given
from clawvm_es.errors import UsageError
from clawvm_es.logs import Log
from clawvm_es.model.pages import Fidelity, PageType
from clawvm_es.representations.builders import LevelBuilder
from clawvm_es.representations.counter import COUNTERS, TokenCounter
from clawvm_es.representations.counter import counter as counter_named

_log = Log("clawvm_es.builders")
BUILT: Final = (Fidelity.COMPRESSED, Fidelity.STRUCTURED, Fidelity.POINTER)
"""Levels that a builder makes."""
_PROBE: Final = '<page id="p1">\nsome text\n</page>\n'


def counter_of(wanted: str | TokenCounter) -> TokenCounter:
    """A token counter, by its name or as the harness's own object.

    Raises `UsageError` for an unknown name, and for an object that does not fill the `TokenCounter` protocol.
    """
    if isinstance(wanted, str):
        if wanted not in COUNTERS:
            hint = f"use one of {', '.join(COUNTERS)}, or pass your own: an object with name and count(text)"
            raise UsageError(f"unknown token counter {wanted!r}", hint=hint)
        return counter_named(wanted)
    name, count = getattr(wanted, "name", None), getattr(wanted, "count", None)
    if not isinstance(name, str) or not name or not callable(count):
        raise UsageError(
            f"counter: expected a name or a TokenCounter, got {given.shown(wanted)}",
            hint="a counter has a name and count(text) -> int",
        )
    if name in COUNTERS and wanted is not counter_named(name):
        raise UsageError(f"counter: {name!r} is the name of a counter that ships", hint="name yours otherwise")
    given.integer(f"counter {name}: count(text)", count(_PROBE), 0)
    return wanted


def builders_of(wanted: Mapping[PageType | str, LevelBuilder]) -> dict[PageType, LevelBuilder]:
    """Builders by page type. Raises `UsageError` for an unknown type, and for an object that is not a builder."""
    found: dict[PageType, LevelBuilder] = {}
    for page_type, builder in wanted.items():
        name = getattr(builder, "name", None)
        if not isinstance(name, str) or not name or not callable(getattr(builder, "build", None)):
            raise UsageError(
                f"builder of {page_type}: expected a LevelBuilder, got {given.shown(builder)}",
                hint="a builder has a name and build(text, source) -> {level: text}",
            )
        found[given.choice("page type", PageType, page_type)] = _Checked(builder)
    return found


class _Checked:
    """A harness's builder; when it fails, that is logged and the page gets the levels of the fallback."""

    def __init__(self, builder: LevelBuilder) -> None:
        self._builder = builder

    @property
    def name(self) -> str:
        return self._builder.name

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        try:
            found = {Fidelity(level): built for level, built in self._builder.build(text, source).items()}
            if not all(level in BUILT and isinstance(built, str) for level, built in found.items()):
                raise TypeError(f"expected texts for some of {', '.join(BUILT)}, got {', '.join(found)}")
        except Exception as error:  # the harness's code: a page is never lost because its levels could not be built
            _log.warning("a builder failed", builder=self.name, error=f"{type(error).__name__}: {error}")
            raise ValueError(f"builder {self.name} failed") from error
        return found
