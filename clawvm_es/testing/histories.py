"""Hypothesis strategy of histories: sequences of events between a harness and a model, with realistic provider
answers.

    @given(histories())
    def test_my_renderer(history):
        with live_session(renderer=f"messages/1:{history.shape}", policy=history.policy) as session:
            for prompt in play(session, history):
                assert broken(prompt.messages(), history.shape) == []

A history holds parallel calls, failed calls, images, thoughts with signatures, texts without a word, calls whose
arguments are no JSON, ids that are missing, odd or used twice, results that come out of order, twice, late or never,
before their call, and results that are plans and rules; between them pages are needed again, retired, pinned and
rewritten, the budget changes, the harness compacts and prunes.

Needs hypothesis, as `strategies` does.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, Final

import attrs

try:
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover (the test environment has it)
    raise ImportError("clawvm_es.testing.histories needs hypothesis: pip install hypothesis") from error

from clawvm_es.core.profiles import PROFILES
from clawvm_es.engine.hooks import Call, Prompt
from clawvm_es.engine.session import Session
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.model.pages import PAGE_TYPES, PageType, Pin
from clawvm_es.observe.steps import Image, ToolResult
from clawvm_es.representations.messages import Shape

POLICIES: Final = tuple(name for name, profile in PROFILES.items() if name != "recorded")
"""Policies that send prompts of their own."""
WORDS: Final = ("alpha", "beta", "</page>", "import os", "é", "\ud800", "[]", "12", "- item", "x" * 90)
PLAN: Final = "TodoWrite"
READ: Final = "Read"


@attrs.frozen
class Answer:
    """The model answers, after a turn began. `native` is the answer in its provider's form; None: not reported."""

    text: str
    calls: tuple[Call, ...]
    native: Any = None
    fixed_tokens: int = 0


@attrs.frozen
class Said:
    """The user says something."""

    text: str


@attrs.frozen
class Ended:
    """A call ended, by its number; with `images` and, if the provider accepts one, its own form."""

    call: int
    text: str
    status: ReturnStatus
    images: int = 0
    native: Any = None


@attrs.frozen
class Done:
    """Another event of a page, the budget or the context: `what` is its kind, `number` its object or amount."""

    what: str
    number: int


Move = Answer | Said | Ended | Done


@attrs.frozen
class History:
    """Moves in order, and the session to which they belong."""

    shape: Shape
    policy: str
    budget: int
    moves: tuple[Move, ...]


# ----------------------------------------------------------------------------------------- the strategy


@attrs.define
class _Story:
    shape: Shape
    calls: int = 0
    ids: list[str] = attrs.field(factory=list)
    names: dict[int, str] = attrs.field(factory=dict)
    waiting: list[int] = attrs.field(factory=list)
    ended: list[int] = attrs.field(factory=list)


texts: Final = st.builds(
    lambda words, times: "\n".join(words * times),
    st.lists(st.sampled_from(WORDS), max_size=4),
    st.sampled_from((1, 1, 1, 5, 30)),
) | st.sampled_from(("", " ", "\n\n"))


@st.composite
def histories(draw: st.DrawFn, shape: Shape | None = None, max_moves: int = 16) -> History:
    """A history of up to `max_moves` moves, a policy and a budget for it."""
    story = _Story(shape or draw(st.sampled_from(Shape)))
    moves: list[Move] = [Said(draw(texts))] if draw(st.booleans()) else []
    for kind in draw(st.lists(st.sampled_from(_KINDS), min_size=2, max_size=max_moves)):
        moves += _MOVES[kind](draw, story)
    moves.append(Answer("done", ()))
    budget = draw(st.sampled_from((150, 300, 600, 1200, 2500, 20_000)))
    return History(story.shape, draw(st.sampled_from(POLICIES)), budget, tuple(moves))


