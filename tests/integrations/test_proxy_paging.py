"""Which results of a growing history reach the provider in full: the laws of the proxy's epochs, over three APIs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.core.profiles import CLAWVM
from clawvm_es.integrations.proxy import anthropic, openai
from clawvm_es.integrations.proxy.histories import Counts, Histories, Options, Prepared
from clawvm_es.integrations.proxy.paging import Epoch, Held, Stub, next_request
from clawvm_es.integrations.proxy.wire import Item, Result, Shape, taken_apart
from clawvm_es.model.facts import EpochTrigger
from clawvm_es.representations.counter import counter
from clawvm_es.representations.messages.blocks import Shape as Messages
from clawvm_es.representations.messages.pairs import broken

Document = dict[str, Any]
COUNTER: Final = counter("lines4")
KEEP: Final = 2


@attrs.frozen
class Turn:
    """What the user says, and for each answer the sizes of the results of its calls, in lines; the last has none."""

    said: str
    answers: list[list[int]]
    idle_s: int


TURNS = st.lists(
    st.builds(
        Turn,
        st.sampled_from(["go on", "read it\nagain", "why?"]),
        st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=3), max_size=4),
        st.sampled_from([0, 0, 0, 400]),
    ),
    min_size=1,
    max_size=8,
)


def of_anthropic(number: int, text: str, sizes: Sequence[int] | None) -> Iterator[Document]:
    """The messages of a prompt of the user (no sizes), or of an answer and its results."""
    if sizes is None:
        yield {"role": "user", "content": text}
        return
    ids = [f"toolu_{number}_{place}" for place in range(len(sizes))]
    uses = [{"type": "tool_use", "id": each, "name": "Read", "input": {"n": number}} for each in ids]
    yield {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, *uses]}
    results = zip(ids, sizes, strict=True)
    yield {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": lines(i, n)} for i, n in results]}  # fmt: skip  # noqa: E501


def of_chat(number: int, text: str, sizes: Sequence[int] | None) -> Iterator[Document]:
    """The same for Chat Completions."""
    if sizes is None:
        yield {"role": "user", "content": text}
        return
    ids = [f"call_{number}_{place}" for place in range(len(sizes))]
    function = {"name": "read", "arguments": json.dumps({"n": number})}
    calls = [{"id": each, "type": "function", "function": function} for each in ids]
    yield {"role": "assistant", "content": None, "tool_calls": calls}
    for each, size in zip(ids, sizes, strict=True):
        yield {"role": "tool", "tool_call_id": each, "content": lines(each, size)}


def of_responses(number: int, text: str, sizes: Sequence[int] | None) -> Iterator[Document]:
    """The same for Responses."""
    if sizes is None:
        yield {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        return
    ids = [f"call_{number}_{place}" for place in range(len(sizes))]
    yield {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "x"}
    for each in ids:
        yield {"type": "function_call", "call_id": each, "name": "read", "arguments": json.dumps({"n": number})}
    for each, size in zip(ids, sizes, strict=True):
        yield {"type": "function_call_output", "call_id": each, "output": lines(each, size)}


def lines(name: str, size: int) -> str:
    """A result of some lines; the empty one of none."""
    return "".join(f"{name} line {number}\n" for number in range(size))


@attrs.frozen
class Api:
    """An API: how its histories are written, and how its results are found again."""

    shape: Shape
    write: Callable[[int, str, Sequence[int] | None], Iterator[Document]]
    content: str


APIS = {
    "anthropic": Api(anthropic.SHAPE, of_anthropic, "content"),
    "chat": Api(openai.CHAT, of_chat, "content"),
    "responses": Api(openai.RESPONSES, of_responses, "output"),
}


def requests(api: Api, turns: Sequence[Turn]) -> Iterator[tuple[list[Document], int]]:
    """The histories of a conversation, each with the seconds before it."""
    history: list[Document] = []
    number = 0
    for turn in turns:
        history += api.write(number, turn.said, None)
        yield list(history), turn.idle_s
        for sizes in turn.answers:
            number += 1
            history += api.write(number, "", sizes)
            yield list(history), 0
        text = {"role": "assistant", "content": f"done {number}"}
        history.append({"type": "message", **text} if api.content == "output" else text)


def body_of(api: Api, history: Sequence[Document], marks: bool) -> bytes:
    """A request as a client writes it, which marks the end of what the provider's cache should keep."""
    history = json.loads(json.dumps(history))
    if marks and isinstance(history[-1]["content"], str):
        history[-1]["content"] = [{"type": "text", "text": history[-1]["content"]}]
    if marks:
        history[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
    fixed = {"model": "m", "max_tokens": 100, "temperature": 1.50, "tools": [{"name": "read"}]}
    return json.dumps({**fixed, api.shape.history: history}).encode()


def pieces(body: bytes, api: Api) -> list[Document]:
    """The blocks of a history in order, without the marks of the cache; texts in blocks or not are the same."""
    found = []
    for item in json.loads(body)[api.shape.history]:
        content = item.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if isinstance(blocks, list) and api.content == "content" and item["role"] != "tool":
            rest = {name: value for name, value in item.items() if name != "content"}
            found += [{**rest, **{k: v for k, v in each.items() if k != "cache_control"}} for each in blocks]
        else:
            found.append(item)
    return found


def is_result(piece: Document) -> bool:
    """Tell whether a piece is the result of a call."""
    return piece.get("type") in ("tool_result", "function_call_output") or piece.get("role") == "tool"


def identity(piece: Document, api: Api) -> Document:
    """A piece without what may be replaced."""
    return {name: value for name, value in piece.items() if not (is_result(piece) and name == api.content)}


@given(st.sampled_from(sorted(APIS)), TURNS, st.sampled_from([2_000, 4_000, 8_000, 16_000]))
def test_a_growing_history(name: str, turns: list[Turn], budget: int) -> None:
    """Between epochs what was sent begins what is sent next; contents of old results alone are ever another."""
    api, options = APIS[name], Options(budget=budget, keep=KEEP)
    histories = Histories(options, Counts(COUNTER))
    before: list[Document] = []
    at_us = 1_000_000
    for history, idle_s in requests(api, turns):
        body = body_of(api, history, marks=name == "anthropic")
        at_us += (1 + idle_s) * 1_000_000
        counted = histories.prepare(taken_apart(api.shape, body), "s", at_us, asks=False)
        found = histories.prepare(taken_apart(api.shape, body), "s", at_us, asks=True)
        assert counted.body == found.body  # what is counted is what is sent
        sent = body if found.body is None else found.body
        now, given_ = pieces(sent, api), pieces(body, api)
        if found.trigger is None:
            assert now[: len(before)] == before
        assert [identity(piece, api) for piece in now] == [identity(piece, api) for piece in given_]
        assert_only_old_results(now, given_, found, api)
        if name != "responses" and found.body is not None:
            messages = [{"role": m["role"], **m} for m in json.loads(sent)["messages"]]
            assert_pairs(messages, name)
        rest = {key: value for key, value in json.loads(sent).items() if key != api.shape.history}
        assert rest == {key: value for key, value in json.loads(body).items() if key != api.shape.history}
        history_of = found.history
        for item in history_of.items:
            history_of.pages.update({result.key: f"proxy:s/{result.call_id}" for result in item.results})
        history_of.answered_us = at_us
        before = now


def assert_only_old_results(now: list[Document], was: list[Document], found: Prepared, api: Api) -> None:
    """What is another is a stub, of no newest result, and of the open exchange only where no room is left."""
    results = [place for place, piece in enumerate(was) if is_result(piece)]
    changed = [place for place in range(len(was)) if now[place] != was[place]]
    assert not set(changed) & set(results[-KEEP:])
    assert len(changed) == len(found.out)
    if found.trigger not in (None, EpochTrigger.HIGH):
        spoken = max(place for place, piece in enumerate(was) if piece.get("role") == "user" and not is_result(piece))
        assert all(place < spoken for place in changed)
    for place in changed:
        text = now[place][api.content]
        assert text.startswith("[clawvm took this result out: ") and "run the call again" in text


def assert_pairs(messages: list[Document], name: str) -> None:
    """Every call has its result right after it, as before."""
    shape = Messages.ANTHROPIC if name == "anthropic" else Messages.OPENAI
    as_blocks = [
        {**m, "content": [{"type": "text", "text": m["content"]}] if isinstance(m["content"], str) else m["content"]}
        if name == "anthropic"
        else m
        for m in messages
    ]
    assert [problem for problem in broken(as_blocks, shape) if "without a word" not in problem] == []


# ------------------------------------------------------------------------------------------ the table


def item(tokens: int, call_id: str = "", speaks: bool = False) -> Item:
    """An item of a history: a result, or something else."""
    results = (Result(call_id, tokens, tokens * 4, 1, "d", True, call_id),) if call_id else ()
    return Item((), results, tokens, speaks)


def held(*items: Item, **more: Any) -> Held:
    """A history whose results all may be taken out, for stubs of 10 tokens."""
    stubs = {result.call_id: Stub(f"stub {result.call_id}", 10) for each in items for result in each.results}
    return Held(items, 0, "r", stubs, **more)


OLD = [item(100, f"old{number}") for number in range(8)]
TALK = [*OLD, item(50, speaks=True)]
GOING = Epoch(1, 0, {}, "r")


@pytest.mark.parametrize(
    ("before", "history", "budget", "idle_s", "trigger"),
    [
        (Epoch(), held(*TALK), 10_000, None, EpochTrigger.FORCED),
        (GOING, attrs.evolve(held(*TALK), region="another"), 10_000, 0, EpochTrigger.FORCED),
        (GOING, held(*TALK, changed=True), 10_000, 0, EpochTrigger.FORCED),
        (GOING, held(*TALK), 10_000, 900, None),
        (GOING, held(*TALK), 800, 0, EpochTrigger.HIGH),
        (GOING, held(*TALK), 1_000, 301, EpochTrigger.COLD),
        (GOING, held(*TALK), 1_000, 300, None),
        (GOING, held(*TALK), 1_000, None, None),
        (attrs.evolve(GOING, rent=10**9), held(*TALK), 1_000, 0, EpochTrigger.RENT),
        (attrs.evolve(GOING, rent=10**9), held(*TALK), 10_000, 0, None),
    ],
)
def test_why_an_epoch_begins(
    before: Epoch, history: Held, budget: int, idle_s: int | None, trigger: EpochTrigger | None
) -> None:
    """The first row of the table that matches."""
    assert next_request(before, history, budget, idle_s, 2).trigger is trigger


def test_an_epoch_takes_back_the_newest_results() -> None:
    """Above the mark the oldest results leave; a colder cache keeps less; what is kept stays within the mark."""
    warm = next_request(attrs.evolve(GOING, rent=10**9), held(*TALK), 2_000, 0, 2)
    assert list(warm.epoch.stubs) == ["old0", "old1", "old2"]
    assert warm.sent == 3 * 10 + 5 * 100 + 50 <= 2_000 * CLAWVM.low_permille // 1000
    cold = next_request(GOING, held(*TALK), 1_600, 301, 2)
    assert list(cold.epoch.stubs) == [f"old{number}" for number in range(6)]
    assert cold.epoch.number == 2 and cold.epoch.rent >= 0


def test_the_rent_is_paid_for_what_could_leave() -> None:
    """Each request pays for what is sent beyond the mark, and nothing where no result may leave."""
    going = next_request(GOING, held(*TALK), 2_500, 0, 2)
    assert going.epoch.rent == CLAWVM.read_price * (850 - 750)
    bound = next_request(GOING, attrs.evolve(held(*TALK), stubs={}), 2_500, 0, 2)
    assert bound.epoch.rent == 0


def test_the_open_exchange_stays_unless_nothing_else_helps() -> None:
    """Results since the user spoke stay; where they take most of a room that is full, the older of them leave."""
    run = [item(50, speaks=True), *OLD]
    assert next_request(attrs.evolve(GOING, rent=10**9), held(*run), 1_000, 301, 2).epoch.stubs == {}
    pressed = next_request(GOING, held(*run), 800, 0, 2)
    assert pressed.trigger is EpochTrigger.HIGH and list(pressed.epoch.stubs) == [f"old{n}" for n in range(6)]


def test_what_is_small_or_no_text_stays() -> None:
    """A result that its stub would hardly shorten stays, and one that the journal does not hold."""
    small = [item(19, "small"), item(100, "big"), item(100, "new"), item(5, speaks=True)]
    found = next_request(GOING, held(*small), 100, 0, 0)
    assert list(found.epoch.stubs) == ["big", "new"]
    without = next_request(GOING, attrs.evolve(held(*small), stubs={}), 100, 0, 0)
    assert without.epoch.stubs == {} and without.sent == 224
