"""Record conversations that a framework keeps as a list of messages in a session of a journal.

Each time, the list is the whole conversation. All state is in the journal: messages are recognised by the keys of
their events, which hold the framework's id and a digest of the content.

| the list, compared with the recorded one | action |
|---|---|
| continues it | new messages are recorded |
| lacks a message that others follow | its pages are retired, and pages are selected anew |
| lacks the last messages, has a changed one, or another order | a fork continues from before the first of them |

LAW-TOLD-1: the same lists record the same events, on one handle or many, in one process or many, repeated or not.
LAW-TOLD-2: if the framework goes back, recorded events stay; each line of the conversation is a session.
LAW-TOLD-3: if a session hides credentials, messages are compared without them. So a repeated message, and one read
back from the journal, count as the same, and no digest in a key is of a credential.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from clawvm_es.core.groups import is_open
from clawvm_es.engine import given
from clawvm_es.engine.calls import as_json, same_arguments
from clawvm_es.engine.hooks import Call, OtherSettings, Prompt
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import UsageError
from clawvm_es.journal.lineage import event_at, read_back, read_session
from clawvm_es.journal.ports import Recorded
from clawvm_es.model import events as e
from clawvm_es.model.facts import Finish, OnPressure, ReturnStatus
from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.observe.steps import Usage
from clawvm_es.representations.counter import TokenCounter, counter
from clawvm_es.representations.messages import Block, Kind, Role
from clawvm_es.representations.secrets import hide

_T = TypeVar("_T")
HANDLES: Final = 64
"""Conversations that are held open at most."""
_DIGEST_CHARS: Final = 16
_IDENT_CHARS: Final = 200
_KEY: Final = re.compile(r"told(?:-[0-9]+)?:(.*)#([0-9a-f]{16})", re.DOTALL)
"""Key of the first event of a message: its id, a digest of its content; a number where it came back."""


# -------------------------------------------------------------------------------------------- what is told


@attrs.frozen
class Said:
    """A message of the user; `native` is the content in the provider's form, None if the text is all of it."""

    text: str
    native: Any = None
    ident: str = ""

    @cached_property
    def digest(self) -> str:
        """A digest of its content, which later facts about it do not change."""
        return _digest("said", self.text, self.native)


@attrs.frozen
class Answered:
    """An answer of the model. A call without an id gets none; of two with the same id the second loses it."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    native: Any = None
    thinking: tuple[str, ...] = ()
    ident: str = ""
    model: str = ""
    provider: str = ""
    finish: Finish | str | None = None
    usage: Usage = attrs.field(factory=Usage)

    @cached_property
    def digest(self) -> str:
        """A digest of its content, which later facts about it do not change."""
        return _digest("answered", self.text, self.native, [[call.id, call.name, call.args] for call in self.calls])


@attrs.frozen
class Ended:
    """The end of a tool call. A result that no earlier answer waits for becomes a page of its own."""

    call_id: str
    text: str
    status: ReturnStatus = ReturnStatus.OK
    native: Any = None
    ident: str = ""

    @cached_property
    def digest(self) -> str:
        """A digest of its content, which later facts about it do not change."""
        return _digest("ended", self.text, self.native, self.call_id, self.status)


Message: TypeAlias = Said | Answered | Ended


def named(messages: Iterable[Message]) -> dict[str, Message]:
    """Messages by name: the framework's id, else the call, else the content; a second equal one gets a number."""
    found: dict[str, Message] = {}
    for message in messages:
        ident = message.ident or (f"call {message.call_id}" if isinstance(message, Ended) else message.digest)
        ident = ident if len(ident) <= _IDENT_CHARS else sha256(ident.encode()).hexdigest()
        again = next(n for n in range(len(found) + 1) if (f"{ident} {n}" if n else ident) not in found)
        found[f"{ident} {again}" if again else ident] = message
    return found


def _digest(*said: Any) -> str:
    text = json.dumps(said, sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]


def without_secrets(messages: Mapping[str, Message]) -> dict[str, Message]:
    """Messages as a session that hides credentials stores them, in order, by their names in that form."""
    return named(_without_secrets(message) for message in messages.values())


def _without_secrets(message: Message) -> Message:
    kept = attrs.evolve(message, text=hide(message.text)[0], native=_hidden(message.native))
    if isinstance(kept, Answered):
        return attrs.evolve(kept, calls=tuple(attrs.evolve(call, args=_hidden(call.args)) for call in kept.calls))
    return kept


def _hidden(value: Any) -> Any:
    """A JSON value without the credentials in its texts."""
    if isinstance(value, str):
        return hide(value)[0]
    if isinstance(value, Mapping):
        return {name: _hidden(item) for name, item in value.items()}
    return [_hidden(item) for item in value] if isinstance(value, list | tuple) else value


