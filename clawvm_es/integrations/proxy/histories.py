"""Conversations that pass through the proxy: the known state of each, and its next request.

Every request holds its whole history. Earlier items are recognised by the digest of their bytes, and are neither
parsed nor counted again.

| a request belongs to, first that matches | |
|---|---|
| the conversation that it names, or whose answer it names (`previous_response_id`) | |
| of the same session the one that begins with the same message of the user | |
| the first of a session that its client names, where it has the same system prompt | it was compacted |
| a new one | |
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Final

import attrs

from clawvm_es.core.budget import OUTPUT_DEFAULT, WINDOW_DEFAULT, Ratio
from clawvm_es.importers.prompts import Message
from clawvm_es.integrations.proxy.paging import Epoch, Held, Next, Stub, next_request
from clawvm_es.integrations.proxy.remembered import Remembered
from clawvm_es.integrations.proxy.wire import Answer, Asked, Item, Result, joined, put_together, read_item, replaced
from clawvm_es.journal.admission import odd_text
from clawvm_es.model.facts import EpochTrigger
from clawvm_es.observe.steps import Usage
from clawvm_es.representations.counter import TokenCounter, counter

PREFIX: Final = "proxy:"
"""Beginning of the names of sessions that a proxy records."""
COUNTER: Final = "o200k_base"
KEEP: Final = 6
"""Newest results that stay in full."""
HISTORIES: Final = 64
"""Conversations that are known at once; one that comes again later begins a session of its own."""
HELD_BYTES: Final = 256 * 2**20
"""Bytes of their histories together."""
PAGE_IN: Final = b"clawvm__page_in"
"""Part of the name under which clients offer our MCP server's tool."""
_SECOND_US: Final = 1_000_000


@attrs.frozen
class Options:
    """Settings of paging: `window` is the model's; `budget` is computed from it if None."""

    pages: bool = True
    keep: int = KEEP
    budget: int | None = None
    window: int = WINDOW_DEFAULT


@attrs.frozen(eq=False)
class Prepared:
    """A request to forward; `body` is None if the client's own bytes are forwarded.

    `pieces` are its contents, `out` the keys of the results that stubs replace.
    """

    history: History
    body: bytes | None
    pieces: Sequence[Message]
    out: Sequence[str]
    trigger: EpochTrigger | None
    asked: Asked
    sent_tokens: int
    tools_tokens: int
    at_us: int
    items: Sequence[Item] = ()

    @property
    def tools_digest(self) -> str:
        """Digest of the tools that it offers; empty where there are none."""
        return sha256(self.asked.tools).hexdigest() if self.asked.tools else ""


