"""The natural loop of a harness: an answer, its calls, their results; each recorded once, also piece by piece."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es import Call, Usage
from clawvm_es.core.state import State
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import IdempotencyConflict, ToolFailed, UsageError
from clawvm_es.model import events as e
from clawvm_es.model.facts import Finish, Holder, Need, NeedRule, ReturnStatus
from clawvm_es.model.pages import Fidelity
from clawvm_es.observe.tools import Tool
from tests.engine.conftest import ticking

READ = [Call("c1", "look", {"at": "a"}), Call("c2", "look", {"at": "b"})]


def rows(session, kind):
    """The events of a type in a session's log."""
    return [row.data for row in session._shell.log.read(session.session_id) if isinstance(row.data, kind)]


def opened(session, commitment):
    """The text behind a commitment."""
    return session._shell.edge.open(commitment)


def test_the_natural_loop_records_each_call_once(session):
    """An answer with calls, then each of them run by name and arguments: two calls, two results, two pages."""
    calls = session.observe_model("I look", READ)
    told = [session.tool(call.name, call.args, lambda at: f"found {at}") for call in READ]
    assert [result.call for result in told] == list(calls) == [1, 2]
    assert len(session.state.calls) == 2 and session.in_flight == ()
    assert [session.read_page(result.page_id) for result in told] == ["found a", "found b"]
    assert [made.page_id for made in session.state.calls.values()] == [result.page_id for result in told]


@pytest.mark.parametrize("call", [2, "c2"], ids=["number", "id"])
def test_a_call_is_named_by_its_number_or_by_the_harness_s_id(session, call):
    """The second call runs first, and its result is its own."""
    session.observe_model("", READ)
    assert session.tool("look", {"at": "b"}, lambda at: f"found {at}", call=call).call == 2
    assert [made.call for made in session.in_flight] == [1]


def test_calls_of_the_same_name_and_arguments_are_run_one_after_the_other(session):
    """Two equal calls of one answer get a result each; a third one is a new call."""
    same = [("look", {"at": "a"}), ("look", {"at": "a"})]
    session.observe_model("", same)
    assert [session.tool("look", {"at": "a"}, lambda at: at).call for _ in range(3)] == [1, 2, 3]


def test_a_call_that_names_none_is_an_equal_one_of_the_newest_answer_or_a_new_one(session):
    """Calls of earlier answers, of other arguments and without an answer are left alone, though they wait."""
    at = {"at": "a"}
    assert session.begin_tool("look", at).number == 1  # its own: no answer made it
    assert session.observe_model("", [("look", at), ("look", at)]) == (2, 3)
    assert session.begin_tool("look", at).number == 2
    assert session.observe_model("", [("look", {"at": "b"}), ("touch", at)]) == (4, 5)
    assert session.begin_tool("look", at).number == 6
    assert session.observe_model("") == ()
    assert session.begin_tool("touch", at).number == 7
    assert session.observe_model("", [("look", at)]) == (8,)
    assert [session.begin_tool("look", at).number for _ in range(2)] == [8, 9]
    assert [made.call for made in session.in_flight] == list(range(1, 10))