# ------------------------------------------------------------------------------------------ what is recorded


@attrs.define
class Known:
    """A recorded message: its place, and its group or pages."""

    ident: str
    digest: str
    key: str
    version: int
    group: int | None = None
    pages: list[str] = attrs.field(factory=list)


@attrs.frozen
class Plan:
    """Plan for a list of messages: new messages, removed messages, and the first changed one."""

    new: tuple[str, ...]
    gone: tuple[Known, ...] = ()
    changed: Known | None = None


def plan(known: Sequence[Known], messages: Mapping[str, Message]) -> Plan:
    """Compare the recorded messages with the present list."""
    order = list(messages)
    stays = [each.ident in messages and messages[each.ident].digest == each.digest for each in known]
    kept = [each for each, stay in zip(known, stays, strict=True) if stay]
    last = max((place for place, stay in enumerate(stays) if stay), default=-1)
    moved = next((each for each, ident in zip(kept, order, strict=False) if each.ident != ident), None)
    edited = [each for each, stay in zip(known, stays, strict=True) if not stay and each.ident in messages]
    first = min((each.version for each in (*edited, *known[last + 1 :], *([moved] if moved else []))), default=None)
    if first is not None:
        before = plan([each for each in known if each.version < first], messages).changed
        return Plan((), changed=before or next(each for each in known if each.version == first))
    gone = tuple(each for each, stay in zip(known, stays, strict=True) if not stay)
    return Plan(tuple(order[len(kept) :]), gone)


@attrs.define
class _Line:
    """One line of a conversation: a session, and the messages that it holds, read up to a version."""

    session: Session
    hides: bool = False
    known: list[Known] = attrs.field(factory=list)
    shown: dict[int | str, Known] = attrs.field(factory=dict)  # group or page → the message that it is of
    left: int = 0  # messages that were taken out
    read: int = 0

    def take(self, row: Recorded) -> None:
        """Take in one event."""
        self.read = row.version
        key = row.idempotency_key or ""
        if key.startswith("gone:"):
            before, self.known = self.known, [each for each in self.known if f"gone:{each.key}" != key]
            self.left += len(before) - len(self.known)
        elif (told := _KEY.fullmatch(key)) is not None:
            group = row.data.group if isinstance(row.data, e.ModelResponded) else None
            self.known.append(Known(told[1], told[2], key, row.version, group))
            self.shown.update({} if group is None else {group: self.known[-1]})
        elif not self.known or not key.startswith(f"{self.known[-1].key}:"):
            return
        if isinstance(row.data, e.PageWritten) and self.known and key.startswith(self.known[-1].key):
            self.known[-1].pages.append(row.data.page_id)
            self.shown[row.data.page_id] = self.known[-1]


