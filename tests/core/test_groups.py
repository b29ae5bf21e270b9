"""Groups beside a plain list of what happened: the order of the entries of messages, what each shows, its tokens."""

from __future__ import annotations

from random import Random

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.groups import (
    FRAME_TOKENS,
    OPENER_TOKENS,
    STAND_TOKENS,
    Stand,
    appended,
    exchange_tokens,
    fee,
    in_exchange,
    laid_out,
    left_out,
    open_pages,
    pageless,
    stub_rank,
)
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.core.state import Asked
from clawvm_es.model import events as e
from clawvm_es.model.facts import Entry, RetireReason, ReturnStatus
from clawvm_es.model.pages import FULL, POINTER, Author, Fidelity, Level, PageType
from clawvm_es.testing.core import Given, opened, page

HASH = "0" * 64
BEFORE = {PageType.BOOTSTRAP: 0, PageType.CONSTRAINT: 1, PageType.PREFERENCE: 2}
"""Types of pages that are sent before all messages, in this order."""
WRITTEN = {
    "user": (PageType.CONVERSATION, Author.USER),
    "model": (PageType.CONVERSATION, Author.MODEL),
    "harness": (PageType.CONVERSATION, Author.HARNESS),
    "note": (PageType.EVIDENCE, Author.TOOL),
    "rule": (PageType.BOOTSTRAP, Author.USER),
    "constraint": (PageType.CONSTRAINT, Author.USER),
    "preference": (PageType.PREFERENCE, Author.USER),
    "plan": (PageType.PLAN, Author.MODEL),
}
"""Move → type and author of a page outside any answer."""


@attrs.define(eq=False)
class Answer:
    """An answer: its number, the version with its own form (0: none), thoughts, text page, and call → result.

    `brief` are the calls whose arguments are no shorter as a stub.
    """

    number: int
    version: int = 0
    thoughts: int = 0
    text: int | None = None
    results: dict[int, int | Stand] = attrs.field(factory=dict)
    brief: set[int] = attrs.field(factory=set)
    whole: bool = True

    @property
    def says(self) -> bool:
        """Tell whether a prompt would hold anything."""
        return self.text is not None or bool(self.results)