def _answer(draw: st.DrawFn, story: _Story) -> list[Move]:
    text = draw(texts)
    calls: tuple[Call, ...] = ()
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 2, 3)))):
        calls = (*calls, _call(draw, story, [call.id for call in calls]))
    native = draw(st.booleans()) and _native(draw, story.shape, text, calls)
    ends: list[Move] = []
    for _ in range(draw(st.integers(0, len(story.waiting)))):
        ends += _end(draw, story)
    return [Answer(text, calls, native or None, draw(st.sampled_from((0, 0, 0, 40)))), *ends]


def _call(draw: st.DrawFn, story: _Story, taken: Collection[str]) -> Call:
    story.calls += 1
    call_id = draw(st.sampled_from(("new", "new", "new", "", "odd", "again")))
    known = {"new": f"call_{story.calls}", "": "", "odd": "a:b", "again": (story.ids or ["x"])[-1]}[call_id]
    if known in taken:
        known = ""
    name = draw(st.sampled_from((READ, READ, "Bash", "Write", PLAN, "mcp.tool", "Read")))
    story.ids.append(known)
    story.names[story.calls] = name
    story.waiting.append(story.calls)
    return Call(known, name, draw(_arguments(name)))


def _arguments(name: str) -> st.SearchStrategy[Any]:
    if name == PLAN:
        todo = st.builds(lambda text: {"content": text or "x", "status": "pending"}, texts)
        return st.builds(lambda todos: {"todos": todos}, st.lists(todo, min_size=1, max_size=2))
    path = st.sampled_from(("/a.py", "/b.py", "/CLAUDE.md"))
    objects = st.builds(lambda path, text: {"file_path": path, "content": text}, path, texts)
    return st.one_of(objects, objects, st.just("not JSON"), st.just("[1, 2]"), st.just('{"a": NaN}'), st.just({}))


def _native(draw: st.DrawFn, shape: Shape, text: str, calls: tuple[Call, ...]) -> Any:
    """The answer as a provider writes it, with thoughts and items of its own."""
    if shape is Shape.OPENAI:
        made = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": _legal(call.name), "arguments": _json(call.args)},
            }
            for call in calls
        ]
        return {"role": "assistant", "content": text or None, **({"tool_calls": made} if made else {})}
    if shape is Shape.RESPONSES:
        return _responses(draw, text, calls)
    items: list[dict[str, Any]] = []
    if draw(st.booleans()):
        items.append({"type": "thinking", "thinking": draw(texts), "signature": "c2ln" * draw(st.integers(1, 40))})
    if draw(st.booleans()):
        items.append({"type": "redacted_thinking", "data": "ZGF0YQ=="})
    items += [{"type": "text", "text": text}] if text else []
    for call in calls:
        arguments = call.args if isinstance(call.args, dict) else {"input": call.args}
        items.append({"type": "tool_use", "id": call.id, "name": _legal(call.name), "input": arguments})
    return items


def _responses(draw: st.DrawFn, text: str, calls: tuple[Call, ...]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if draw(st.booleans()):
        summary = [{"type": "summary_text", "text": draw(texts)}]
        items.append({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "c2ln" * 40})
    if text:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "content": content})
    for call in calls:
        made = {"type": "function_call", "id": "fc_1", "call_id": call.id, "name": _legal(call.name)}
        items.append({**made, "arguments": _json(call.args)})
    return items


def _legal(name: str) -> str:
    return name.replace(".", "_")


