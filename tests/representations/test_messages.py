"""Blocks as messages: both shapes against a golden file, the framing that they are counted by, the check of pairs."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.counter import counter
from clawvm_es.representations.messages import Block, Kind, Role, Shape, broken, framing, messages, pieces, system
from clawvm_es.representations.messages.blocks import is_legal_id, legal_name
from clawvm_es.representations.messages.shapes import calls_in
from tests.representations.strategies import nasty_texts

GOLDEN = Path(__file__).parent / "golden_messages.json"
FULL, STUB = Fidelity.FULL, Fidelity.POINTER
COUNTER = counter("lines4")
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
THOUGHT = {"type": "thinking", "thinking": "Look first.", "signature": "c2lnbmVk"}


def call(call_id: str, text: str, run: int = 1, name: str = "read", native: str | None = None) -> Block:
    """A call of group 1."""
    return Block(None, Role.ASSISTANT, FULL, text, run, call_id, kind=Kind.CALL, name=name, run=run, native=native)


def result(page_id: str | None, call_id: str, text: str, run: int = 1, **fields: object) -> Block:
    """A result of group 1."""
    return Block(page_id, Role.TOOL, FULL, text, run, call_id, kind=Kind.RESULT, run=run, **fields)


CONVERSATION = (
    Block("p1", Role.USER, FULL, '<page id="p1" type="bootstrap" level="full" author="harness">\nRules.\n</page>\n'),
    Block("p2", Role.USER, FULL, "Read both files."),
    Block("p3", Role.ASSISTANT, FULL, "Reading.", 1, run=1),
    call("toolu_1", '{"path": "a.py", "lines": [1, 2]}'),
    call("toolu_2", "not JSON", name="mcp.read"),
    result("p4", "toolu_1", "import os\n"),
    result("p5", "toolu_2", "no such file", is_error=True),
    Block(None, Role.ASSISTANT, FULL, "Look first.", 2, kind=Kind.THINKING, run=2, native=json.dumps([THOUGHT, {
        "type": "tool_use", "id": "toolu_3", "name": "shot", "input": {"of": "\u00e9"}}])),
    call("toolu_3", '{"of":"\u00e9"}', run=2, name="shot"),
    result("p6", "toolu_3", "", run=2, native=json.dumps([{"type": "text", "text": "a screenshot"}, PNG])),
    result(None, "toolu_4", "", run=3),
    Block("p7", Role.USER, FULL, "Look here:", native=json.dumps([{"type": "text", "text": "Look here:"}, PNG])),
    Block(None, Role.USER, None, '<directory pages="3">stored pages</directory>\n'),
)  # fmt: skip
CONVERSATION = (*CONVERSATION[:10], call("toolu_4", "{}", run=3), *CONVERSATION[10:])


@pytest.mark.parametrize("own", Shape)
@pytest.mark.parametrize("shape", Shape)
def test_the_messages_of_a_conversation_are_as_golden(shape, own):
    """Roles, pairs, errors, arguments, native forms and the mark at the end of the layout, in both shapes."""
    found = messages(CONVERSATION, shape, own, marks=(12,))
    assert found == json.loads(GOLDEN.read_text())[f"{shape} of {own}"]
    assert broken(found, shape) == []


def test_the_fixed_region_has_a_mark_at_its_end():
    """Anthropic's `system` is marked, OpenAI's system message cannot be, and an empty one is left out."""
    assert system("Be kind.", Shape.ANTHROPIC) == [
        {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}
    ]
    assert system("Be kind.", Shape.OPENAI) == [{"role": "system", "content": "Be kind."}]
    assert system(" ", Shape.ANTHROPIC) == []


# ------------------------------------------------------------------------------------------ properties

words = st.one_of(nasty_texts, st.sampled_from(["", " ", "\n"])).map(lambda text: text[:300])
ids = st.integers(1, 10**9).map(lambda number: f"call_{number}")
said = st.one_of(
    nasty_texts.map(lambda text: text[:300]),
    st.sampled_from(['{"a": NaN}', '{"a": 1e999}', "{", '{"arguments": "x"}', '{"arguments": "{}"}', "[1]", "{}"]),
    st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.lists(st.booleans())).map(
        json.dumps
    ),
)


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[Block, ...]:
    """A user's message, then answers with their calls and results, each answer with one text or call at least."""
    found = [Block("p1", Role.USER, FULL, "Do it.")]
    names = iter(draw(st.lists(ids, unique=True, min_size=12, max_size=12)))
    for run in range(1, draw(st.integers(0, 4)) + 1):
        texts = [text for text in draw(st.lists(words, max_size=2)) if text.strip()]
        calls = [next(names) for _ in range(draw(st.integers(0 if texts else 1, 3)))]
        found += [Block("p2", Role.ASSISTANT, FULL, text, run, run=run) for text in texts]
        found += [call(name, draw(said), run, draw(st.text(max_size=70))) for name in calls]
        for name in calls:
            parts = draw(st.lists(words.filter(str.strip), min_size=2, max_size=2) | st.tuples(words))
            found += [result(f"p{place}", name, part, run) for place, part in enumerate(parts)]
        if not calls or draw(st.booleans()):
            found.append(Block("p5", Role.USER, FULL, draw(words.filter(str.strip)), run=run))
    return tuple(found)