class Talk:
    """A session of messages, and the list of what happened in it: numbers of pages, and answers."""

    def __init__(self) -> None:
        self.given = Given()
        self.given.when(replace(opened(CLAWVM, 1_000_000), renderer="messages/1:anthropic"))
        self.happened: list[int | Answer] = []
        self.levels: dict[str, int] = {}
        self.calls = self.answers = 0

    @property
    def pages(self):
        """The pages of the session."""
        return self.given.state.pages

    def write(self, page_type: PageType, author: Author, **more) -> int:
        """Write a page; returns its number."""
        number = len(self.pages) + 1
        written = page(number, page_type, 100 + number, author=author, call=more.pop("call", None))
        self.given.when(replace(written, **more))
        return number

    def answer(self, calls: str, text: bool, native: bool, thoughts: int) -> None:
        """An answer with calls that end with a page (p), blank (b), not yet (w), or whose page is retired (g).

        Arguments of a call in capitals have one level.
        """
        self.answers += 1
        made = Answer(self.answers, thoughts=thoughts if native else 0)
        self.happened.append(made)
        said = e.ModelResponded(group=made.number, native=HASH if native else None, thinking_tokens=thoughts)
        self.given.when(said)
        made.version = self.given.state.version if native else 0
        if text:
            made.text = self.write(PageType.CONVERSATION, Author.MODEL, group=made.number)
        for ends in calls:
            self.calls += 1
            sizes = (Level(Fidelity.FULL, 30, HASH, "test/1"), Level(Fidelity.STRUCTURED, 10, HASH, "test/1"))
            if ends.isupper():
                sizes = sizes[:1]
                made.brief.add(self.calls)
            self.given.when(e.ToolCalled(self.calls, "T", HASH, levels=sizes, group=made.number))
        for call, ends in enumerate(calls.lower(), self.calls - len(calls) + 1):
            made.results[call] = Stand.WAITING
            if ends != "w":
                self.given.when(e.ToolReturned(call, ReturnStatus.OK))
                made.results[call] = Stand.BLANK
            if ends in "pg":
                number = self.write(PageType.EVIDENCE, Author.TOOL, call=call, group=made.number)
                made.results[call] = number if ends == "p" else Stand.GONE
            if ends == "g":
                self.given.when(e.PageRetired(f"p{number}", RetireReason.DONE))
                made.whole = False

    def do(self, moves) -> None:
        """Make some moves."""
        for move in moves:
            if isinstance(move, str):
                self.happened.append(self.write(*WRITTEN[move]))
            else:
                self.answer(*move)

    def choose(self, random) -> dict[str, int]:
        """Draw levels for the pages that can be sent: most in full, some as pointers."""
        kept = [found for found in self.pages.values() if not found.retired]
        pointers = [each for each in kept if each.tokens[POINTER] >= 0 and random.random() < 0.2]
        self.levels = {each.page_id: POINTER if each in pointers else FULL for each in kept}
        return self.levels

    def is_open(self, each: int | Answer) -> bool:
        """Tell whether a thing is in the open exchange: the user's last message and the rest, or the last answer."""
        spoken = [place for place, other in enumerate(self.happened) if self.is_said(other, "user")]
        if spoken:
            return self.happened.index(each) >= spoken[-1]
        return isinstance(each, Answer) and each.number == self.answers

    def is_said(self, each: int | Answer, move: str) -> bool:
        """Whether a page came by a move."""
        found = None if isinstance(each, Answer) else self.pages[f"p{each}"]
        return found is not None and (found.page_type, found.author) == WRITTEN[move]

    def entries(self, happened: list[int | Answer], exact: bool = False) -> list[Entry]:
        """The entries of what happened, in this order; open answers are exact, or all."""
        found = []
        for each in happened:
            found += self.of(each, exact or self.is_open(each)) if isinstance(each, Answer) else [self.page(each)]
        return found

    def page(self, number: int) -> Entry:
        """The entry of a page."""
        found, rank = self.pages[f"p{number}"], self.levels[f"p{number}"]
        return Entry(f"p{number}", found.content_version, list(Fidelity)[rank], found.tokens[rank])

    def of(self, its: Answer, exact: bool) -> list[Entry]:
        """The entries of an answer: its beginning, its text, all calls, then their results."""
        results = [result for result in its.results.values() if not isinstance(result, Stand)]
        pages = [each for each in (its.text, *results) if each is not None]
        in_full = all(self.levels[f"p{number}"] == FULL for number in pages)
        exact = exact and in_full
        as_written = exact or (in_full and its.results.keys() <= its.brief)
        own_form = its.version and its.whole and as_written and (self.is_open(its) or not its.thoughts)
        found = [Entry(f"g{its.number}", 0, Fidelity.POINTER, 0)]
        if own_form:
            found = [Entry(f"g{its.number}", its.version, Fidelity.FULL, its.thoughts)]
        found += [self.page(its.text)] if its.text is not None else []
        full, stub = (Fidelity.FULL, 30), (Fidelity.STRUCTURED, 10)
        found += [Entry(f"c{call}", 1, *(full if exact or call in its.brief else stub)) for call in its.results]
        for call, result in its.results.items():
            stands = Entry(f"r{call}", int(result), Fidelity.POINTER, STAND_TOKENS)
            found.append(stands if isinstance(result, Stand) else self.page(result))
        return found

    def begun(self, entries: list[Entry]) -> list[Entry]:
        """The entries, behind a line of the user's where the model would speak first."""
        first = self.pages.get(entries[0].page_id) if entries else None
        spoke = first is not None and (first.page_type, first.author) == WRITTEN["model"]
        if entries and (spoke or entries[0].page_id.startswith("g")):
            return [Entry("o1", 0, Fidelity.FULL, OPENER_TOKENS), *entries]
        return entries