def test_equal_calls_that_run_at_once_do_not_take_each_other_s_place(session):
    """Two threads run the two equal calls of an answer, and a third call that nobody recorded yet."""
    session.observe_model("", [("look", {"at": "a"})] * 2)
    barrier, numbers = threading.Barrier(3), []

    def run(at):
        barrier.wait(20)
        return at

    threads = [
        threading.Thread(target=lambda: numbers.append(session.tool("look", {"at": "a"}, run).call)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == [1, 2, 3]


def test_results_may_come_in_any_order_and_by_id(session):
    """Each stands with its own call; the frame names it."""
    session.observe_model("", READ)
    second = session.observe_result(call_id="c2", text="of b")
    first = session.observe_result(1, "of a")
    assert [session.state.calls[number].page_id for number in (1, 2)] == [first, second]
    text = session.assemble().text
    assert text.index("of b") < text.index("of a")
    assert "&quot;at&quot;: &quot;b&quot;" in text


def test_an_id_that_is_used_again_names_the_newest_call(session):
    """Providers that count calls anew in each answer are understood."""
    session.observe_model("", [Call("call_0", "look", {"at": "a"})])
    session.observe_result(call_id="call_0", text="of a")
    session.observe_model("", [Call("call_0", "look", {"at": "b"})])
    session.observe_result(call_id="call_0", text="of b")
    assert [session.read_page(made.page_id) for made in session.state.calls.values()] == ["of a", "of b"]


WRONG = {
    "unknown call": (lambda s: s.observe_result(7, "x"), "there is no call 7; calls without a result: 1, 2"),
    "unknown id": (lambda s: s.observe_result(call_id="c9", text="x"), "there is no call id 'c9'"),
    "second result": (lambda s: s.observe_result(3, "again"), "call 3 of unknown has a result already (page "),
    "run again": (lambda s: s.tool("look", {"at": "z"}, str, call=3), "has a result already"),
    "run an unknown one": (lambda s: s.tool("look", {"at": "z"}, str, call=9), "there is no call 9"),
    "other arguments": (lambda s: s.tool("look", {"at": "q"}, str, call=1), "has another tool or other arguments"),
    "another tool": (lambda s: s.tool("find", {"at": "a"}, str, call=1), "has another tool or other arguments"),
    "no call": (lambda s: s.observe_result(text="x"), "expected either call= or call_id="),
    "both": (lambda s: s.observe_result(1, "x", call_id="c1"), "expected either call= or call_id="),
    "no text": (lambda s: s.observe_result(1), "result: expected a string, got NoneType"),
    "call as an object": (lambda s: s.tool("look", {}, str, call=READ[0]), "pass its id 'c1'"),
    "equal ids": (
        lambda s: s.observe_model("", [Call("x", "a", {}), Call("x", "b", {})]),
        "calls[1] id: 'x' is that of calls[0]",
    ),
    "id": (lambda s: s.observe_model("", [Call(None, "a", {})]), "for none, pass the empty string"),
    "arguments": (lambda s: s.observe_model("", [Call("", "a", [1])]), "calls[0] args: expected a dict"),
    "one call": (lambda s: s.observe_model("", READ[0]), "calls: expected a list"),
    "usage": (lambda s: s.observe_model("", usage=5), "usage: expected a Usage, or a dict"),
    "usage twice": (lambda s: s.observe_model("", usage=Usage(1), input_tokens=2), "got input_tokens"),
    "usage below 0": (lambda s: s.observe_model("", usage=Usage(-1)), "usage input_tokens: expected at least 0"),
    "count": (lambda s: s.observe_model("", tokens=5), "tokens: expected a parameter of observe_model"),
    "finish": (lambda s: s.observe_model("", finish=3), "finish: expected one of stop, tool_calls"),
    "thinking": (lambda s: s.observe_model("", thinking=[1]), "thinking: expected a string"),
    "model": (lambda s: s.observe_model("", model=1), "model: expected a string"),
    "needs": (lambda s: s.observe_model("", needs=["p1"]), "needs: expected a list of Need"),
    "native": (lambda s: s.observe_model("", native={1, 2}), "such as model_dump() gives"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_is_refused_with_what_is_accepted(session, wrong):
    """An unknown call, a second result, other arguments, wrong types: a `UsageError`, and nothing is recorded."""
    session.observe_model("", [*READ, Call("c3", "look", {"at": "z"})])
    session.observe_result(3, "of z", key="k3")
    head = session.head
    call, told = WRONG[wrong]
    with pytest.raises(UsageError) as caught:
        call(session)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert session.head == head
    assert session.observe_result(3, "of z", key="k3") == session.state.calls[3].page_id


@pytest.mark.parametrize(
    ("text", "kept", "arguments"),
    [
        ('{"at":  "a"}', '{"at":  "a"}', {"at": "a"}),
        ("", "{}", {}),
        ('{"at": ', '{"input": "{\\"at\\": "}', None),
        ("[1]", '{"input": "[1]"}', None),
        ("rm -rf", '{"input": "rm -rf"}', None),
    ],
)
def test_arguments_may_be_the_text_that_the_model_wrote(session, text, kept, arguments):
    """JSON is kept as it was written; what is no object is the argument `input`, and the answer is not lost."""
    session.observe_model("", [Call("c1", "look", text)])
    (called,) = rows(session, e.ToolCalled)
    assert opened(session, called.arguments) == kept
    assert opened(session, called.call_id) == "c1"
    if arguments is not None:
        assert session.tool("look", arguments, lambda at="": "x").call == 1


def test_long_texts_among_arguments_have_a_stub_with_size_and_digest(session):
    """A write is kept in full, and as an object whose content is a stub; both are counted."""
    session.observe_model(
        "", [("write", {"path": "a", "content": "é" * 300}), ("write", {"path": "b", "content": "x"})]
    )
    long, short = rows(session, e.ToolCalled)
    assert [level.level for level in long.levels] == [Fidelity.FULL, Fidelity.STRUCTURED]
    assert [level.level for level in short.levels] == [Fidelity.FULL]
    stub = opened(session, long.levels[1].body)
    assert stub == '{"content":"[600 bytes, sha256 7250b66610f8b7db]","path":"a"}'
    assert long.levels[0].body == long.arguments
    assert [level.tokens for level in long.levels] == [
        session._shell.counter.count(text) for text in (opened(session, long.arguments), stub)
    ]


def test_an_answer_says_by_which_model_it_came_what_it_cost_and_how_it_ended(session):
    """Names, counts and reasons of two providers, thoughts and the native form stand in the events, in one group."""
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 900,
        "cache_creation_input_tokens": 90,
        "output_tokens": 7,
    }
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "text", "text": "so"}]
    session.observe_model(
        "so",
        READ[:1],
        model="m-1",
        provider="anthropic",
        finish="tool_use",
        usage=usage,
        thinking="hm",
        native=blocks,
    )
    session.observe_result(1, "found", native=[{"type": "image"}])
    session.observe_model("end", model="m-1", finish=Finish.STOP, usage=Usage(5, output_tokens=1))
    first, second = rows(session, e.ModelResponded)
    assert (first.group, first.model, second.group, second.model) == (1, 1, 2, 1)
    assert [opened(session, name) for name in (first.model_name, first.provider, first.thinking)] == [
        "m-1",
        "anthropic",
        "hm",
    ]
    assert (first.input_tokens, first.cached_tokens, first.written_tokens, first.output_tokens) == (1000, 900, 90, 7)
    assert (first.finish, second.finish, second.model_name) == (Finish.TOOL_CALLS, Finish.STOP, None)
    assert '"signature":"sig"' in opened(session, first.native)
    (returned,) = rows(session, e.ToolReturned)
    assert opened(session, returned.native) == '[{"type":"image"}]'
    assert [page.group for page in rows(session, e.PageWritten)] == [1, 1, 2]
    assert [called.group for called in rows(session, e.ToolCalled)] == [1]


# ------------------------------------------------------------------------------------------- streaming


def test_a_streamed_answer_is_one_answer_with_one_page(session):
    """Text, then more of it, then a call, then usage and the end: told under one key."""
    for told in (
        {"text": "I "},
        {"text": "I look"},
        {"text": "I look", "calls": READ[:1]},
        {"text": "I look", "calls": READ, "usage": Usage(100, 50, 1)},
        {"text": "I look", "calls": READ, "usage": Usage(100, 50, 9), "finish": "tool_use"},
    ):
        numbers = session.observe_model(**told, key="a1")
        assert numbers == tuple(range(1, 1 + len(told.get("calls", ()))))
    assert len(session.state.pages) == 1
    assert session.read_page("p1") == "I look"
    assert session.state.pages["p1"].content_version == 2
    assert [called.call for called in rows(session, e.ToolCalled)] == [1, 2]
    said = rows(session, e.ModelResponded)
    assert {each.group for each in said} == {1}
    assert [sum(getattr(each, name) for each in said) for name in ("input_tokens", "output_tokens")] == [100, 9]
    assert said[-1].finish is Finish.TOOL_CALLS
    session.observe_model("next")
    assert rows(session, e.ModelResponded)[-1].group == 2


def test_a_piece_that_comes_late_or_again_records_nothing(tmp_path):
    """Also on another handle, and after the next answer began; the numbers are those of the calls that were given."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        session = journal.session("s", counter="lines4")
        session.observe_model("I look", READ, usage=Usage(9), finish="stop", thinking="hm", key="a1")
        session.observe_model("next", key="a2")
        head = session.head
        for handle in (session, journal.session("s")):
            assert handle.observe_model("I", READ[:1], key="a1") == (1,)
            assert handle.observe_model("I look", READ, usage=Usage(9), finish="stop", thinking="h", key="a1") == (
                1,
                2,
            )
            assert handle.head == head


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"text": "I saw"}, "its text does not go on"),
        ({"text": "I look", "thinking": "no"}, "its thinking does not go on"),
        ({"text": "I look", "thinking": "ho"}, "its thinking does not go on"),
        ({"text": "I look", "calls": READ[1:]}, r"calls\[0\] is another call"),
        ({"text": "I look", "calls": [Call("c9", "look", {"at": "a"})]}, r"calls\[0\] is another call"),
        ({"text": "I look", "usage": Usage(8)}, "input_tokens was 9, now 8"),
        ({"text": "I look", "finish": "length"}, "finish was stop, now length"),
        ({"text": "I look", "provider": "other"}, "provider was p, now other"),
        ({"text": "I look", "model": "other"}, "the model's number was 1"),
        ({"text": "I look", "native": [2]}, "the native form"),
        ({"text": "I look", "needs": [Need((Holder("p2"),), NeedRule.DECLARED, 5)]}, "series of needs"),
    ],
)
@pytest.mark.parametrize("again", [False, True], ids=["same handle", "another handle"])
@pytest.mark.parametrize("more", [False, True], ids=["at once", "after more"])
def test_another_answer_under_the_key_is_a_conflict(tmp_path, told, why, again, more):
    """What does not go on from all that was recorded is refused with the part that differs, and records nothing."""
    need = Need((Holder("p1"),), NeedRule.DECLARED, 5)
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        session = journal.session("s", counter="lines4")
        session.user_says("one"), session.user_says("two")
        whole = {"model": "m", "provider": "p", "finish": "stop", "thinking": "hm", "native": [1], "needs": [need]}
        if more:
            session.observe_model("I", thinking="h", key="a1")
        session.observe_model("I look", READ[:1], usage=Usage(9), key="a1", **whole)
        if more:  # a row of its own, which holds nothing else
            session.observe_model("I look", usage=Usage(9, output_tokens=3), key="a1")
        session = journal.session("s") if again else session
        head = session.head
        with pytest.raises(IdempotencyConflict, match=f"'a1' was used before, at version 4: .*{why}"):
            session.observe_model(**told, key="a1")
        assert session.head == head


def test_a_credential_that_becomes_whole_in_a_stream_is_hidden(tmp_path):
    """The piece before it could not be told from other text; what follows goes on, and the page hides it."""
    secret = "sk-ant-api03-" + "a1B2" * 20
    with Journal.open(tmp_path / "j.db", clock=ticking(), hide_secrets=True) as journal:
        session = journal.session("s", counter="lines4")
        for text in ("the key is sk-ant", "", f"the key is {secret}", "", f"the key is {secret} and so on"):
            session.observe_model(text, key="a1")
        assert session.read_page("p1").startswith("the key is [") and session.read_page("p1").endswith(" and so on")
        assert "a1B2" not in session.read_page("p1")


def test_an_answer_does_not_grow_once_the_next_one_began(session):
    """More of an old answer is refused; nothing is recorded."""
    session.observe_model("I", key="a1")
    session.observe_model("next", key="a2")
    with pytest.raises(IdempotencyConflict, match="has ended, another one followed"):
        session.observe_model("I look", key="a1")


@pytest.mark.parametrize(
    "told",
    [
        {"text": "I look", "native": [1]},
        {"text": "I look", "calls": [Call("", "look", {"at": "a"})]},
        {"text": "I look", "calls": READ[:1]},
        {"text": "I look", "provider": "p", "model": "m", "thinking": "hm"},
        {"text": "I look", "needs": [Need((Holder("p1"),), NeedRule.DECLARED, 5)]},
    ],
    ids=["native", "call without an id", "call", "names", "needs"],
)
@pytest.mark.parametrize("finish", [None, "stop"])
def test_what_was_recorded_of_a_piece_is_not_recorded_again(session, told, finish):
    """Each field told a second time under its key adds no event, whether or not the answer has ended."""
    session.user_says("one")
    session.observe_model(**told, finish=finish, key="a1")
    head = session.head
    session.observe_model(**told, finish=finish, key="a1")
    assert session.head == head


def test_a_native_form_is_told_anew_until_the_answer_ends(session):
    """Each further form of one answer is recorded beside nothing else; the last one counts."""
    for native in ([1], [1, 2], [1, 2, 3]):
        session.observe_model("so", native=native, thinking="hm", provider="p", key="a1")
    session.observe_model("so", native=[1, 2, 3], finish="stop", key="a1")
    said = rows(session, e.ModelResponded)
    assert [each.native and opened(session, each.native) for each in said] == ["[1]", "[1,2]", "[1,2,3]", None]
    assert [(each.thinking, each.provider) == (None, None) for each in said] == [False, True, True, True]


def test_a_call_whose_id_is_told_later_is_the_same_call(session):
    """An id on one side alone tells nothing: the call is known by its name and its arguments."""
    for first, then in (("", "c1"), ("c2", "")):
        (number,) = session.observe_model("", [Call(first, "look", {"at": "a"})], key=f"a{then}")
        head = session.head
        assert session.observe_model("", [Call(then, "look", {"at": "a"})], key=f"a{then}") == (number,)
        assert session.head == head


def test_longer_thoughts_without_a_count_take_nothing_from_the_one_that_was_told(session):
    """The provider's 50 tokens stay, whatever the text that came later would count; without a count it grows."""
    session.observe_model("so", thinking="hm", usage=Usage(thinking_tokens=50), key="a1")
    session.observe_model("so", thinking="hm, well", key="a1")
    assert [each.thinking_tokens for each in rows(session, e.ModelResponded)] == [50, 0]
    for lines in (1, 3):
        session.observe_model("so", thinking="a line of thought\n" * lines, key="a2")
    counts = [each.thinking_tokens for each in rows(session, e.ModelResponded)[2:]]
    whole = session._shell.counter.count("a line of thought\n" * 3)
    assert sum(counts) == whole and min(counts) > 0


def test_thoughts_that_come_later_pass_as_the_model_that_was_told_says(session):
    """The piece that brings thoughts says that the provider drops them; those that bring others do not."""
    for more in ({"model": "claude-sonnet-4-5"}, {"thinking": "hm"}, {"thinking": "hm", "usage": Usage(1, 0, 4)}):
        session.observe_model("so", key="a1", **more)
    assert [each.thinking_passes for each in rows(session, e.ModelResponded)] == [False, True, False]
    for model, passes in (("", True), ("claude-opus-4-6", False)):  # unnamed: the one that was asked last
        session.observe_model("so", thinking="hm", model=model)
        assert rows(session, e.ModelResponded)[-1].thinking_passes is passes


PIECES = st.lists(
    st.tuples(st.text("ab \n", max_size=3), st.integers(0, 1), st.integers(0, 3), st.text("hm", max_size=2)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(PIECES, st.booleans())
def test_an_answer_told_in_pieces_leaves_what_one_told_at_once_leaves(pieces, by_two):
    """Pages, calls, sums of usage and last thoughts are the same, whichever handles told them (LAW-ANSWER-1)."""
    text, calls, tokens, thought, told = "", [], 0, "", []
    for more, new, counted, thinks in pieces:
        text, tokens, thought = text + more, tokens + counted, thought + thinks
        calls = [*calls, *[Call(f"c{len(calls)}", "look", {"n": len(calls)})] * new]
        told.append({"text": text, "calls": calls, "usage": Usage(7, 2, tokens), "thinking": thought})
    with Journal.open(":memory:", clock=ticking()) as journal:
        for name, given_ in (("pieces", told), ("once", told[-1:])):
            session = journal.session(name, counter="lines4")
            for place, each in enumerate(given_):
                handle = journal.session(name) if by_two and place % 2 else session
                handle.observe_model(**each, key="a1")
        both = [left(journal.session(name)) for name in ("pieces", "once")]
    assert both[0] == both[1]


def left(session) -> object:
    """What an answer left: its page, calls, sums and last thoughts."""
    said = rows(session, e.ModelResponded)
    names = ("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens")
    state: State = session.state
    return (
        [session.read_page(page) for page in state.pages],
        [(call.call, call.tool) for call in state.calls.values()],
        [sum(getattr(each, name) for each in said) for name in names],
        next((opened(session, each.thinking) for each in reversed(said) if each.thinking), None),
        {each.group for each in said},
    )


# ------------------------------------------------------------------------- serving recorded calls


def test_a_recorded_call_is_served_a_result_that_holds(journal):
    """A call that an answer made again runs nothing; its result is recorded with it."""
    runs = []
    calc = Tool("calc", lambda x: runs.append(x) or f"got {x}", True, validator=lambda arguments: "v")
    with journal.session("s", counter="lines4", settings=Settings(tools=[calc])) as session:
        for number in (1, 2):
            session.observe_model("", [Call(f"c{number}", "calc", {"x": 5})])
            result = session.tool("calc", {"x": 5})
            assert (result.text, result.call, result.served) == ("got 5", number, number == 2)
        assert runs == [5] and session.in_flight == ()


def test_a_fork_serves_recorded_calls_from_the_tape(journal):
    """Each call of an answer in the fork gets its own result, in any order; failures too; nothing runs."""
    with journal.session("parent", counter="lines4") as parent:
        parent.user_says("go")
        at = parent.state.version
        parent.observe_model("", [("look", {"at": "a"}), ("look", {"at": "a"}), ("break", {})])
        for text in ("first", "second"):
            parent.tool("look", {"at": "a"}, lambda at, text=text: text)
        with pytest.raises(ToolFailed):
            parent.tool("break", {}, lambda: 1 / 0)
    with journal.fork("parent", "child", at=at) as child:
        child.observe_model("", [("look", {"at": "a"}), ("look", {"at": "a"}), ("break", {})])
        assert child.tool("look", {"at": "a"}, call=2).text == "second"
        assert child.tool("look", {"at": "a"}).text == "first"
        with pytest.raises(ToolFailed, match="ZeroDivisionError"):
            child.tool("break", {})
        assert [made.returned.status for made in child.state.calls.values()] == [
            ReturnStatus.OK,
            ReturnStatus.OK,
            ReturnStatus.ERROR,
        ]
