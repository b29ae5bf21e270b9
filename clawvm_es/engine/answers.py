"""Answers of the model, as a harness reports them: whole, or piece by piece under one key.

| reported again under its key | recorded |
|---|---|
| the same, or less (an earlier piece that came late) | nothing |
| a longer text, further calls | new content of the text's page, and the further calls |
| more usage, a finish reason, longer thoughts, another native form | a `model_responded` with the rest |
| a text, call, model, … that contradicts the record | nothing: `IdempotencyConflict` |
| anything more, after the next answer began | nothing: `IdempotencyConflict` |

LAW-ANSWER-1: an answer reported in pieces leaves the same pages, calls, sums of usage, last thoughts and last
native form as one reported whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es.core.state import State
from clawvm_es.engine.calls import same_arguments, use_of
from clawvm_es.engine.hooks import Call
from clawvm_es.engine.observed import Observed
from clawvm_es.engine.shell import Shell
from clawvm_es.errors import IdempotencyConflict
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import Finish, Need
from clawvm_es.model.pages import Author, PageType
from clawvm_es.observe.steps import ModelMessage, Usage

COUNTS: Final = ("input_tokens", "cached_tokens", "written_tokens", "output_tokens", "thinking_tokens")
"""Counts of an answer; the last two grow while it is written."""
GROWING: Final = COUNTS[3:]


@attrs.frozen
class Told:
    """An answer as a hook receives it; `native` is JSON text."""

    text: str
    calls: tuple[Call, ...]
    needs: tuple[Need, ...]
    usage: Usage
    thinking: str
    model: str
    provider: str
    finish: Finish | None
    native: str


@attrs.define
class Recorded:
    """The answer that the log holds under a key, as far as it was read; `ended` once the next one began."""

    group: int
    version: int
    text: str = ""
    page_id: str | None = None
    calls: list[e.ToolCalled] = attrs.field(factory=list)
    needs: tuple[Need, ...] = ()
    counts: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(COUNTS, 0))
    thinking: str = ""
    model: int | None = None
    provider: str = ""
    finish: Finish | None = None
    native: str = ""
    ended: bool = False


class Answers:
    """Answers of one session: builds the inputs for their new parts."""

    def __init__(self, shell: Shell, observed: Observed) -> None:
        self._shell = shell
        self._observed = observed
        self._said: tuple[str | None, str, str] = (None, "", "")  # key, text and thoughts that were told last

    def inputs(
        self, state: State, told: Told, key: str | None
    ) -> tuple[list[tuple[e.Input, str | None]], tuple[int, ...]]:
        """The inputs that record an answer, each with its key, and the numbers of its calls recorded before.

        Raises `IdempotencyConflict` if the key belongs to another answer.
        """
        found = None if key is None else self.recorded(state, key)
        if found is not None:
            assert key is not None
            more = self._more(state, told, found, key)
            self._say(key, told)
            return more, tuple(call.call for call in found.calls[: len(told.calls)])
        self._say(key, told)
        observer = self._observed.at(state)
        inputs = observer.answer(self._step(state, told, told.calls))
        responded = inputs[0]
        assert isinstance(responded, e.ModelResponded)
        inputs[0] = replace(responded, needs=told.needs)
        return _keyed(inputs, key, 0), ()

    def _step(self, state: State, told: Told, calls: Sequence[Call]) -> ModelMessage:
        first = len(state.calls) + 1
        return ModelMessage(
            texts=(told.text,) if told.text else (),
            calls=tuple(use_of(first + place, call) for place, call in enumerate(calls)),
            usage=told.usage,
            thinking=(told.thinking,) if told.thinking else (),
            model=told.model,
            provider=told.provider,
            finish=told.finish,
            native=told.native,
        )

    def _say(self, key: str | None, told: Told) -> None:
        """Keep the text and thoughts told last under a key; those that a piece leaves out are the ones before."""
        text, thinking = self._said[1:] if self._said[0] == key else ("", "")
        self._said = key, told.text or text, told.thinking or thinking

    # ----------------------------------------------------------------------------------- what is recorded

    def recorded(self, state: State, key: str) -> Recorded | None:
        """The answer under a key; None if this state has none, or its log is too old to name groups."""
        first = next(iter(self._shell.log.find(self._shell.session_id, key)), None)
        if first is None or first.version > state.version:
            return None
        if not isinstance(first.data, e.ModelResponded) or first.data.group is None:
            return None
        found = Recorded(first.data.group, first.version)
        for row in read_session(self._shell.log, self._shell.session_id, first.version - 1, state.version):
            if not self._read(found, row.data):
                break
        return found

    def _read(self, found: Recorded, data: e.Event) -> bool:
        """Read one event; tells whether later events may belong to the answer too."""
        open_ = self._shell.edge.open
        if isinstance(data, e.ModelResponded):
            if data.group != found.group:
                found.ended = True
                return False
            for name in COUNTS:
                found.counts[name] += getattr(data, name)
            found.needs += data.needs
            found.model = found.model or data.model
            found.provider = found.provider or open_(data.provider) or ""
            found.finish = found.finish or data.finish
            found.thinking = open_(data.thinking) or found.thinking
            found.native = open_(data.native) or found.native
        elif isinstance(data, e.ToolCalled) and data.group == found.group:
            found.calls.append(data)
        elif isinstance(data, e.PageWritten) and _is_text_of(data, found.group):
            found.page_id, found.text = data.page_id, open_(data.levels[0].body) or ""
        return True

    # ------------------------------------------------------------------------------------- what is new

    def _more(self, state: State, told: Told, found: Recorded, key: str) -> list[tuple[e.Input, str | None]]:
        """The inputs for the parts of an answer that are not yet recorded under its key."""
        self._check(told, found, key)
        observer = self._observed.at(state)
        grown = self._grows(told.text, found.text)
        calls = told.calls[len(found.calls) :]
        rest = _rest(told, found, self._grows(told.thinking, found.thinking), self._shell.edge.clean)
        if not (grown or calls or rest):
            return []
        if found.ended:
            raise self._conflict(key, found, "that answer has ended, another one followed")
        step = self._step(state, attrs.evolve(told, text=told.text if grown else ""), calls)
        inputs = observer.answer(step, found.group, found.page_id, tells=bool(rest))
        if isinstance(inputs[0], e.ModelResponded):
            inputs[0] = _only(inputs[0], rest, found)
        keyed = _keyed(inputs, key, len(found.calls))
        return [(data, own if isinstance(data, e.ToolCalled) else None) for data, own in keyed]

    def _check(self, told: Told, found: Recorded, key: str) -> None:
        """Raise `IdempotencyConflict` unless one of the two answers continues the other."""
        last = self._said[1:] if self._said[0] == key else ("", "")
        pairs = (("text", told.text, found.text, last[0]), ("thinking", told.thinking, found.thinking, last[1]))
        for name, now, was, said in pairs:
            if not self._goes_on(now, was, said):
                raise self._conflict(key, found, f"its {name} does not go on from the one that was recorded")
        for place, (call, called) in enumerate(zip(told.calls, found.calls, strict=False)):
            if not self._is(call, called):
                raise self._conflict(key, found, f"calls[{place}] is another call than the one that was recorded")
        for name, once, before in self._once(told, found):
            if once and before and once != before:
                raise self._conflict(key, found, f"{name} was {before}, now {once}")

    def _goes_on(self, now: str, was: str, said: str) -> bool:
        """Tell whether one of the two texts continues the other.

        If a credential was hidden in a text once it was whole, the text must continue what was `said` last.
        """
        kept = self._shell.edge.clean(now)
        return kept.startswith(was) or was.startswith(kept) or (bool(said) and now.startswith(said))

    def _grows(self, now: str, was: str) -> bool:
        """Tell whether a text, of which one continues the other, is longer than the recorded one."""
        return not was.startswith(self._shell.edge.clean(now))

    def _once(self, told: Told, found: Recorded) -> Iterable[tuple[str, object, object]]:
        """Facts reported once: name, present value, recorded value."""
        clean = self._shell.edge.clean
        for name in COUNTS:
            if name not in GROWING:
                yield name, getattr(told.usage, name), found.counts[name]
        yield "finish", told.finish, found.finish
        yield "provider", clean(told.provider), found.provider
        known = self._observed.at(self._shell.state).known.models
        yield "the model's number", known.get(clean(told.model), "new") if told.model else None, found.model
        yield "the series of needs", told.needs, found.needs
        if found.finish is not None:
            yield "the native form", clean(told.native), found.native

    def _is(self, call: Call, called: e.ToolCalled) -> bool:
        """Tell whether a call equals the recorded one."""
        edge = self._shell.edge
        name = called.tool if called.name is None else edge.open(called.name)
        same_id = not (call.id and called.call_id) or edge.text(call.id) == called.call_id
        use = use_of(called.call, call)
        return (
            name == edge.clean(call.name)
            and same_id
            and same_arguments(edge.clean(use.text or ""), edge.open(called.arguments))
        )

    def _conflict(self, key: str, found: Recorded, why: str) -> IdempotencyConflict:
        return IdempotencyConflict(
            f"session {self._shell.session_id}: key {key!r} was used before, at version {found.version}: {why}",
            hint="send what came so far of the same answer, or use another key",
        )


def _is_text_of(page: e.PageWritten, group: int) -> bool:
    return (page.group, page.page_type, page.author) == (group, PageType.CONVERSATION, Author.MODEL)


def _rest(told: Told, found: Recorded, thinks: bool, clean: Callable[[str], str]) -> dict[str, object]:
    """Fields that a `model_responded` must add to the recorded ones; `thinks` says that the thoughts are longer."""
    rest: dict[str, object] = {}
    for name in COUNTS:
        if getattr(told.usage, name) > found.counts[name]:
            rest[name] = getattr(told.usage, name) - found.counts[name]
    fields: tuple[tuple[str, object, bool], ...] = (
        ("needs", told.needs, not found.needs),
        ("thinking", told.thinking, thinks),
        ("model", told.model, found.model is None),
        ("provider", told.provider, not found.provider),
        ("finish", told.finish, found.finish is None),
        ("native", told.native, clean(told.native) != found.native),
    )
    rest.update({name: value for name, value, is_new in fields if value and is_new})
    return rest


def _only(responded: e.ModelResponded, rest: dict[str, object], found: Recorded) -> e.ModelResponded:
    """A `model_responded` that holds only the additional fields."""
    counts = {name: rest.get(name, 0) for name in COUNTS}
    if "thinking" in rest and not counts["thinking_tokens"]:
        counts["thinking_tokens"] = max(responded.thinking_tokens - found.counts["thinking_tokens"], 0)
    names = ("thinking", "provider", "native", "finish", *(("model", "model_name") if "model" not in rest else ()))
    others = {name: None for name in names if name not in rest}
    passes = responded.thinking_passes and "thinking" in rest
    return replace(responded, needs=rest.get("needs", ()), thinking_passes=passes, **counts, **others)


def _keyed(inputs: Iterable[e.Input], key: str | None, first_call: int) -> list[tuple[e.Input, str | None]]:
    """Inputs of an answer with their keys; its calls are counted from `first_call`."""
    found: list[tuple[e.Input, str | None]] = []
    place = first_call
    for data in inputs:
        own = key
        if key is not None and isinstance(data, e.ToolCalled):
            own, place = f"{key}:call:{place}", place + 1
        elif key is not None and isinstance(data, e.PageWritten):
            own = f"{key}:text"
        found.append((data, own))
    return found
