"""Transcript that parsers write steps into: it groups rows by model call, numbers calls, pairs results.

LAW-TRANSCRIPT-1: a step never depends on rows after the turn that it belongs to, so the steps of a file cut
after a turn are the first steps of the whole file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.observe.steps import Image, Lines, ModelMessage, Step, ToolResult, ToolUse, Usage


@attrs.frozen
class Use:
    """A tool call as a row gives it; `call_id` is the harness's own."""

    call_id: str
    name: str
    arguments: Mapping[str, object]
    cwd: str = ""


@attrs.frozen
class _Result:
    call_id: str
    text: str
    status: ReturnStatus
    line: int
    at_us: int
    images: tuple[Image, ...] = ()


@attrs.define
class _Turn:
    """The rows of one answer so far, and the results that came between them."""

    key: str
    first: int
    last: int
    began_us: int
    at_us: int
    usage: Usage
    blocks: int = 0
    model: str = ""
    provider: str = ""
    finish: Finish | None = None
    thinking: list[str] = attrs.field(factory=list)
    texts: list[str] = attrs.field(factory=list)
    uses: list[Use] = attrs.field(factory=list)
    results: list[_Result] = attrs.field(factory=list)


@attrs.define
class Transcript:
    """The steps of one session under construction."""

    steps: list[Step] = attrs.field(factory=list)
    skipped: Skips = attrs.field(factory=Skips)
    began_us: int | None = None
    line: int = 0  # of the record that is being read
    _calls: int = 0
    _turn: _Turn | None = None
    _said: set[str] = attrs.field(factory=set)  # keys of answers that are steps already
    _unanswered: dict[str, list[int]] = attrs.field(factory=dict)  # call id → ordinals, oldest first
    _answered: dict[str, list[int]] = attrs.field(factory=dict)
    _early: dict[str, int] = attrs.field(factory=dict)  # results without a call yet: call id → ordinal

    def began(self, at_us: int) -> None:
        """Note the time of a record; the first one is the session's."""
        if self.began_us is None:
            self.began_us = at_us

    def skip(self, reason: Skip, times: int = 1) -> None:
        """Count what becomes no step."""
        if times:
            self.skipped.add(reason, self.line, times)

    def say(self, step: Step) -> None:
        """Add a step that is neither an answer nor a result; it ends the answer before it."""
        self.flush()
        self.steps.append(step)

    def answer(
        self,
        key: str,
        *,
        texts: Sequence[str],
        uses: Sequence[Use],
        usage: Usage,
        line: int,
        at_us: int,
        thinking: Sequence[str] = (),
        model: str = "",
        provider: str = "",
        finish: Finish | None = None,
    ) -> None:
        """Add a row of the answer `key`; rows of one answer are grouped, its usage is the last row's."""
        turn = self._turn
        if turn is None or turn.key != key:
            self.flush()
            turn = self._turn = _Turn(key, line, line, at_us, at_us, usage)
        turn.last, turn.at_us, turn.usage = line, at_us, usage
        turn.blocks += len(texts) + len(uses)
        turn.texts.extend(text for text in texts if text.strip())
        turn.uses.extend(uses)
        turn.thinking.extend(text for text in thinking if text.strip())
        turn.model, turn.provider = model or turn.model, provider or turn.provider
        turn.finish = finish or turn.finish

    def result(
        self,
        call_id: str,
        text: str,
        status: ReturnStatus,
        line: int,
        at_us: int,
        images: Sequence[Image] = (),
    ) -> None:
        """Add a result; it waits for the answer that is being read to be whole."""
        result = _Result(call_id, text, status, line, at_us, tuple(images))
        if self._turn is not None:
            self._turn.results.append(result)
        else:
            self._pair(result)

    def calls_of(self, call_ids: Sequence[str]) -> tuple[int, ...]:
        """Ordinals of all calls that came under these ids so far."""
        known = (self._answered, self._unanswered)
        return tuple(sorted({n for call_id in call_ids for numbers in known for n in numbers.get(call_id, ())}))

    def flush(self) -> None:
        """End the answer that is being read: it becomes a step, then the results that it waited for."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        if turn.blocks:
            self.steps.append(
                ModelMessage(
                    texts=tuple(turn.texts),
                    calls=tuple(self._call(use) for use in turn.uses),
                    usage=turn.usage,
                    lines=Lines(turn.first, turn.last),
                    began_us=turn.began_us,
                    at_us=turn.at_us,
                    continued=turn.key in self._said,
                    thinking=tuple(turn.thinking),
                    model=turn.model,
                    provider=turn.provider,
                    finish=turn.finish,
                )
            )
            if turn.key in self._said:  # its answer is an event already
                self.skip(Skip.THINKING, len(turn.thinking))
            self._said.add(turn.key)
        else:
            self.skip(Skip.THINKING, len(turn.thinking))
            self.skip(Skip.EMPTY_TURN, turn.key not in self._said)
        for result in turn.results:
            self._pair(result)

    def recording(self, session_id: str, format_: str, source: str, linked_to: str | None = None) -> Recording:
        """The finished session."""
        self.flush()
        self.line = 0
        self.skip(Skip.RESULT_WITHOUT_CALL, len(self._early))
        self.skip(Skip.CALL_WITHOUT_RESULT, sum(map(len, self._unanswered.values())))
        return Recording(
            session_id,
            format_,
            tuple(self.steps),
            self.began_us or 0,
            self.skipped.counts,
            linked_to,
            source=source,
            skipped_lines={
                str(reason): tuple(lines) for reason, lines in sorted(self.skipped.lines.items()) if lines
            },
        )

    def _next(self) -> int:
        self._calls += 1
        return self._calls

    def _call(self, use: Use) -> ToolUse:
        early = self._early.pop(use.call_id, None)
        number = early if early is not None else self._next()
        numbers = self._unanswered if early is None else self._answered
        numbers.setdefault(use.call_id, []).append(number)
        return ToolUse(number, use.name, use.arguments, use.cwd, call_id=use.call_id)

    def _pair(self, result: _Result) -> None:
        """Pair a result with the latest unanswered call of its id."""
        waiting = self._unanswered.get(result.call_id)
        if waiting:
            number, unmatched = waiting.pop(), False
            if not waiting:
                del self._unanswered[result.call_id]
            self._answered.setdefault(result.call_id, []).append(number)
        elif result.call_id in self._answered or result.call_id in self._early:
            self.skip(Skip.DUPLICATE_RESULT)
            return
        else:
            number, unmatched = self._next(), True
            self._early[result.call_id] = number
        lines = Lines(result.line, result.line)
        step = ToolResult(number, result.text, result.status, lines, result.at_us, unmatched, images=result.images)
        self.steps.append(step)
