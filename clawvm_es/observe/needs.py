"""Needs: the pages that held a text which the model used, found by two rules, never guessed.

*Data flow*: a call uses a text from a page. *Repeated read*: the whole result of a read stands in an earlier page
with the same signature or path, for any range.

Needs are found once, over all pages that the session ever showed, whether or not the harness still had them; each
holder says whether the harness had it then. Pages of a branch that a rewind left hold nothing until the session
returns to them. A summary is a holder only beside the pages that it replaced, never alone.

LAW-NEED-1: under the recorded harness's own residency, a data-flow need is a hit if and only if one of its holders
says that the harness had it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from heapq import merge
from typing import Final, TypeAlias, TypeVar

import attrs

from clawvm_es import limits
from clawvm_es.journal.ports import Substrings
from clawvm_es.limits import NEED_CHARS_MIN, NEED_CHARS_MIN_LEAF, NEED_HOLDERS_MAX
from clawvm_es.model.facts import Holder, Need, NeedRule
from clawvm_es.model.pages import Fidelity
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.texts import cleaned, has_digit, json_leaves, taken, written
from clawvm_es.observe.tools import Tool
from clawvm_es.storage import substrings

_K = TypeVar("_K")
_PIECE_CHARS: Final = 1 << 13
"""About how many characters of the model's texts are joined into one piece."""
_FEW: Final = 16
"""Texts that are read sooner than an index is asked which of them to read."""
_MARKS: Final = 256
"""Bits that lines of a text are marked in, each in one of them."""
_Shown: TypeAlias = tuple[str | None, bool, bool]
"""A body, and how it is cleaned."""


@attrs.define
class Held:
    """A page as needs see it: its cleaned text, its levels and their bodies, and the names in its pointer.

    `line` is its line in the file, `call` the call whose result it is; `permanent` pages survive every recorded
    boundary. A `summary` leaves the context as any other page does.
    """

    page_id: str
    text: str
    levels: tuple[Fidelity, ...] = ()
    bodies: tuple[str, ...] = ()  # of these levels
    line: int = 0
    cleaned: bool = True  # whether its text is its full level without the harness's ornaments, or as it is
    search: bool = False
    tool: str = ""
    path: str = ""
    call: int | None = None
    signature: int | None = None
    permanent: bool = False
    summary: bool = False
    order: int = 0  # among all writings of pages
    compactions: int = 0  # of the session, when it was written
    leaves: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()  # of all its earlier writings
    marks: int = 0

    def body(self, level: Fidelity) -> str | None:
        """The commitment to one of its levels; None if it has no such level."""
        return self.bodies[self.levels.index(level)] if level in self.levels else None

    @property
    def shown(self) -> _Shown:
        """A key: pages with equal keys have equal texts."""
        return self.body(Fidelity.FULL), self.search, self.cleaned