def _json(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _end(draw: st.DrawFn, story: _Story) -> list[Move]:
    """One of the calls that wait ends, in any order; sometimes twice, sometimes it never does."""
    if not story.waiting:
        return []
    call = story.waiting.pop(draw(st.integers(0, len(story.waiting) - 1)))
    how = draw(st.sampled_from(("once", "once", "once", "once", "never", "twice")))
    if how == "never":
        return []
    story.ended.append(call)
    status = draw(st.sampled_from((ReturnStatus.OK, ReturnStatus.OK, ReturnStatus.OK, *ReturnStatus)))
    text, images = draw(texts), draw(st.sampled_from((0, 0, 0, 1)))
    native: list[dict[str, Any]] | None = None
    if images and story.shape is Shape.ANTHROPIC:
        source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
        shown: list[dict[str, Any]] = [{"type": "text", "text": text}] if text.strip() else []
        native = [*shown, {"type": "image", "source": source}]
    if images and story.shape is Shape.RESPONSES:
        native = [{"type": "input_text", "text": text}] if text.strip() else []
        native.append({"type": "input_image", "image_url": "data:image/png;base64,aGk="})
    ended = Ended(call, text, status, images, native)
    return [ended, attrs.evolve(ended, text=f"{text}\nagain")] if how == "twice" else [ended]


def _said(draw: st.DrawFn, story: _Story) -> list[Move]:
    return [Said(draw(texts))]


def _other(draw: st.DrawFn, story: _Story) -> list[Move]:
    return [Done(draw(st.sampled_from(tuple(_DONE))), draw(st.integers(0, 40)))]


def _early(draw: st.DrawFn, story: _Story) -> list[Move]:
    """The result of the next call comes before it."""
    story.ended.append(story.calls + 1)
    return [Ended(story.calls + 1, draw(texts), ReturnStatus.OK)]


_MOVES: Final = {"answer": _answer, "end": _end, "said": _said, "other": _other, "early": _early}
_KINDS: Final = ("answer", "answer", "answer", "answer", "end", "end", "said", "other", "other", "early")


# ------------------------------------------------------------------------------------------ the player


def play(session: Session, history: History) -> Iterator[Prompt]:
    """Play a history in an open session; yields the prompt of each turn before the model answers it."""
    for move in history.moves:
        if isinstance(move, Answer):
            yield session.assemble(fixed_tokens=move.fixed_tokens)
            session.observe_model(move.text, move.calls, native=move.native)
        elif isinstance(move, Said):
            session.user_says(move.text)
        elif isinstance(move, Ended):
            images = (Image("image/png", 2, "0" * 64),) * move.images
            unmatched = move.call not in session.state.calls
            native = "" if move.native is None else json.dumps(move.native)
            session.observe(
                ToolResult(move.call, move.text, move.status, images=images, unmatched=unmatched, native=native)
            )
        else:
            _DONE[move.what](session, move.number)


def _page(session: Session, number: int) -> str | None:
    """One of the pages that have a content still."""
    pages = [page_id for page_id, page in session.state.pages.items() if not (page.gone or page.retired)]
    return pages[number % len(pages)] if pages else None


def _needs(session: Session, number: int) -> None:
    page_id = _page(session, number)
    if page_id is not None:
        session.resolve(page_id)


def _retires(session: Session, number: int) -> None:
    page_id = _page(session, number)
    if page_id is not None:
        session.retire(page_id)


def _pins(session: Session, number: int) -> None:
    page_id = _page(session, number)
    if page_id is not None:
        session.pin(page_id, Pin.HARD)


def _rewrites(session: Session, number: int) -> None:
    page_id = _page(session, number)
    if page_id is not None:
        page = session.state.pages[page_id]
        session.write_page(page.page_type, "rewritten\n" * number, page_id=page_id, author=page.author)


def _rules(session: Session, number: int) -> None:
    session.write_page(tuple(PAGE_TYPES)[number % 4], f"Never {number}.\n- Goal: ship")


def _changes_budget(session: Session, number: int) -> None:
    session.set_budget(100 + 60 * number)


def _compacts(session: Session, number: int) -> None:
    session.compact()


def _prunes(session: Session, number: int) -> None:
    session.prune()


_DONE: Final = {
    "needs": _needs,
    "needs again": _needs,
    "retires": _retires,
    "pins": _pins,
    "rewrites": _rewrites,
    "rules": _rules,
    "budget": _changes_budget,
    "compact": _compacts,
    "prune": _prunes,
}
assert PageType.PLAN in tuple(PAGE_TYPES)[:4]