def tokens_of(block: Block) -> int:
    """The tokens of a block by the framing, as its page or its call was counted when it was recorded."""
    if block.kind is Kind.CALL:
        return framing.call_tokens(block.call_id or "", block.name, block.text, COUNTER)
    return framing.text_tokens(block.text, COUNTER)


PAIR = "\ud800\udfff"
"""A character in two surrogates, as it comes from texts that were joined."""
HALVES = (
    Block("p1", Role.USER, FULL, PAIR),
    Block("p2", Role.ASSISTANT, FULL, f"{PAIR[1]}{PAIR}", 1, run=1),
    call("call_1", json.dumps({PAIR[0]: 1, "\ue000": 2}), 1, PAIR),
    call("call_2", f'{{"a": "\\ud800{PAIR[1]}"}}', 1),
    call("call_3", f'{{"{PAIR[0]}": 1, "\\ud801": 2}}', 1),
    call("call_4", PAIR, 1),
    result("p3", "call_1", PAIR),
    result("p4", "call_2", f"{PAIR}{PAIR[0]}"),
    result("p5", "call_2", PAIR),
    result("p6", "call_3", PAIR[1]),
    result("p7", "call_4", f"{PAIR[1]}{PAIR[0]}"),
)
"""Pairs and halves of pairs in every kind of block, and in arguments that are an object and none."""


@pytest.mark.parametrize("shape", Shape)
@settings(max_examples=50)
@given(blocks=exchanges())
@example(blocks=HALVES)
def test_messages_count_as_their_blocks_and_keep_pairs(shape, blocks):
    """LAW-MSG-5, LAW-COUNT-2, LAW-MSG-1: each shape says every block once, as counted, and no pair is broken."""
    found = messages(blocks, shape, shape)
    assert framing.count(found, shape, COUNTER) == sum(map(tokens_of, blocks))
    assert broken(found, shape) == []
    json.dumps(found, allow_nan=False).encode()


@pytest.mark.parametrize("shape", Shape)
@settings(max_examples=30)
@given(blocks=exchanges(), more=exchanges())
def test_what_is_appended_leaves_the_pieces_before_it(shape, blocks, more):
    """EPOCH-1 in rendered bytes: marks move, pieces do not."""
    later = [
        attrs.evolve(block, call_id=block.call_id and f"{block.call_id}x", run=block.run + 100) for block in more
    ]
    before = pieces(messages(blocks, shape, shape, marks=(len(blocks) - 1,)))
    after = pieces(messages((*blocks, *later), shape, shape, marks=(len(blocks) + len(later) - 1,)))
    assert after[: len(before)] == before


@given(text=st.one_of(said, st.just(" {}"), nasty_texts))
def test_arguments_that_are_no_object_come_back_from_what_holds_them(text):
    """What is sent in the place of an object counts as the text that the model wrote."""
    assert framing.unwrapped(framing.wrapped(text)) in (text, framing.said(text))
    assert framing.said(framing.unwrapped(framing.wrapped(text))) == framing.said(text)


@given(text=nasty_texts)
def test_names_and_ids_are_what_providers_take(text):
    """A legal name is legal, and an id is what both shapes take."""
    assert legal_name(legal_name(text)) == legal_name(text)
    assert not is_legal_id(text) or text.isascii()


@pytest.mark.parametrize("shape", Shape)
def test_images_count_for_the_most_that_a_provider_counts(shape):
    """An image counts 1,600 tokens whatever its bytes, a signature nothing, another item its JSON."""
    items = [PNG, THOUGHT, {"type": "server_tool_use", "id": "x", "name": "search", "input": {}}]
    alone = [framing.item_tokens(item, COUNTER) for item in items]
    assert alone[0] == framing.IMAGE_TOKENS + framing.BLOCK_TOKENS
    assert alone[1] == framing.text_tokens("Look first.", COUNTER)
    found = [{"role": "user", "content": items}]
    assert framing.count(found, shape, COUNTER) == sum(alone)


def test_a_native_answer_says_which_calls_it_makes():
    """The ids of the calls of each provider's form, none of a form that is no answer."""
    chat = {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}, {"id": "b"}]}
    assert calls_in(json.dumps(chat), Shape.OPENAI) == ("a", "b")
    assert calls_in(json.dumps([THOUGHT, {"type": "tool_use", "id": "a"}]), Shape.ANTHROPIC) == ("a",)
    assert calls_in(json.dumps({"content": [{"type": "tool_use", "id": "a"}]}), Shape.ANTHROPIC) == ("a",)
    for other in ("", "{", "[]", "[1]", '{"role": "user"}', '{"role": "assistant", "tool_calls": 1}'):
        assert calls_in(other, Shape.OPENAI) is None
    assert calls_in('[{"type": "tool_result"}]', Shape.ANTHROPIC) is None


# ---------------------------------------------------------------------------- the check sees what it checks


def _dropped(found, place):
    found[place]["content"].pop(0)