@attrs.define(eq=False)
class History:
    """One conversation: its last items, its epoch, and the pages of its results.

    `client` is the client's name for a session, `session` the recorded one. The recorder fills `pages` from its own
    thread: the place of a result's page, once the journal holds it. `context` is what the last answered request held,
    and its answer.
    """

    client: str
    session: str
    opening: str
    system: str
    items: Sequence[Item] = ()
    keys: Sequence[bytes] = ()
    size: int = 0
    epoch: Epoch = attrs.field(factory=Epoch)
    pages: dict[str, str] = attrs.field(factory=dict)
    ratio: Ratio = attrs.field(factory=Ratio)
    answered_us: int = 0
    context: Sequence[Item] = ()
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    recall: Callable[[str], Remembered] | None = None
    _stubs: dict[str, Stub] = attrs.field(factory=dict)
    _replaced: dict[bytes, tuple[tuple[str, ...], bytes]] = attrs.field(factory=dict)

    def prepare(
        self,
        asked: Asked,
        options: Options,
        at_us: int,
        counts: Counts,
        *,
        asks: bool,
        before: Sequence[Item] | None = None,
    ) -> Prepared:
        """Make the next request; with `asks` False only its tokens are to be counted, and nothing is remembered.

        `before` is what the provider holds for one that goes on, where that is known.
        """
        with self.lock:
            keys = [blake2b(raw, digest_size=16).digest() for raw in asked.items]
            items = self._read(asked, keys, counts.counter)
            if options.pages and any(item.results for item in items):
                self._go_on(asked, items, counts.counter)
            known = (self.context if before is None else before) if asked.goes_on else ()
            pieces = self._pieces(asked, [*known, *items])
            found = self._plan(asked, items, options, at_us, counts) if options.pages and not asked.goes_on else None
            epoch = self.epoch if found is None else found.epoch
            body = self._body(asked, items, keys, epoch.stubs, remember=asks)
            sent = found.sent if found is not None else counts.fixed(asked) + sum(item.tokens for item in items)
            out = [result.key for item in items for result in item.results if result.key in epoch.stubs]
            if asks:
                self.epoch, self.size = epoch, sum(len(raw) for raw in asked.items)
                self.items, self.keys = (*known, *items), () if asked.goes_on else keys
            trigger = None if found is None else found.trigger
            tools = counts.tools(asked.tools)
            return Prepared(self, body, pieces, out, trigger, asked, sent, tools, at_us, (*known, *items))

    def answered(self, usage: Usage, pieces: Sequence[Message], prepared: Prepared, at_us: int) -> None:
        """Note the end of an answer, its content, and the provider's count of what we count."""
        with self.lock:
            self.answered_us = at_us
            self.context = (*prepared.items, *([Item(tuple(pieces), (), 0, False)] if pieces else []))
            if not prepared.asked.goes_on:
                self.ratio.answered(usage.input_tokens, prepared.sent_tokens)

    def _go_on(self, asked: Asked, items: Sequence[Item], count: TokenCounter) -> None:
        """Take up, once, what an earlier proxy had paged of this conversation."""
        recall, self.recall = self.recall, None
        if recall is None or self.epoch.number:
            return
        found = recall(self.session)
        self.pages.update(found.pages)
        out = [result for item in items for result in item.results if result.key in found.out]
        stubs = {each.key: stub.text for each in out if (stub := self._stub(each, asked, count)) is not None}
        if stubs:
            self.epoch = Epoch(1, 0, stubs, asked.region)

    def _read(self, asked: Asked, keys: Sequence[bytes], count: TokenCounter) -> list[Item]:
        return [
            self.items[place]
            if place < len(self.keys) and self.keys[place] == key
            else read_item(asked.shape, raw, count)
            for place, (key, raw) in enumerate(zip(keys, asked.items, strict=True))
        ]

    def _pieces(self, asked: Asked, items: Sequence[Item]) -> list[Message]:
        system = [Message("system", text) for text in asked.system]
        pieces = [piece for item in items for piece in item.pieces]
        return [*system, *(joined(pieces) if asked.shape.joins else pieces)]

    def _plan(self, asked: Asked, items: Sequence[Item], options: Options, at_us: int, counts: Counts) -> Next:
        stubs = {
            result.key: stub
            for item in items
            for result in item.results
            if (stub := self._stub(result, asked, counts.counter)) is not None
        }
        held = Held(items, counts.fixed(asked), asked.region, stubs, self._changed(items))
        output = min(asked.max_output or OUTPUT_DEFAULT, options.window // 2)
        budget = options.budget or self.ratio.budget(options.window, output)
        idle = max(0, at_us - self.answered_us) // _SECOND_US if self.answered_us else None
        return next_request(self.epoch, held, budget, idle, options.keep)

    def _stub(self, result: Result, asked: Asked, count: TokenCounter) -> Stub | None:
        """The text that stands for a result, the same for as long as it is known; None where the journal lacks it."""
        page = self.pages.get(result.key)
        if page is None or not result.holds_text:
            return None
        found = self._stubs.get(result.key)
        if found is None:
            text = stub_text(result, page, can_page_in=PAGE_IN in asked.tools)
            found = self._stubs[result.key] = Stub(text, count.count(text))
        return found

    def _changed(self, items: Sequence[Item]) -> bool:
        """Tell whether the client changed what it had sent so that most of what it sends now is new for that."""
        common = 0
        for place, (was, now) in enumerate(zip(self.items, items, strict=False)):
            if was is not now and was.identity != now.identity:
                break
            common = place + 1
        if common >= len(self.items) - 1:
            return False
        return sum(item.tokens for item in items[:common]) * 2 < sum(item.tokens for item in items)

    def _body(
        self, asked: Asked, items: Sequence[Item], keys: Sequence[bytes], stubs: Mapping[str, str], *, remember: bool
    ) -> bytes | None:
        """The request with its stubs; None where there are none. Items that came before are not made again."""
        made: list[bytes] = []
        anew: dict[bytes, tuple[tuple[str, ...], bytes]] = {}
        for item, key, raw in zip(items, keys, asked.items, strict=True):
            ids = tuple([result.key for result in item.results if result.key in stubs])
            if not ids:
                made.append(bytes(raw))
                continue
            found = self._replaced.get(key)
            if found is None or found[0] != ids:
                texts = {each.call_id: stubs[each.key] for each in item.results if each.key in stubs}
                found = ids, replaced(asked.shape, raw, texts)
            anew[key] = found
            made.append(found[1])
        if remember:
            self._replaced = anew
        return put_together(asked, made) if anew else None


def stub_text(result: Result, page: str, *, can_page_in: bool) -> str:
    """The text in place of a result: what it was, and how to read it again."""
    was = f"{result.size_bytes} bytes, {result.lines} lines, sha256 {result.digest}"
    again = "run the call again to see it"
    if can_page_in:
        again = f'page_in("{page}", "1-200") of the MCP server clawvm reads lines of it'
    return f"[clawvm took this result out: {was}. It is kept as page {page}; {again}.]"


@attrs.define
class Counts:
    """Token counts of the parts before a history, each computed once."""

    counter: TokenCounter = attrs.field(factory=lambda: counter(COUNTER))
    _known: OrderedDict[bytes, int] = attrs.field(factory=OrderedDict)

    def tools(self, tools: bytes) -> int:
        """Tokens of the tools that a request offers."""
        return self._count(tools) if tools else 0

    def fixed(self, asked: Asked) -> int:
        """Tokens of tools and system prompt."""
        texts = [text.encode("utf-8", "surrogatepass") for text in asked.system]
        return self.tools(asked.tools) + sum([self._count(text) for text in texts])

    def _count(self, data: bytes) -> int:
        key = blake2b(data, digest_size=16).digest()
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.counter.count(data.decode("utf-8", "replace"))
            if len(self._known) > HISTORIES * 4:
                self._known.popitem(last=False)
        return found


@attrs.define
class Histories:
    """The known conversations, the one used last at the end. Thread-safe.

    `settle` waits until ended answers were read, `recall` returns what an earlier proxy recorded of a conversation.
    """

    options: Options = attrs.field(factory=Options)
    counts: Counts = attrs.field(factory=Counts)
    settle: Callable[[], None] = lambda: None
    recall: Callable[[str], Remembered] | None = None
    _known: list[History] = attrs.field(factory=list)
    _answers: OrderedDict[str, tuple[History, Sequence[Item]]] = attrs.field(factory=OrderedDict)
    _awaited: OrderedDict[str, Prepared] = attrs.field(factory=OrderedDict)
    _openings: OrderedDict[bytes, Item] = attrs.field(factory=OrderedDict)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def prepare(self, asked: Asked, session: str, at_us: int, *, asks: bool) -> Prepared:
        """Make the next request of its conversation; `session` is the name that the client gave it."""
        if asked.goes_on and asked.goes_on not in self._answers:
            self.settle()
        with self._lock:
            known, before = self._answers.get(asked.goes_on, (None, None)) if asked.goes_on else (None, None)
            history = self._used(known or self._begun(asked, session or asked.session))
        return history.prepare(asked, self.options, at_us, self.counts, asks=asks, before=before)

    def answered(self, prepared: Prepared, answer: Answer, at_us: int) -> None:
        """Note an answer, under its id for requests that go on from it."""
        history, asked = prepared.history, prepared.asked
        with self._lock:
            if answer.awaited:
                self._awaited[answer.ident] = prepared
                while len(self._awaited) > HISTORIES:
                    self._awaited.popitem(last=False)
            else:
                self._awaited.pop(answer.ident, None)
        history.answered(answer.usage, answer.pieces, prepared, at_us)
        if not (asked.shape.joins and asked.stays):
            return
        with self._lock:
            for name in filter(None, (answer.ident, asked.conversation)):
                self._answers[name] = history, history.context
                self._answers.move_to_end(name)
            while len(self._answers) > HISTORIES * 16:
                self._answers.popitem(last=False)

    def awaited(self, ident: str) -> Prepared | None:
        """The request whose answer of this id is made in the background."""
        with self._lock:
            return self._awaited.get(ident)

    def _used(self, found: History) -> History:
        if found in self._known:
            self._known.remove(found)
        self._known.append(found)
        while len(self._known) > HISTORIES or (self._size > HELD_BYTES and len(self._known) > 1):
            self._known.pop(0)
        return found

    @property
    def _size(self) -> int:
        return sum(history.size for history in self._known)

    def _begun(self, asked: Asked, session: str) -> History:
        opening, system = _digest(*self._opening(asked)), _digest(*asked.system)
        name = PREFIX + (session if session and odd_text(PREFIX + session) is None else _digest(system, opening))
        same = [each for each in self._known if each.client == name]
        for each in same:
            if each.opening == opening:
                return each
        first = next((each for each in same if each.session == name), None)
        if first is not None and session and first.system == system:
            first.opening = opening
            return first
        session = f"{name}/{len(same) + 1}" if same else name
        return History(name, session, opening, system, recall=self.recall)

    def _opening(self, asked: Asked) -> list[str]:
        """The identities of what stands up to the first words of the user."""
        found: list[str] = []
        for raw in asked.items:
            key = blake2b(raw, digest_size=16).digest()
            item = self._openings.get(key) or read_item(asked.shape, raw, self.counts.counter)
            self._openings[key] = item
            if len(self._openings) > HISTORIES * 4:
                self._openings.popitem(last=False)
            found.extend(item.identity)
            if any(piece.role == "user" for piece in item.pieces):
                break
        return found


def _digest(*texts: str) -> str:
    return sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
