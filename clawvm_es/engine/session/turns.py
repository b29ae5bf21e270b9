"""A turn: its prompt, the model's answer, and the results of calls that the harness runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from msgspec.structs import replace

from clawvm_es.core.layout import levels_of_prompt
from clawvm_es.core.state import State
from clawvm_es.engine import given, reports
from clawvm_es.engine.answers import Told
from clawvm_es.engine.hooks import Call, Prompt
from clawvm_es.engine.renderers import renderer_named
from clawvm_es.engine.session.handle import HARNESS, MODEL, Handle, first_of
from clawvm_es.engine.shell import Outcome
from clawvm_es.errors import InvariantPressure, UsageError
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Boundary, Finish, Need, OnPressure, ReturnStatus
from clawvm_es.model.pages import LADDER
from clawvm_es.observe.steps import ModelMessage, Step, Usage
from clawvm_es.representations.messages import RENDERERS


class Turns(Handle):
    """The hooks of a turn."""

    def assemble(
        self,
        hints: Iterable[str] | None = None,
        fixed_tokens: int = 0,
        *,
        fixed: str = "",
        model: str = "",
        key: str | None = None,
    ) -> Prompt:
        """Begin a turn: assemble and render its prompt; `Prompt.pressure` says what did not fit.

        `hints` are ids of pages that the turn will need; by default the pages of files that the user or the plan
        names. `fixed` is the text of the fixed region, or a text that changes with it, such as a hash; `model`
        names the model. When either changes, the provider's cache is lost, and a policy that pages in epochs
        begins an epoch.

        Raises `InvariantPressure` (after the events are committed; it holds `prompt` and `pressure`) if a
        bootstrap or constraint page does not fit at its floor. A session opened with `on_pressure="raise"` raises
        for any pressure, one with `"degrade"` for none.
        """
        tokens = given.integer("fixed_tokens", fixed_tokens, 0)
        given.text("fixed", fixed), given.text("model", model)
        told = None if hints is None else given.ids("hints", hints)
        given.key(key)

        def build(state: State) -> Sequence[Command]:
            named = self._hints(state, key) if told is None else told
            region = self._region(state, fixed) if fixed else None
            asked, name = self._observed.at(state).model(model) if model else (None, None)
            began = e.TurnBegan(named, (), tokens, region, asked, name)
            return (Command(began, self._clock(), HARNESS, key),)

        with self._shell.lock:
            outcome = self._run(build)
            if outcome.appended or key is None:
                state = self.state
                rendered = self._shell.render(state) if state.as_recorded else self._shell.rendered
            else:
                state = self._shell.state_after(key)
                rendered = self._shell.render(state)
            if outcome.due:
                self._keep(Boundary.FLUSH, outcome.due)
            assembled = first_of(outcome.events, e.PromptAssembled)
            pages = {page_id: LADDER[rank] for page_id, rank in levels_of_prompt(state).items()}
            pressure = reports.pressures(state, outcome.events)
            cached, cost = reports.priced(state.profile, assembled)
            prompt = Prompt(
                state.turn,
                rendered.text,
                assembled.tokens,
                assembled.budget_tokens,
                pages,
                pressure,
                cached,
                cost,
                rendered.blocks,
                RENDERERS.get(renderer_named(state)),
                rendered.layout,
            )
            if pressure:
                self._raise_on_pressure(state, prompt)
            return prompt

    def _region(self, state: State, fixed: str) -> str:
        """Commitment to the fixed region; the known one if the text is the same, also from a fork's parent."""
        edge, known = self._shell.edge, state.assembled_region
        own = edge.text(fixed)
        return known if known is not None and edge.open(known) == edge.clean(fixed) else own

    def observe(self, step: Step, *, key: str | None = None) -> Outcome:
        """Record the steps of a harness that assembles its own prompts; the events equal those of an import.

        Pass the steps in order; calls are numbered from 1, and a time of 0 means now. Nothing is flushed
        automatically: call `save` at the end.
        """
        step = given.step(step)
        given.key(key)
        first = None if key is None else next(iter(self._shell.log.find(self.session_id, key)), None)

        def build(state: State) -> Sequence[Command]:
            observer = self._observed.at(state) if first is None else self._observed.before(first.version)
            commands = observer.look(self._stamped(step))
            keys = (key and (f"{key}:{place}" if place else key) for place in range(len(commands)))
            return [replace(each, idempotency_key=own) for each, own in zip(commands, keys, strict=True)]

        with self._shell.lock:
            return self._run(build)

    def observe_model(
        self,
        /,
        text: str = "",
        calls: Sequence[Call | tuple[str, Mapping[str, Any]]] = (),
        *,
        model: str = "",
        provider: str = "",
        finish: Finish | str | None = None,
        usage: Usage | Mapping[str, Any] | None = None,
        thinking: str | Sequence[str] = "",
        native: Any = None,
        needs: Sequence[Need] = (),
        key: str | None = None,
        **counts: int,
    ) -> tuple[int, ...]:
        """Record the model's answer and the tool calls in it; returns the calls' numbers.

        Run the calls with `tool`, or pass the results of calls that the harness runs itself to `observe_result`.
        `finish` may be the provider's own reason and `usage` its own counts (Anthropic, OpenAI); counts can also
        be given by name, such as `input_tokens=`. `native` is the answer as the provider wrote it, in plain lists
        and dicts.

        For a streamed answer, call this repeatedly under one `key` with everything received so far: the text as it
        grows, each call once it is whole, and finally usage and finish. It stays one answer with one page of text.
        Raises `IdempotencyConflict` for contradicting content under the key, and after the next answer began.
        """
        told = Told(
            text=given.text("text", text),
            calls=given.calls(calls),
            needs=given.needs(needs),
            usage=given.usage(usage, counts),
            thinking=given.thoughts(thinking),
            model=given.text("model", model),
            provider=given.text("provider", provider),
            finish=given.finish(finish),
            native=given.native(native),
        )
        given.key(key)
        before: list[tuple[int, ...]] = []

        def build(state: State) -> Sequence[Command]:
            at = self._clock()
            inputs, recorded = self._answers.inputs(state, told, key)
            before.append(recorded)
            return [Command(data, at, MODEL, own) for data, own in inputs]

        with self._shell.lock:
            found = self._run(build).events
            self._flush_when_full()
            return (*before[-1], *(event.call for event in found if isinstance(event, e.ToolCalled)))

    def observe_result(
        self,
        call: int | None = None,
        text: str | None = None,
        status: ReturnStatus | str = ReturnStatus.OK,
        *,
        call_id: str | None = None,
        source: str = "",
        native: Any = None,
        key: str | None = None,
    ) -> str:
        """Record the result of a tool call that the harness ran; returns the id of its evidence page.

        Name the call by its number, or by the harness's id of it. The page's frame shows the call, its arguments
        and its status, unless `source` replaces them; `native` is the result in the provider's own form.

        Raises `UsageError` for a call that no answer made, or that already has its result. Use `observe` for a result
        that comes before its call.
        """
        given.text("result", text), given.text("source", source), given.key(key)
        ended, kept = given.choice("status", ReturnStatus, status), given.native(native)
        if (call is None) == (call_id is None):
            raise UsageError("observe_result: expected either call= or call_id=")
        named = given.integer("call", call, 1) if call_id is None else given.text("call_id", call_id)
        assert text is not None
        return self._returned(named, text, ended, None, source, key, kept)

    def _hints(self, state: State, key: str | None) -> tuple[str, ...]:
        """The pages of files that the user or the plan names; for a retried turn, those of the first try."""
        first = None if key is None else self._shell.recorded(key)
        return first.hints if isinstance(first, e.TurnBegan) else self._observed.at(state).known.hints.now()

    def _stamped(self, step: Step) -> Step:
        at_us = step.at_us or self._clock()
        if isinstance(step, ModelMessage):
            return attrs.evolve(step, at_us=at_us, began_us=step.began_us or at_us)
        return attrs.evolve(step, at_us=at_us)

    def _raise_on_pressure(self, state: State, prompt: Prompt) -> None:
        """Raise if the session was opened with an `on_pressure` that does not allow this pressure."""
        how = state.on_pressure
        rules = reports.lost_rules(state, prompt.pressure)
        if how is OnPressure.RAISE or (how is OnPressure.PROTECT and rules):
            told = next((found for found in prompt.pressure if set(rules) & set(found.pages)), prompt.pressure[0])
            raise InvariantPressure(
                f"session {self.session_id} turn {state.turn}: {told}",
                hint=f"raise the budget of {prompt.budget_tokens} tokens, retire or unpin pages, or open with "
                'on_pressure="degrade"',
                prompt=prompt,
            )