@attrs.define
class Conversation:
    """One conversation in a journal: a session with its name, and a fork (`NAME~2`, …) for each change."""

    journal: Journal
    name: str
    options: Mapping[str, Any]
    lock: threading.RLock = attrs.field(factory=threading.RLock, repr=False)
    _line: _Line | None = None

    @property
    def session(self) -> Session:
        """The session of its newest fork."""
        with self.lock:
            return (self._line or self._open(self._names()[-1])).session

    @property
    def known(self) -> tuple[Known, ...]:
        """The messages of its newest fork, in order."""
        with self.lock:
            line = self._line = self._line or self._open(self._names()[-1])
            self._catch_up(line)
            return tuple(line.known)

    def tell(self, messages: Mapping[str, Message]) -> Session:
        """Record new messages in the list of all messages; returns the session that holds exactly this list."""
        with self.lock:
            return self._told(messages, self._kept(messages))

    def _told(self, messages: Mapping[str, Message], kept: Mapping[str, Message]) -> Session:
        """Record what is new in a list, compared as it is kept."""
        line = self._line = self._fitting(kept)
        found = plan(line.known, kept)
        self._retire(line, found.gone)
        told, said = f"told-{line.left}:" if line.left else "told:", dict(zip(kept, messages.values(), strict=True))
        for ident in found.new:
            self._record(line.session, said[ident], f"{told}{ident}#{kept[ident].digest}")
        self._catch_up(line)
        return line.session

    def _kept(self, messages: Mapping[str, Message]) -> Mapping[str, Message]:
        """The list as its session keeps it."""
        line = self._line = self._line or self._open(self._names()[-1])
        return without_secrets(messages) if line.hides else messages

    def prompt(self, messages: Mapping[str, Message], fixed: str = "", model: str = "", beside: str = "") -> Prompt:
        """The prompt for the list of all messages, which is recorded first; for the same list the same prompt.

        `fixed` is the text of the fixed region, and `beside` is text sent only with this call; both are counted.
        """
        with self.lock:
            kept = self._kept(messages)
            session = self._told(messages, kept)
            tokens = sum(self.counter.count(text) for text in (fixed, beside) if text)
            state = session.state
            asked = (list(kept), fixed, beside, model, state.budget_tokens, state.profile.name)
            key = f"turn:{sha256(json.dumps(asked).encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
            return session.assemble(fixed_tokens=tokens, fixed=fixed, model=model, key=key)

    @property
    def counter(self) -> TokenCounter:
        """The token counter of its sessions."""
        own = self.options.get("counter")
        return own if own is not None and not isinstance(own, str) else counter(own or "o200k_base")

    def ident_of(self, said: Sequence[Block], messages: Mapping[str, Message]) -> str | None:
        """Recorded name of the message that the blocks hold unchanged; None if there is none."""
        first = said[0]
        line = self._line
        shown = first.group if first.role is Role.ASSISTANT else first.page_id
        known = None if line is None or shown is None else line.shown.get(shown)
        message = None if known is None else messages.get(known.ident)
        return known.ident if known is not None and message is not None and _is_whole(said, message) else None

    # -------------------------------------------------------------------------------------------- its lines

    def _names(self) -> list[str]:
        """The names of its lines, oldest first; the first one where there is none yet."""
        found = [self.name]
        while self.journal.log.head(following := f"{self.name}~{len(found) + 1}") is not None:
            found.append(following)
        return found

    def _open(self, name: str) -> _Line:
        session = self.journal.session(name, **self.options)
        opened = self.journal.opened(name)
        line = _Line(session, hides=opened is not None and bool(opened.hides_secrets))
        self._catch_up(line)
        return line

    def _catch_up(self, line: _Line) -> None:
        """Read what any handle recorded since."""
        for row in read_session(self.journal.log, line.session.session_id, line.read):
            line.take(row)

    def _fitting(self, messages: Mapping[str, Message]) -> _Line:
        """The line that a list continues; a new one if it continues none."""
        if self._line is not None:
            self._catch_up(self._line)
            if self._changed(self._line, messages) is None:
                return self._line
        lines = [self._open(name) for name in reversed(self._names())]
        places = [self._changed(line, messages) for line in lines]
        fitting = (line for line, changed in zip(lines, places, strict=True) if changed is None)
        found = next(fitting, None) or lines[max(range(len(lines)), key=lambda n: (_version(places[n]), -n))]
        while (changed := self._changed(found, messages)) is not None:
            found = self._fork(found, changed)
        return found

    def _changed(self, line: _Line, messages: Mapping[str, Message]) -> Known | None:
        """The first message from which on a line is not what the list says."""
        found = plan(line.known, messages)
        if found.changed is not None:
            return found.changed
        state = line.session.state
        opened = (each for each in found.gone if each.group is not None and each.group in state.groups)
        return next((each for each in opened if is_open(state, state.groups[each.group or 0])), None)

    def _fork(self, line: _Line, changed: Known) -> _Line:
        """A line that forks before a message, and before the turn that led to it."""
        log, stream = self.journal.log, line.session.session_id
        at = changed.version - 1
        for row in read_back(log, stream, at):
            if not isinstance(row.data, e.TurnBegan | e.PromptRendered) and row.kind != "decision":
                break
            at = row.version - 1 if isinstance(row.data, e.TurnBegan) else at
        own = self.options.get("counter")
        given_counter = None if own is None or isinstance(own, str) else own
        name, parent = f"{self.name}~{len(self._names()) + 1}", event_at(log, stream, at).session_id
        self.journal.fork(parent, name, at=at, counter=given_counter)
        return self._open(name)

    # ------------------------------------------------------------------------------------------- recording

    def _retire(self, line: _Line, gone: Iterable[Known]) -> None:
        """Take messages out of the working set, and of the next prompt."""
        pages = [(known, number, page) for known in gone for number, page in enumerate(known.pages)]
        for known, number, page in pages:
            line.session.retire(page, key=f"gone:{known.key}" + (f":{number}" if number else ""))
        if pages:
            line.session.repage()
            self._catch_up(line)

    @staticmethod
    def _record(session: Session, message: Message, key: str) -> None:
        if isinstance(message, Said):
            session.user_says(message.text, native=message.native, key=key)
        elif isinstance(message, Answered):
            session.observe_model(
                message.text,
                tuple(_without_twins(message.calls)),
                model=message.model,
                provider=message.provider,
                finish=message.finish,
                usage=message.usage,
                thinking=message.thinking,
                native=message.native,
                key=key,
            )
        else:
            _record_result(session, message, key)


