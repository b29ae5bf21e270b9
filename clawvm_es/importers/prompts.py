"""Recordings that hold the whole prompt of each call: new messages become steps, missing ones left the context.

Line numbers count messages from 1, in order of first appearance.

LAW-PROMPTS-1: after a call, the recorded context holds exactly the messages of its prompt, and the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import attrs

from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Skip
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Boundary, Cut, Finish, ReturnStatus
from clawvm_es.observe.signatures import canonical
from clawvm_es.observe.steps import ContextDropped, Image, Lines, Summary, SystemMessage, Usage, UserMessage

SYSTEM_ROLES: Final = frozenset(("system", "developer"))
_ROLES: Final = frozenset(("system", "developer", "user", "assistant", "tool"))


@attrs.frozen
class Message:
    """A message of a prompt, or an answer.

    `key` is its identity, if the recording has one; `skipped` are the reasons why parts of it are in no field. `tool`
    is the name of the tool that returned a result. `harness` means that it is not the user's own words. `known` is
    the identity, once computed.
    """

    role: str
    text: str = ""
    uses: tuple[Use, ...] = ()
    call_id: str = ""
    status: ReturnStatus = ReturnStatus.OK
    images: tuple[Image, ...] = ()
    thinking: tuple[str, ...] = ()
    key: str = ""
    skipped: tuple[Skip, ...] = ()
    tool: str = ""
    harness: bool = False
    known: str = ""

    @property
    def identity(self) -> str:
        """The same value wherever the message appears again; an answer with calls is identified by their ids."""
        if self.known:
            return self.known
        if self.role == "assistant":
            ids = [use.call_id for use in self.uses if use.call_id]
            return canonical(["assistant", self.key or ids or self.text.strip()])
        return canonical([self.role, self.key, self.call_id, self.text])


@attrs.frozen
class Told:
    """Facts about an answer outside its message."""

    usage: Usage = attrs.field(factory=Usage)
    model: str = ""
    provider: str = ""
    finish: Finish | None = None
    began_us: int = 0
    at_us: int = 0


@attrs.define
class Conversation:
    """One session being built from its prompts and answers, in order.

    Results that are `away` did not reach the model, although their client's prompts hold them.
    """

    into: Transcript = attrs.field(factory=Transcript)
    line: int = 0
    places: dict[str, list[int]] = attrs.field(factory=dict)  # identity → lines of its occurrences
    context: list[int] = attrs.field(factory=list)  # lines, but for those of system messages
    away: frozenset[int] = frozenset()  # lines

    def prompted(self, messages: Sequence[Message], at_us: int) -> None:
        """Take the prompt of a call."""
        self.into.began(at_us)
        seen: Counter[str] = Counter()
        known = [self._place(message, seen) for message in messages]
        spoken = {line for line, each in zip(known, messages, strict=True) if line and each.role not in SYSTEM_ROLES}
        inserted = self._dropped(messages, known, at_us) if set(self.context) != spoken else frozenset()
        for place, (message, line) in enumerate(zip(messages, known, strict=True)):
            if line is None:
                self._say(message, at_us, summary=place in inserted)

    def answered(self, message: Message, told: Told) -> None:
        """Take the answer of the last prompted call."""
        self._number(message)
        self._answer(message, told)

    def take_out(self, identities: Collection[str], at_us: int) -> None:
        """Note that from now on exactly the results with these identities do not reach the model."""
        away = frozenset(line for identity in identities for line in self.places.get(identity, ()))
        if away != self.away:
            self.away = away
            place, kept = Lines(self.line + 1, self.line + 1), frozenset(self.context) - away
            self.into.say(ContextDropped(Boundary.PRUNE, place, at_us, kept_lines=kept, cut=Cut.MICRO))

    def finish(self, messages: Sequence[Message], at_us: int) -> None:
        """Take messages that a recording holds beyond its last call."""
        seen: Counter[str] = Counter()
        for message in messages:
            if self._place(message, seen) is None:
                self._say(message, at_us, summary=False)

    def _place(self, message: Message, seen: Counter[str]) -> int | None:
        """The line of an earlier message; None for a new one."""
        identity = message.identity
        lines = self.places.get(identity, [])
        seen[identity] += 1
        return lines[seen[identity] - 1] if seen[identity] <= len(lines) else None

    def _dropped(self, messages: Sequence[Message], known: list[int | None], at_us: int) -> frozenset[int]:
        """Note messages that left or returned; returns the places of new ones in front of kept ones."""
        spoken = [place for place, message in enumerate(messages) if message.role not in SYSTEM_ROLES]
        last = max((place for place in spoken if known[place] is not None), default=-1)
        inserted = frozenset(
            place for place in spoken if place < last and known[place] is None and messages[place].role != "tool"
        )
        kept = sorted(line for place in spoken if (line := known[place]) is not None)
        stay = [line for line in self.context if line in kept]
        if inserted:
            cut = Cut.COMPACT
        elif not stay:
            cut = Cut.CLEAR
        else:
            cut = Cut.REWIND if stay == self.context[: len(stay)] else Cut.MICRO
        boundary = Boundary.COMPACT if inserted else Boundary.PRUNE
        place = Lines(self.line + 1, self.line + 1)
        self.into.say(ContextDropped(boundary, place, at_us, kept_lines=frozenset(kept) - self.away, cut=cut))
        self.context = kept
        return inserted

    def _number(self, message: Message) -> Lines:
        self.line += 1
        self.into.line = self.line
        self.places.setdefault(message.identity, []).append(self.line)
        for reason in message.skipped:
            self.into.skip(reason)
        if message.role not in SYSTEM_ROLES:
            self.context.append(self.line)
        return Lines(self.line, self.line)

    def _say(self, message: Message, at_us: int, summary: bool) -> None:
        lines = self._number(message)
        shown = message.images
        if message.role == "assistant":
            self._answer(message, Told(began_us=at_us, at_us=at_us))
        elif message.role == "tool":
            self.into.result(message.call_id, message.text, message.status, lines.first, at_us, shown, message.tool)
        elif message.role not in _ROLES:
            self.into.skip(Skip.UNKNOWN_RECORD if message.role else Skip.MALFORMED_RECORD)
        elif not message.text.strip() and not (shown and message.role == "user"):
            self.into.skip(Skip.EMPTY_MESSAGE)
        elif message.role in SYSTEM_ROLES:
            self.into.say(SystemMessage(message.text, lines, at_us))
        elif summary:
            self.into.say(Summary(message.text, lines, at_us))
        else:
            self.into.say(UserMessage(message.text, lines, at_us, message.harness, shown))

    def _answer(self, message: Message, told: Told) -> None:
        self.into.skip(Skip.IMAGE, len(message.images))
        for at_us, whole in ((told.began_us, False), (told.at_us, True)):
            self.into.answer(
                f"message {self.line}",
                texts=[message.text] if whole and message.text else [],
                uses=message.uses if whole else (),
                usage=told.usage,
                line=self.line,
                at_us=at_us,
                thinking=message.thinking if whole else (),
                model=told.model,
                provider=told.provider,
                finish=told.finish,
            )