ANSWERS = st.tuples(st.text("ppPwbBg", max_size=2), st.booleans(), st.booleans(), st.sampled_from([0, 0, 40]))
MOVES = st.lists(st.sampled_from(list(WRITTEN)) | ANSWERS | ANSWERS | st.just("user"), max_size=7)


@given(MOVES, st.randoms(use_true_random=False))
@example(["model", "user"], Random(0))
@example([("pP", True, True, 0), ("P", True, True, 0), "user"], Random(0))
@settings(max_examples=120, deadline=None)
def test_messages_are_laid_out_as_they_happened_behind_the_rules_and_the_open_exchange_last(moves, random):
    """Rules and preferences, what was said before, plans, then all since the user's last message (LAW-MSG-3, 4)."""
    talk = Talk()
    talk.do(moves)

    def part(each) -> int:
        kind = None if isinstance(each, Answer) else talk.pages[f"p{each}"].page_type
        if kind in BEFORE:
            return BEFORE[kind]
        return 4 if kind is PageType.PLAN else 5 if talk.is_open(each) else 3

    def stands(each) -> bool:
        if not isinstance(each, Answer):
            return True
        has = each.text is not None or any(not isinstance(result, Stand) for result in each.results.values())
        return has or (talk.is_open(each) and bool(each.results))

    found = sorted(filter(stands, talk.happened), key=part)
    assert laid_out(talk.given.state, talk.choose(random)) == talk.begun(talk.entries(found))


