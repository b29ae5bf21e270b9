"""Merge the rows of one answer into its blocks, each once, although rows repeat or extend earlier ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import attrs

from clawvm_es.observe.steps import Usage


@attrs.frozen
class Use:
    """A tool call in a row; `call_id` is the harness's own. An `unsent` call is in no later prompt."""

    call_id: str
    name: str
    arguments: Mapping[str, object]
    cwd: str = ""
    unsent: bool = False


CallKey: TypeAlias = tuple[str, str]
"""Id and name of a call, by which it is known when a row tells it anew."""


@attrs.define
class Blocks:
    """The blocks of an answer that already are in steps; calls are kept by key, since arguments may be long."""

    texts: list[str] = attrs.field(factory=list)
    thinking: list[str] = attrs.field(factory=list)
    calls: list[CallKey] = attrs.field(factory=list)

    def add(self, texts: Sequence[str], thinking: Sequence[str], uses: Sequence[Use]) -> None:
        """Note more blocks."""
        self.texts.extend(texts)
        self.thinking.extend(thinking)
        self.calls.extend((use.call_id, use.name) for use in uses if use.call_id)


def merge_texts(known: list[str], row: Sequence[str], said: Sequence[str] = ()) -> None:
    """Add the texts of a row to `known`; a text that extends an earlier one replaces it.

    If a text extends one in `said`, only the rest is new. Each earlier text is compared with at most one text of the
    row, so that a row may hold the same text twice.
    """
    before, done = list(range(len(known))), list(range(len(said)))
    for text in row:
        if not text.strip():
            continue
        place = next((k for k in before if text.startswith(known[k]) or known[k].startswith(text)), None)
        told = next((k for k in done if text.startswith(said[k]) or said[k].startswith(text)), None)
        if place is not None:
            before.remove(place)
            known[place] = max(known[place], text, key=len)
        elif told is not None:
            done.remove(told)
            if rest := text[len(said[told]) :]:
                known.append(rest)
        else:
            known.append(text)


def merge_uses(known: list[Use], row: Sequence[Use], said: Sequence[CallKey] = ()) -> None:
    """Add the calls of a row to `known`; a call with an earlier row's id replaces that one."""
    before = {(use.call_id, use.name): place for place, use in enumerate(known) if use.call_id}
    done = set(said)
    for use in row:
        key = (use.call_id, use.name)
        if key in before:
            known[before.pop(key)] = use
        elif key not in done:
            known.append(use)


def most(one: Usage, other: Usage) -> Usage:
    """The usage of an answer from several rows: the larger of each count."""
    return Usage(*map(max, attrs.astuple(one), attrs.astuple(other)))