BREAKS = {
    "a result is left out": lambda found: _dropped(found, 2),
    "a result comes twice": lambda found: found[2]["content"].append(copy.deepcopy(found[2]["content"][0])),
    "a call is left out": lambda found: found[1]["content"].pop(),
    "a text before a result": lambda found: found[2]["content"].insert(0, {"type": "text", "text": "x"}),
    "an id twice": lambda found: found[3]["content"][1].update(id="toolu_1"),
    "an answer first": lambda found: found.pop(0),
    "a blank text": lambda found: found[0]["content"][0].update(text=" "),
    "an input that is no object": lambda found: found[1]["content"][1].update(input="x"),
    "a name that is none": lambda found: found[1]["content"][1].update(name="a b"),
    "an id that is none": lambda found: found[1]["content"][1].update(id="a:b"),
    "two of one role": lambda found: found.insert(1, copy.deepcopy(found[0])),
    "a message without content": lambda found: found[-1]["content"].clear(),
    "calls at the end": lambda found: found.__delitem__(slice(2, None)),
    "a call of the user's": lambda found: found[0]["content"].append(dict(found[1]["content"][1], id="u")),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_conversation_is_found_in_anthropics_shape(name):
    """Each thing that the API refuses is named."""
    found = messages(CONVERSATION, Shape.ANTHROPIC, Shape.ANTHROPIC)
    BREAKS[name](found)
    assert broken(found, Shape.ANTHROPIC)


CHAT_BREAKS = {
    "a result is left out": lambda found: found.pop(3),
    "a result comes twice": lambda found: found.insert(4, dict(found[3])),
    "a call is left out": lambda found: found[2]["tool_calls"].pop(),
    "something before a result": lambda found: found.insert(3, {"role": "user", "content": "x"}),
    "an id twice": lambda found: found[5]["tool_calls"][0].update(id="toolu_1"),
    "an answer without content": lambda found: found.append({"role": "assistant", "content": None}),
    "arguments that are no text": lambda found: found[2]["tool_calls"][0]["function"].update(arguments={}),
    "a result without content": lambda found: found[3].update(content=None),
    "calls at the end": lambda found: found.__delitem__(slice(3, None)),
}


@pytest.mark.parametrize("name", CHAT_BREAKS)
def test_a_broken_conversation_is_found_in_openais_shape(name):
    """Each thing that the API refuses is named."""
    found = messages(CONVERSATION, Shape.OPENAI, Shape.ANTHROPIC)
    CHAT_BREAKS[name](found)
    assert broken(found, Shape.OPENAI)


ITEM_BREAKS = {
    "a result is left out": lambda found: found.pop(5),
    "a result comes twice": lambda found: found.insert(6, dict(found[5])),
    "a call is left out": lambda found: found.pop(3),
    "a message before a result": lambda found: found.insert(5, {"role": "user", "content": "x"}),
    "an answer before the last result": lambda found: found.insert(6, {"role": "assistant", "content": "x"}),
    "an id twice": lambda found: found[7].update(call_id="toolu_1"),
    "a message without content": lambda found: found.append({"role": "assistant", "content": ""}),
    "arguments that are no text": lambda found: found[3].update(arguments={}),
    "a result without output": lambda found: found[5].update(output=None),
    "a thought that nothing follows": lambda found: found.append({"type": "reasoning", "summary": []}),
    "calls at the end": lambda found: found.__delitem__(slice(5, None)),
}


@pytest.mark.parametrize("name", ITEM_BREAKS)
def test_a_broken_conversation_is_found_among_the_items_of_responses(name):
    """Each thing that the API refuses is named."""
    found = messages(CONVERSATION, Shape.RESPONSES, Shape.RESPONSES)
    ITEM_BREAKS[name](found)
    assert broken(found, Shape.RESPONSES)


def test_an_answer_of_responses_is_sent_back_as_it_was():
    """Thoughts, calls of other kinds and their results go back item by item; without them a call is a function's."""
    click = {"type": "computer_call", "id": "cu_1", "call_id": "call_1", "action": {"type": "click"}, "status": "ok"}
    seen = {"type": "computer_call_output", "call_id": "call_1", "output": {"type": "computer_screenshot"}}
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2ln"}
    blocks = (
        Block(None, Role.ASSISTANT, FULL, "", 1, kind=Kind.THINKING, run=1, native=json.dumps([thought, click])),
        call("call_1", '{"action": "click"}', name="computer"),
        result("p1", "call_1", "a screenshot", native=json.dumps([seen])),
    )
    assert messages(blocks, Shape.RESPONSES, Shape.RESPONSES) == [thought, click, seen]
    plain = messages(blocks[1:], Shape.RESPONSES, Shape.RESPONSES)
    assert [item["type"] for item in plain] == ["function_call", "function_call_output"]
    assert plain[1]["output"] == "a screenshot"
    served = {"type": "shell_call", "call_id": "call_2"}, {"type": "shell_call_output", "call_id": "call_2"}
    assert calls_in(json.dumps([*served, click]), Shape.RESPONSES) == ("call_1",)