def _record_result(session: Session, ended: Ended, key: str) -> None:
    """Record a result; one of a call which nobody made, or which has one already, is a page of its own."""
    try:
        session.observe_result(
            call_id=ended.call_id, text=ended.text, status=ended.status, native=ended.native, key=key
        )
    except UsageError:
        source = f"result of {ended.call_id}"
        session.write_page(PageType.EVIDENCE, ended.text, author=Author.TOOL, source=source, key=key)


def _version(known: Known | None) -> int:
    return 0 if known is None else known.version


def _without_twins(calls: Iterable[Call]) -> Iterator[Call]:
    seen: set[str] = set()
    for call in calls:
        yield attrs.evolve(call, id="") if call.id in seen else call
        seen.add(call.id)


# --------------------------------------------------------------------------------------------- what is sent


def exchanges(blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks that form one message: an answer with its calls, the result of one call, or one text of the user's."""

    def together(place: int) -> tuple[object, ...]:
        block = blocks[place]
        if block.role is Role.ASSISTANT:
            return block.role, block.run
        return block.role, block.run, block.call_id, place if block.call_id is None else None

    return [[blocks[place] for place in places] for _, places in groupby(range(len(blocks)), together)]


def _is_whole(said: Sequence[Block], message: Message) -> bool:
    """Tell whether blocks say a message word for word; its native form where it has one."""
    first = said[0]
    native = given.native(message.native)
    if native:
        return first.native == native
    if any(block.level is not Fidelity.FULL for block in said) or first.native is not None:
        return False
    text = "".join(block.text for block in said if block.kind is not Kind.CALL)
    if isinstance(message, Answered):
        calls = [block for block in said if block.kind is Kind.CALL]
        return text == message.text and _same_calls(calls, message.calls)
    return text == message.text


def _same_calls(blocks: Sequence[Block], calls: Sequence[Call]) -> bool:
    if [block.call_id for block in blocks] != [call.id for call in calls]:
        return False
    texts = [call.args if isinstance(call.args, str) else as_json(call.args) for call in calls]
    return all(same_arguments(text, block.text) for text, block in zip(texts, blocks, strict=True))


# ------------------------------------------------------------------------------------------ conversations


@attrs.define
class Conversations:
    """Conversations of one journal, by name; recently used ones are held open. Thread-safe."""

    place: Journal | str | Path
    options: Mapping[str, Any] = attrs.field(factory=dict)
    _journal: Journal | None = None
    _open: OrderedDict[str, Conversation] = attrs.field(factory=OrderedDict)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, repr=False)

    def of(self, name: str) -> Conversation:
        """The conversation of a name."""
        with self._lock:
            found = self._open.pop(name, None) or Conversation(self._opened(), name, self._settings())
            self._open[name] = found
            while len(self._open) > HANDLES:
                self._open.popitem(last=False)
            return found

    def close(self) -> None:
        """Release the journal, if it was opened here."""
        with self._lock:
            self._open.clear()
            if self._journal is not None and self._journal is not self.place:
                self._journal.close()
            self._journal = None

    def _opened(self) -> Journal:
        if self._journal is None:
            self._journal = self.place if isinstance(self.place, Journal) else Journal.open(self.place)
        return self._journal

    def _settings(self) -> dict[str, Any]:
        shipped = {"renderer": "messages/1:anthropic", "on_pressure": OnPressure.DEGRADE}
        return {**shipped, "on_other_settings": OtherSettings.ADOPT, **self.options}


UNPAGED: Final = "the model gets its messages unpaged"


def guarded(log: Any, name: str, strict: bool, run: Callable[[], _T], what: str = UNPAGED) -> _T | None:
    """Run code that must not stop an agent: a failure is logged as a warning (`what` follows), and gives None.

    With `strict` it raises.
    """
    try:
        return run()
    except Exception as error:
        if strict:
            raise
        log.warning(what, session=name, error=f"{type(error).__name__}: {error}")
        return None


def warn(log: Any, name: str, prompt: Prompt) -> None:
    """Log a warning about pages that did not fit a prompt."""
    for pressure in prompt.pressure:
        log.warning("the budget is too small", session=name, turn=prompt.turn, pressure=str(pressure))


def needed(name: str | None, what: str) -> str:
    """The name of a conversation. Raises `UsageError` if there is none."""
    if not name:
        raise UsageError(f"the conversation has no name: {what}", hint="or give session=, a name or a function")
    return name


def given_name(namer: Namer, told: Any) -> str | None:
    """The name given by `session=`; None if it was not given. Raises `UsageError` if a function returned none."""
    return needed(namer(told), "session= gave none") if callable(namer) else namer


Namer: TypeAlias = str | Callable[[Any], str] | None