@given(MOVES, MOVES, st.randoms(use_true_random=False))
@settings(max_examples=120, deadline=None)
def test_what_is_new_is_appended_as_it_happened_and_then_what_is_shown_again(before, after, random):
    """What is new stands exact, in its own order; a page of a message that comes again has a note before it."""
    talk = Talk()
    talk.do(before)
    talk.given.turn()
    old, sent = list(talk.choose(random)), talk.given.state.sent
    told = len(talk.happened)
    talk.do(after)
    levels = talk.choose(random)
    again, new = random.sample(old, len(old) // 2), [page_id for page_id in levels if page_id not in old]
    random.shuffle(new)
    since = [each for each in talk.happened[told:] if not isinstance(each, Answer) or each.says]
    expected = talk.entries(since, exact=True)
    for page_id in again:
        found = talk.pages[page_id]
        rank = levels[page_id]
        spoken = found.page_type is PageType.CONVERSATION and found.author is not Author.HARNESS
        if spoken or found.group is not None:
            known = found.tokens[POINTER] if rank > POINTER and found.tokens[POINTER] >= 0 else None
            level = Fidelity.ABSENT if known is None else Fidelity.POINTER
            expected.append(Entry(f"i{found.number}", 1, level, (known or 0) + FRAME_TOKENS))
        expected.append(Entry(page_id, 1, list(Fidelity)[rank], found.tokens[rank]))
    arrivals = [(page_id, levels[page_id]) for page_id in (*again, *new)]
    assert appended(talk.given.state, arrivals) == (expected if sent else talk.begun(expected))


def test_answers_that_are_written_at_once_stand_in_the_order_in_which_they_began():
    """Also if the page of the second came first."""
    talk = Talk()
    talk.do(["user"])
    for group in (1, 2):
        talk.given.when(e.ModelResponded(group=group))
    for group in (2, 1):
        talk.write(PageType.CONVERSATION, Author.MODEL, group=group)
    state, levels = talk.given.state, dict.fromkeys(("p1", "p2", "p3"), FULL)
    order = ["p1", "g1", "p3", "g2", "p2"]
    assert [entry.page_id for entry in laid_out(state, levels)] == order
    assert [entry.page_id for entry in appended(state, levels.items())] == order


def test_calls_that_come_late_have_a_beginning_of_their_own_which_is_not_the_answer_again():
    """The form in which the answer was sent already makes other calls; it is not sent for those that follow."""
    talk = Talk()
    talk.do(["user", ("P", True, True, 0)])
    talk.given.turn()
    assert talk.given.of(e.PromptAssembled)[-1].entries[1].level is Fidelity.FULL
    talk.given.when(e.ToolCalled(2, "T", HASH, levels=(Level(Fidelity.FULL, 30, HASH, "test/1"),), group=1))
    found = appended(talk.given.state, [])
    beginning = Entry("g1", 0, Fidelity.POINTER, 0)
    late = Entry("c2", 1, Fidelity.FULL, 30), Entry("r2", int(Stand.WAITING), Fidelity.POINTER, STAND_TOKENS)
    assert found == [beginning, *late]


@given(MOVES, st.randoms(use_true_random=False))
@example(["user", ("p", True, True, 40), ("pw", True, True, 40)], Random(0))
@example([("p", True, True, 40), "user", "note", "harness", "model", "plan"], Random(0))
@example([("p", True, True, 0), "note", ("w", True, False, 0)], Random(0))
@settings(max_examples=60, deadline=None)
def test_the_open_exchange_is_all_that_was_said_since_the_user_spoke(moves, random):
    """Its pages, oldest first, and the tokens of its entries; it goes on while the newest answer of it made calls."""
    talk = Talk()
    talk.do(moves)
    levels, state = talk.choose(random), talk.given.state
    happened = [each for each in talk.happened if not isinstance(each, Answer) or each.says]
    said = [each for each in happened if isinstance(each, Answer) or _is_message(talk, each)]
    is_open = [each for each in said if talk.is_open(each)]
    of_it, opener = talk.entries(is_open), Entry("o1", 0, Fidelity.FULL, OPENER_TOKENS)
    assert exchange_tokens(state, [opener, *talk.entries(happened)]) == sum(entry.tokens for entry in of_it)
    pages = [entry.page_id for entry in of_it if entry.page_id in levels]
    assert [found.page_id for found in open_pages(state)] == sorted(pages, key=lambda page_id: int(page_id[1:]))
    newest = [each for each in is_open if isinstance(each, Answer) and each.number == talk.answers]
    assert in_exchange(state) == any(each.results for each in newest)


def _is_message(talk: Talk, number: int) -> bool:
    return talk.is_said(number, "user") or talk.is_said(number, "model")


@given(MOVES)
@example(["user", ("pw", True, True, 40), ("gb", True, True, 40)])
@example([("pP", True, True, 40), "user"])
@settings(max_examples=40, deadline=None)
def test_a_group_costs_its_arguments_what_stands_for_results_and_open_thoughts(moves):
    """Beyond its pages: arguments in full or as stubs, as the group is open or not (LAW-GROUP-2)."""
    talk = Talk()
    talk.do(moves)
    for its in talk.happened:
        if isinstance(its, Answer) and its.says:
            is_open = talk.is_open(its)
            asked = sum(30 if is_open or call in its.brief else 10 for call in its.results)
            stands = STAND_TOKENS * sum(isinstance(result, Stand) for result in its.results.values())
            found = fee(talk.given.state, talk.given.state.groups[its.number])
            assert found == asked + stands + (its.thoughts if is_open else 0)


@pytest.mark.parametrize("quarter", [0, 41, 42, 83, 84, 85, 126, 167, 168, 1_000])
def test_groups_without_a_page_stand_from_the_newest_while_a_quarter_of_the_budget_holds_them(quarter):
    """Each takes 30 tokens of arguments and 12 of what stands for its result; answers that say nothing take none."""
    talk = Talk()
    talk.do(["user", *[("w", False, False, 0), ("", False, False, 0)] * 4, ("p", True, False, 0)])
    state = talk.given.state
    state.budget_tokens = 4 * quarter + 3
    count = min(quarter // 42, 4)
    assert pageless(state) == (1, 3, 5, 7)[4 - count :]
    assert left_out(state) == 42 * (4 - count)


def test_no_group_without_a_page_stands_that_is_older_than_one_left_out():
    """Even one that would fit; a number that no answer has is passed over."""
    talk = Talk()
    talk.do(["user", ("w", False, False, 0), ("ww", False, False, 0)])
    talk.answers += 1
    talk.do([("w", False, False, 0)])
    state = talk.given.state
    for quarter, standing in ((41, ()), (42, (4,)), (84, (4,)), (42 + 84, (2, 4)), (42 + 84 + 42, (1, 2, 4))):
        state.budget_tokens = 4 * quarter
        assert pageless(state) == standing


@pytest.mark.parametrize(
    ("tokens", "rank"),
    [
        ((0, 2, 4, 6, 9), 1),
        ((0, 0, -1, -1, 9), 1),
        ((0, -1, 0, 6, 9), 2),
        ((0, -1, -1, 6, 9), 3),
        ((0, -1, -1, -1, 0), 4),
    ],
)
def test_a_stub_is_the_lowest_level_that_is_kept(tokens, rank):
    """However few tokens it has; absence is none."""
    talk = Talk()
    talk.do(["note"])
    assert stub_rank(attrs.evolve(talk.pages["p1"], tokens=tokens)) == rank


def test_what_the_user_said_before_and_is_written_again_opens_no_exchange():
    """The exchange goes on from the newest message, and what of it was sent stays."""
    talk = Talk()
    talk.do(["user", "user", ("p", True, True, 0)])
    talk.given.turn()
    state = talk.given.state
    before = (state.spoken, state.exchange)
    assert state.exchange > 0
    for number in (1, 2):
        talk.given.when(page(number, PageType.CONVERSATION, 50, author=Author.USER))
        assert (state.spoken, state.exchange) == before
    talk.do(["user"])
    assert (state.spoken, state.exchange) == (5, 0)


def test_an_answer_without_a_message_of_the_users_is_open_until_the_next():
    """Where the user says nothing each answer begins an exchange; what goes on with it does not."""
    talk = Talk()
    talk.do([("p", True, True, 0)])
    talk.given.turn()
    state = talk.given.state
    sent = state.exchange
    assert sent > 0
    talk.given.when(e.ModelResponded(group=1))
    assert state.exchange == sent
    talk.given.when(e.ModelResponded(group=2))
    assert state.exchange == 0


def test_a_call_keeps_its_first_id_its_first_end_and_the_sizes_of_its_arguments():
    """An id that came before is not its own; an end may come before its call; uncounted arguments take nothing."""
    sizes = (Level(Fidelity.FULL, 30, HASH, "test/1"), Level(Fidelity.STRUCTURED, 10, HASH, "test/1"))
    talk = Talk()
    state = talk.given.state
    talk.given.when(e.ModelResponded(group=1))
    talk.given.when(e.ToolReturned(2, ReturnStatus.OK, unmatched=True))
    early = state.version
    talk.given.when(e.ToolReturned(2, ReturnStatus.OK, unmatched=True))
    for call, known in ((1, "1" * 64), (2, "1" * 64), (3, "2" * 64)):
        talk.given.when(e.ToolCalled(call, "T", HASH, levels=sizes, group=1, call_id=known))
    talk.given.when(e.ToolCalled(4, "T", HASH, group=1))
    talk.given.when(e.ToolCalled(5, "T", HASH))
    ends = []
    for call in (3, 1, 3, 2, 5):
        talk.given.when(e.ToolReturned(call, ReturnStatus.OK))
        ends.append(state.version)
    assert state.groups[1].calls == (
        Asked(1, 30, 10, True, ends[1]),
        Asked(2, 30, 10, False, early),
        Asked(3, 30, 10, True, ends[0]),
        Asked(4, 0, 0, False, 0),
    )


@pytest.mark.parametrize(("shape", "kept"), [("anthropic", 40), ("responses", 40), ("openai", 0)])
def test_thoughts_count_where_they_are_sent_back(shape, kept):
    """With the answer's own form, under the renderers of providers that take them."""
    for native, tokens in ((HASH, kept), (None, 0)):
        given = Given()
        given.when(replace(opened(CLAWVM, 9_000), renderer=f"messages/1:{shape}"))
        given.when(e.ModelResponded(group=1, native=native, thinking_tokens=40))
        assert given.state.groups[1].thinking == tokens