@attrs.define
class Texts:
    """The texts of pages, to be searched: the newest in memory, older ones read again when an index names them.

    `open` returns the text of a body. A text that would be read back changed stays in memory. The index is built at
    the first search, so that sessions without a search do not pay for it.
    """

    open: Callable[[str], str]
    most_chars: int = attrs.field(factory=lambda: limits.NEED_TEXT_CHARS)
    chars: int = 0
    near: dict[str, Held] = attrs.field(factory=dict)  # pages whose text is in memory, oldest first
    far: dict[int, Held] = attrs.field(factory=dict)  # by their order
    kept: dict[str, Held] = attrs.field(factory=dict)  # in memory for good, older than those that are near
    again: dict[_Shown, str] = attrs.field(factory=dict)  # far texts that were read, last asked for last
    again_chars: int = 0  # at most half of `most_chars`
    index: Substrings | None = None
    _named: tuple[str, list[int]] = ("", [])  # the text that was asked for last, and what the index named

    def put(self, page: Held) -> None:
        """Add a page that was written after all others."""
        self.near[page.page_id] = page
        self.chars += len(page.text)
        while self.chars > self.most_chars:
            self._put_away(next(iter(self.near.values())))

    def _put_away(self, page: Held) -> None:
        """Drop the oldest text in memory."""
        del self.near[page.page_id]
        self.chars -= len(page.text)
        if self._read(page) != page.text:
            self.kept[page.page_id] = page
            return
        if self.index is not None:
            self.index.put(page.order, page.text)
        self._named = ("", [])
        self.far[page.order], page.marks, page.text = page, _marks(page.text.split("\n")), ""

    def forget(self, page: Held) -> None:
        """Leave a page out from now on."""
        if self.near.pop(page.page_id, None) is not None:
            self.chars -= len(page.text)
        self.kept.pop(page.page_id, None)
        self.far.pop(page.order, None)
        self.again_chars -= len(self.again.pop(page.shown, ""))

    def of(self, page: Held) -> str:
        """The text of a page."""
        return self._read(page) if self.far.get(page.order) is page else page.text

    def _read(self, page: Held) -> str:
        body = page.body(Fidelity.FULL)
        text = "" if body is None else self.open(body)
        return cleaned(text, page.search) if page.cleaned else text

    def _read_again(self, page: Held) -> str:
        """The text of a page that is not in memory, unless it was read lately."""
        shown = page.shown
        text = self.again.pop(shown, None)
        if text is None:
            text = self._read(page)
            self.again_chars += len(text)
        self.again[shown] = text
        while self.again_chars > self.most_chars // 2:
            self.again_chars -= len(self.again.pop(next(iter(self.again))))
        return text

    def among(self, pages: Collection[Held], text: str) -> Iterator[Held]:
        """Those of some pages whose text contains another; the index selects the pages to read."""
        pages = self._marked(pages, text)
        far = sum(self.far.get(page.order) is page for page in pages)
        if far > _FEW:
            named = set(self._may_hold(text))
            pages = [page for page in pages if page.order in named or self.far.get(page.order) is not page]
        return self._holding(pages, text)

    def _marked(self, pages: Iterable[Held], text: str) -> list[Held]:
        """Some pages without those that are far and lack a whole line of a text, so that they cannot hold it."""
        whole = _marks(text.split("\n")[1:-1])
        return [page for page in pages if self.far.get(page.order) is not page or page.marks | whole == page.marks]

    def _may_hold(self, text: str) -> list[int]:
        """The order numbers of pages outside memory that may contain a text; cached for a repeated question."""
        if self.far and self._named[0] != text:
            self._named = (text, self._made().may_hold(text))
        return self._named[1]

    def _made(self) -> Substrings:
        """The index of the texts outside memory."""
        if self.index is None:
            index = substrings()
            for order, page in self.far.items():
                index.put(order, self._read(page))
            self.index = index
        return self.index

    def _holding(self, pages: Iterable[Held], text: str) -> Iterator[Held]:
        """Those of some pages whose text contains another; a body shared by several pages is read once."""
        read: dict[_Shown, bool] = {}
        for page in pages:
            if self.far.get(page.order) is not page:
                holds = text in page.text
            else:
                shown = page.shown
                if shown not in read:
                    read[shown] = text in self._read_again(page)
                holds = read[shown]
            if holds:
                yield page

    def holding(self, text: str) -> Iterator[Held]:
        """The pages whose text contains another, oldest first."""
        named = (self.far.get(number) for number in self._may_hold(text))
        far = self._holding(self._marked((page for page in named if page is not None), text), text)
        kept = (page for page in self.kept.values() if text in page.text)
        yield from merge(far, kept, key=lambda page: page.order) if self.kept else far
        yield from (page for page in self.near.values() if text in page.text)


@attrs.define
class Written:
    """All texts that the model wrote, for fast search: the newest in memory, the rest in an index that stores them.

    Texts are joined, with NULs between them, to pieces of about `_PIECE_CHARS`; a longer text is a piece of its own.
    """

    most_chars: int = attrs.field(factory=lambda: limits.NEED_TEXT_CHARS)
    chars: int = 0
    near: deque[str] = attrs.field(factory=deque)  # oldest first
    pending: list[str] = attrs.field(factory=list)
    far: int = 0  # pieces that the index keeps
    index: Substrings | None = None

    def add(self, text: str) -> None:
        """Add a text."""
        if len(text) >= NEED_CHARS_MIN_LEAF:
            self.pending.append(text)
            self.chars += len(text)
            if self.chars > self.most_chars:
                self._put_away()

    def holds(self, text: str) -> bool:
        """Tell whether one of the texts contains `text`."""
        self._fold()
        if any(text in piece for piece in self.near):
            return True
        if self.index is None:
            return False
        return any(text in self.index.text(number) for number in self.index.may_hold(text))

    def _fold(self) -> None:
        """Join pending texts to pieces."""
        for text in self.pending:
            if self.near and len(self.near[-1]) + len(text) < _PIECE_CHARS:
                self.near[-1] = f"{self.near[-1]}\0{text}"
            else:
                self.near.append(text)
        self.pending.clear()

    def _put_away(self) -> None:
        """Move the oldest pieces to the index, until half of the memory bound is free."""
        self._fold()
        if self.index is None:
            self.index = substrings()
        self.chars = sum(map(len, self.near))
        while self.near and self.chars > self.most_chars // 2:
            piece = self.near.popleft()
            self.far += 1
            self.index.put(self.far, piece, keep=True)
            self.chars -= len(piece)


