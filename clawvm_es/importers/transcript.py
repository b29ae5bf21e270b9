"""Transcript into which parsers write steps: it merges the rows of an answer, numbers calls, and pairs results.

LAW-TRANSCRIPT-1: a step never depends on rows after its own turn, so the steps of a file cut after a turn are the
first steps of the whole file.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from clawvm_es.importers.merging import Blocks, Use, merge_texts, merge_uses, most
from clawvm_es.importers.pairing import Calls
from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.importers.spool import Piece, Spool, Spooled
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import Image, Lines, ModelMessage, Step, ToolResult, ToolUse, Usage


@attrs.frozen
class _Result:
    call_id: str
    text: str
    status: ReturnStatus
    line: int
    at_us: int
    images: tuple[Image, ...] = ()
    name: str = ""


@attrs.define
class _Turn:
    """The rows of one answer so far, and the steps between them."""

    key: str
    first: int
    last: int
    began_us: int
    at_us: int
    usage: Usage
    model: str = ""
    provider: str = ""
    finish: Finish | None = None
    thinking: list[str] = attrs.field(factory=list)
    texts: list[str] = attrs.field(factory=list)
    told: list[str] = attrs.field(factory=list)  # with those that repeat and those without a word
    uses: list[Use] = attrs.field(factory=list)
    after: list[_Result | Step] = attrs.field(factory=list)


@attrs.define
class Transcript:
    """The steps of one session being built.

    The rows of an answer may be `cumulative`: then text that a row repeats or extends is taken once.
    """

    cumulative: bool = False
    steps: list[Step] = attrs.field(factory=list)
    skipped: Skips = attrs.field(factory=Skips)
    began_us: int | None = None
    folder: str | None = None
    line: int = 0  # of the record that is being read
    calls: Calls = attrs.field(factory=Calls)
    spooled: tuple[Piece, ...] = ()  # steps before those that are here
    _told_us: int | None = None  # the time of the last record that told one
    _turn: _Turn | None = None
    _said: dict[str, Blocks] = attrs.field(factory=dict)  # answers that are steps already, by their keys

    def instant(self, record: Fields, name: str, line: int) -> int:
        """The time of a record; without one, that of the last record that had one; see `fields.instant`."""
        found = record.told_instant(name)
        self._told_us = self._told_us if found is None else found
        return record.instant(name, line) if self._told_us is None else self._told_us

    def began(self, at_us: int, folder: str | None = None) -> None:
        """Note the time and the folder of a record; those of the first record are the session's."""
        if self.began_us is None:
            self.began_us, self.folder = at_us, folder

    def skip(self, reason: Skip, times: int = 1) -> None:
        """Count something that becomes no step."""
        if times:
            self.skipped.add(reason, self.line, times)

    def say(self, step: Step) -> None:
        """Add a step that is neither an answer nor a result; it ends the answer before it."""
        self.flush()
        self.steps.append(step)

    def aside(self, step: Step) -> None:
        """Add a step that may come between the rows of an answer; it is placed after the whole answer."""
        if self._turn is not None:
            self._turn.after.append(step)
        else:
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
        """Add a row of the answer `key`; all rows of an answer form one step."""
        turn = self._turn
        if turn is None or turn.key != key:
            self.flush()
            turn = self._turn = _Turn(key, line, line, at_us, at_us, usage)
        turn.last, turn.at_us, turn.usage = line, at_us, most(turn.usage, usage)
        turn.told.extend(texts)
        if self.cumulative:
            said = self._said.get(key, Blocks())
            merge_texts(turn.texts, texts, said.texts)
            merge_texts(turn.thinking, thinking, said.thinking)
            merge_uses(turn.uses, uses, said.calls)
        else:
            turn.texts.extend(text for text in texts if text.strip())
            turn.thinking.extend(text for text in thinking if text.strip())
            turn.uses.extend(uses)
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
        name: str = "",
    ) -> None:
        """Add a result, of the tool `name` if known; it waits for the end of the answer being read."""
        result = _Result(call_id, text, status, line, at_us, tuple(images), name)
        if self._turn is not None:
            self._turn.after.append(result)
        else:
            self._pair(result)

    def replace(self, call_id: str, text: str) -> str | None:
        """Give the result of a call another text; returns the one it had, or None if it is a step already."""
        waiting = self._turn.after if self._turn is not None else []
        for place, step in enumerate(waiting):
            if isinstance(step, _Result) and step.call_id == call_id:
                waiting[place] = attrs.evolve(step, text=text)
                return step.text
        return None

    def calls_of(self, call_ids: Sequence[str]) -> tuple[int, ...]:
        """Ordinals of all calls with these ids so far."""
        return self.calls.of(call_ids)

    @property
    def open(self) -> bool:
        """True while an answer is being read."""
        return self._turn is not None

    @property
    def unsaid(self) -> bool:
        """True while the answer being read would be no step if it ended here: it has thoughts at most."""
        return self._turn is not None and not self._says(self._turn)

    def flush(self) -> None:
        """End the answer being read: it becomes a step, followed by the steps that waited for it."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        said = self._said.get(turn.key)
        if self._says(turn):
            self._step(turn, said)
        else:
            self.skip(Skip.THINKING, len(turn.thinking))
            self.skip(Skip.EMPTY_TURN if said is None else Skip.DUPLICATE_RECORD)
        for waited in turn.after:
            if isinstance(waited, _Result):
                self._pair(waited)
            else:
                self.steps.append(waited)

    def _says(self, turn: _Turn) -> bool:
        return bool(turn.texts or turn.uses or (turn.told and turn.key not in self._said))

    def _step(self, turn: _Turn, said: Blocks | None) -> None:
        if said is not None:  # its answer is an event already
            self.skip(Skip.THINKING, len(turn.thinking))
        else:
            self.calls.answers += 1
        self.steps.append(
            ModelMessage(
                texts=tuple(turn.texts),
                calls=tuple(self._call(use) for use in turn.uses),
                usage=turn.usage,
                lines=Lines(turn.first, turn.last),
                began_us=turn.began_us,
                at_us=turn.at_us,
                continued=said is not None,
                thinking=() if said else tuple(turn.thinking),
                model=turn.model,
                provider=turn.provider,
                finish=turn.finish,
            )
        )
        said = self._said.setdefault(turn.key, Blocks())
        if self.cumulative:  # else no row is compared with them
            said.add(turn.texts, turn.thinking, turn.uses)

    def take(self) -> list[Step]:
        """Return the steps so far; the answer being read is held back, with the steps that wait for it."""
        taken, self.steps = self.steps, []
        return taken

    def put_by(self, spool: Spool) -> None:
        """Move the steps so far to a spool."""
        if self.steps:
            self.spooled = (*self.spooled, spool.put(self.take()))

    def recording(
        self,
        session_id: str,
        format_: str,
        source: str,
        linked_to: str | None = None,
        resumed_from: str | None = None,
    ) -> Recording:
        """The finished session."""
        self.flush()
        self.line = 0
        self.skip(Skip.RESULT_WITHOUT_CALL, self.calls.unclaimed)
        self.skip(Skip.CALL_WITHOUT_RESULT, self.calls.unanswered)
        return Recording(
            session_id,
            format_,
            Spooled(self.spooled, tuple(self.steps)) if self.spooled else tuple(self.steps),
            self.began_us or 0,
            self.skipped.counts,
            linked_to,
            source=source,
            skipped_lines=self.skipped.first_lines(),
            resumed_from=resumed_from,
            cwd=self.folder,
        )

    def _call(self, use: Use) -> ToolUse:
        number = self.calls.made(use.call_id, use.name)
        return ToolUse(number, use.name, use.arguments, use.cwd, call_id=use.call_id, unsent=use.unsent)

    def _pair(self, result: _Result) -> None:
        """Add a result to its call."""
        paired = self.calls.returned(result.call_id, result.name)
        if paired is None:
            self.skip(Skip.DUPLICATE_RESULT)
            return
        if paired.ambiguous:
            self.skipped.add(Skip.AMBIGUOUS_RESULT, result.line)
        lines = Lines(result.line, result.line)
        step = ToolResult(paired.number, result.text, result.status, lines, result.at_us, paired.unmatched)
        self.steps.append(attrs.evolve(step, images=result.images))