@attrs.define
class Context:
    """All pages of a session, those that the recorded harness still had, and those that a rewind took away."""

    count: Callable[[str], int]
    open: Callable[[str], str]  # from a body's commitment to its text
    pages: dict[str, Held] = attrs.field(factory=dict)
    resident: dict[str, Held] = attrs.field(factory=dict)  # oldest first
    away: set[str] = attrs.field(factory=set)  # pages of branches that were left
    wrote: Written = attrs.field(factory=Written)
    writings: int = 0
    compactions: int = 0
    changed_rereads: int = 0
    leaves: dict[str, int] = attrs.field(factory=dict)  # short JSON leaf with a digit → results that have it
    texts: Texts = attrs.field(init=False)
    _by_signature: dict[int, list[Held]] = attrs.field(factory=dict)
    _by_path: dict[str, list[Held]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.texts = Texts(self.open)

    # ------------------------------------------------------------------------------- what happens to it

    def write(self, page: Held) -> None:
        """Add a page that was written or rewritten: it is in the context from now on."""
        earlier = self.pages.get(page.page_id)
        if earlier is not None:
            page.lines = tuple({earlier.line, *earlier.lines} - {0})
        self.forget(page.page_id)
        self.writings += 1
        page.order, page.compactions = self.writings, self.compactions
        if page.call is not None:
            page.leaves = tuple({leaf for leaf in json_leaves(page.text) if _needs_a_leaf(leaf)})
            for leaf in page.leaves:
                self.leaves[leaf] = self.leaves.get(leaf, 0) + 1
        self.pages[page.page_id] = self.resident[page.page_id] = page
        self.texts.put(page)
        if page.signature is not None:
            self._by_signature.setdefault(page.signature, []).append(page)
        if page.path:
            self._by_path.setdefault(page.path, []).append(page)

    def moved(self, lines: frozenset[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The pages that leave and return if only permanent pages and those on `lines` are kept.

        A page that was rewritten in place is kept if any of its writings is on `lines`: it stood there in an older
        form.
        """
        lines -= {0}  # of no line
        apart = lines.isdisjoint
        kept = {
            p: None for p, page in self.pages.items() if page.permanent or page.line in lines or not apart(page.lines)
        }
        left = tuple(page_id for page_id in self.resident if page_id not in kept)
        return left, tuple(page_id for page_id in kept if page_id not in self.resident)

    def results(self, calls: Iterable[int], standing: bool = True) -> tuple[str, ...]:
        """The pages that are results of `calls`: those in the context, or those that left it."""
        wanted = set(calls)
        pages = self.resident if standing else self.pages
        found = (page_id for page_id, page in pages.items() if page.call in wanted)
        return tuple(page_id for page_id in found if (page_id in self.resident) is standing)

    def move(self, left: Iterable[str], returned: Iterable[str], compaction: bool, rewind: bool = False) -> None:
        """Apply the pages that left the context and those that returned."""
        self.compactions += compaction
        gone = set(left)
        kept = {*self.resident, *returned} - gone
        self.resident = {page_id: page for page_id, page in self.pages.items() if page_id in kept}
        self.away.update(gone if rewind else ())
        self.away.difference_update(returned)

    def show(self, page_id: str) -> None:
        """Note that a page is in the context again."""
        if page_id in self.pages and page_id not in self.resident:
            self.resident[page_id] = self.pages[page_id]

    def forget(self, page_id: str) -> None:
        """Note that a page was withdrawn: it holds nothing any more."""
        self.resident.pop(page_id, None)
        self.away.discard(page_id)
        page = self.pages.pop(page_id, None)
        if page is None:
            return
        self.texts.forget(page)
        for leaf in page.leaves:
            self.leaves[leaf] -= 1
        if page.signature is not None:
            _leave(self._by_signature, page.signature, page)
        if page.path:
            _leave(self._by_path, page.path, page)

    # ---------------------------------------------------------------------------------------- the rules

    def data_flow(self, tool: Tool, use: ToolUse) -> tuple[Need, ...]:
        """The needs of a call's arguments, each text once, in the order of the arguments."""
        needs = {}
        for text, edit in taken(tool, use.arguments):
            if text in needs or not self._counts(text) or (not edit and self.wrote.holds(text)):
                continue
            needs[text] = self._need(text, NeedRule.DATA_FLOW)
        return tuple(need for need in needs.values() if need)

    def repeated_read(self, result: Held) -> tuple[Need, ...]:
        """The need of a read whose result was read before; the same call with another result is counted."""
        pages = self._earlier(result)
        text = result.text.strip()
        if not pages or len(text) < NEED_CHARS_MIN:
            return ()
        holding, sources = list[Held](), 0
        for page in self.texts.among(pages, text):
            holding.append(page)
            sources += not page.summary
            if sources > NEED_HOLDERS_MAX:
                return ()
        if not holding:
            self.changed_rereads += any(self._repeats(result, page) for page in pages)
            return ()
        need = None if self.wrote.holds(text) else self._need(text, NeedRule.REPEATED_READ, holding)
        return (need,) if need else ()

    def used(self, texts: Iterable[str], uses: Iterable[ToolUse]) -> None:
        """Note an answer of the model: its texts, and all strings in its calls."""
        for text in texts:
            self.wrote.add(text)
        for use in uses:
            for text in written(use.arguments):
                self.wrote.add(text)

    def _counts(self, text: str) -> bool:
        """Tell whether `text` is long enough to identify its source."""
        return len(text) >= NEED_CHARS_MIN or self.leaves.get(text, 0) > 0

    def _need(self, text: str, rule: NeedRule, among: Iterable[Held] | None = None) -> Need | None:
        """The need of a text that pages hold: all such pages, or those `among` the given ones."""
        everywhere: list[Held] = []
        sources = 0
        for page in self.texts.holding(text):
            if page.page_id in self.away:
                continue
            everywhere.append(page)
            sources += not page.summary
            if sources > NEED_HOLDERS_MAX:
                return None
        holding = everywhere if among is None else list(among)
        if not sources or not holding:
            return None
        return Need(tuple(self._holder(page, text) for page in holding), rule, self.count(text))

    def _holder(self, page: Held, text: str) -> Holder:
        """A page as a holder of `text`, with the levels whose text contains it."""
        levels = zip(page.levels, page.bodies, strict=True)
        holding = tuple(level for level, body in levels if self._holds(page, level, body, text))
        return Holder(page.page_id, holding, page.page_id in self.resident)

    def _holds(self, page: Held, level: Fidelity, body: str, text: str) -> bool:
        if level is Fidelity.FULL:
            return True
        if level is Fidelity.POINTER:
            return text in (page.page_id, page.tool, page.path)
        return text in cleaned(self.open(body), page.search)

    def _earlier(self, result: Held) -> list[Held]:
        """Pages of the same signature or the same path, oldest first."""
        alike = self._by_signature.get(result.signature, ()) if result.signature else ()
        found = {id(page): page for page in alike}
        found.update((id(page), page) for page in (self._by_path.get(result.path, ()) if result.path else ()))
        away = self.away
        current = [p for p in found.values() if self.pages.get(p.page_id) is p and p.page_id not in away]
        return sorted(current, key=lambda page: page.order)

    def _repeats(self, result: Held, page: Held) -> bool:
        """Tell whether a read repeats a page's call, or reads its file again after a compaction."""
        return page.signature == result.signature or page.compactions < self.compactions


def _marks(lines: Iterable[str]) -> int:
    """The bits of some lines: a text has none of a bit that it lacks."""
    found = 0
    for line in lines:
        found |= 1 << hash(line) % _MARKS
    return found


def _needs_a_leaf(text: str) -> bool:
    """Tell whether a text is so short that it counts only if it has a digit and equals a JSON leaf."""
    return NEED_CHARS_MIN_LEAF <= len(text) < NEED_CHARS_MIN and has_digit(text)


def _leave(pages: dict[_K, list[Held]], key: _K, page: Held) -> None:
    """Remove a page from its list."""
    pages[key] = [each for each in pages[key] if each is not page]
