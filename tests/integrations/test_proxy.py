"""The proxy between a client and a provider on loopback: what goes on, what comes back, what is recorded."""

from __future__ import annotations

import contextlib
import gzip
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clawvm_es import Journal
from clawvm_es.integrations.doctor import examine
from clawvm_es.integrations.mcp import Tools
from clawvm_es.integrations.proxy.app import COUNTS, SHAPES
from clawvm_es.integrations.proxy.histories import Options
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Cut, Finish
from clawvm_es.model.pages import Author, PageType
from tests.conftest import ROOT
from tests.integrations.proxies import (
    Asked,
    Reply,
    Running,
    Upstream,
    anthropic,
    called,
    gave,
    message,
    proxied,
    said,
    stream,
)

KEY = "sk-ant-api03-CANARY0000111122223333"
LONG = "".join(f"line {number} of a long result\n" for number in range(200))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A provider that answers everything shortly."""
    with Upstream(lambda asked: Reply.of(message())).running() as running:
        yield running


def one(found: dict[str, list[e.Event]]) -> list[e.Event]:
    """The inputs of the only session."""
    (inputs,) = found.values()
    return inputs


def of(kind: type[Any], inputs: list[e.Event]) -> list[Any]:
    """The inputs of a class."""
    return [data for data in inputs if isinstance(data, kind)]


# ------------------------------------------------------------------------------------------- the wire


def test_an_answer_is_passed_on_while_it_comes(tmp_path: Path) -> None:
    """Each part of a stream reaches the client before the provider sends the next one, byte for byte."""
    arrived = [threading.Event() for _ in stream()]

    def before(part: int) -> None:
        assert part == 0 or arrived[part - 1].wait(60)

    reply = Reply.stream(*stream("Ünï – done"), before=before)
    with Upstream(lambda asked: reply).running() as api, proxied(tmp_path / "j.db", api.url) as running:
        came = b""
        body = json.dumps(anthropic(said("hello"), stream=True))
        with running.client.stream("POST", running.url + "/v1/messages", content=body) as response:
            for chunk in response.iter_raw():
                came += chunk
                for number, event in enumerate(arrived):
                    if came.startswith(b"".join(reply.parts[: number + 1])):
                        event.set()
        assert came == b"".join(reply.parts)
        inputs = one(running.recorded())
    (answer,) = of(e.ModelResponded, inputs)
    assert (answer.input_tokens, answer.cached_tokens, answer.output_tokens) == (100, 60, 7)
    assert answer.finish is Finish.STOP


def test_headers_go_on_but_those_of_the_connection(tmp_path: Path, upstream: Upstream) -> None:
    """Headers, query and status pass both ways; only what belongs to one connection, and our own name, does not."""
    upstream.script = lambda asked: Reply.of({"error": "later"}, 429, retry_after="7", x_request_id="r1")
    with proxied(tmp_path / "j.db", upstream.url) as running:
        headers = {"x_api_key": KEY, "anthropic_beta": "a,b", "connection": "keep-alive, x-mine", "x_mine": "1"}
        answer = running.post("/v1/messages?beta=true", anthropic(said("hi")), **headers, x_clawvm_session="mine")
        running.recorded()
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (429, {"error": "later"}, "7")
    assert answer.headers["x-request-id"] == "r1"
    (asked,) = upstream.asked
    assert asked.path == "/v1/messages?beta=true"
    assert (asked.headers["x-api-key"], asked.headers["anthropic-beta"]) == (KEY, "a,b")
    assert asked.headers["host"] == upstream.url.removeprefix("http://")
    assert not {"x-mine", "x-clawvm-session"} & asked.headers.keys()


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/models"), ("POST", "/v1/complete"), ("DELETE", "/v1/responses/1"), ("POST", "/a%2Fb/../c?x=%20&y")],
)
def test_every_other_path_goes_on_unchanged(tmp_path: Path, upstream: Upstream, method: str, path: str) -> None:
    """What is no model call is forwarded as it came, and nothing is recorded."""
    body = b"\x00\xff any bytes" if method == "POST" else b""
    with proxied(tmp_path / "j.db", upstream.url) as running:
        target = {"target": path.encode()}
        answer = running.client.request(method, running.url, content=body, extensions=target)
        assert answer.json() == message()
        running.settle()
    assert [(each.method, each.path, each.body) for each in upstream.asked] == [(method, path, body)]
    assert not (tmp_path / "j.db").exists()


def test_keys_are_nowhere(tmp_path: Path, upstream: Upstream, capfd: pytest.CaptureFixture[str]) -> None:
    """No file of the data folder and nothing printed holds a key, whatever succeeds or fails."""
    folder = tmp_path / "data"
    folder.mkdir()
    replies = iter([Reply.of(message()), Reply.of({"type": "error"}, 401), Reply([b"{"], cut=True)])
    upstream.script = lambda asked: next(replies)
    with proxied(folder / "j.db", upstream.url) as running:
        for body in (anthropic(said("one")), anthropic(said("two")), anthropic(said("three"))):
            with contextlib.suppress(httpx.RemoteProtocolError):
                running.post("/v1/messages", body, x_api_key=KEY, authorization=f"Bearer {KEY}", cookie=f"k={KEY}")
        assert len(running.recorded()) == 3
        told = running.told
    assert all(KEY in asked.headers["authorization"] for asked in upstream.asked)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err + "".join(told)


# --------------------------------------------------------------------------------------- what is recorded


def test_what_was_sent_is_recorded(tmp_path: Path, upstream: Upstream) -> None:
    """System prompt, tools, messages, calls and results, answers with usage, model and reason, each once."""
    with proxied(tmp_path / "j.db", upstream.url) as running:
        history = [said("read a.txt"), called(1), gave(1, "the port is 5432")]
        running.post("/v1/messages", anthropic(*history, system="- You must never push."))
        running.recorded()
        again = [*history, {"role": "assistant", "content": message()["content"]}, said("and now?")]
        running.post("/v1/messages", anthropic(*again, system="- You must never push."))
        inputs = one(running.recorded())
    pages = of(e.PageWritten, inputs)
    assert [page.page_type for page in pages] == [
        *(PageType.BOOTSTRAP, PageType.CONSTRAINT, PageType.CONVERSATION, PageType.EVIDENCE),
        *(PageType.CONVERSATION,) * 3,
    ]
    assert [page.author for page in pages[-2:]] == [Author.USER, Author.MODEL]
    assert len(of(e.ToolCalled, inputs)) == len(of(e.ToolReturned, inputs)) == 1
    first, second = [answer for answer in of(e.ModelResponded, inputs) if answer.input_tokens]
    assert (first.finish, second.output_tokens) == (Finish.STOP, 7)
    turns = [turn for turn in of(e.TurnBegan, inputs) if turn.fixed]
    assert [turn.fixed_tokens > 10 for turn in turns] == [True, True]
    assert turns[0].fixed == turns[1].fixed
    with (
        Journal.open(tmp_path / "j.db", read_only=True) as journal,
        journal.resume(next(head.session_id for head in journal.log.heads()), "o200k_base") as session,
    ):
        assert session.read_page("p4") == "the port is 5432"


CHAT = [
    {"role": "system", "content": "You help."},
    {"role": "user", "content": "read a.txt"},
    {"role": "assistant", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path":"a"}'}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "the port is 5432"},
]  # fmt: skip
RESPONSES = [
    {"role": "user", "content": [{"type": "input_text", "text": "read a.txt"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I read it."}]},
    {"type": "function_call", "call_id": "c1", "id": "fc_1", "name": "read", "arguments": '{"path":"a"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "the port is 5432"},
]
CHUNKS = [
    {"id": "1", "model": "gpt-x-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "All "}}]},
    {"id": "1", "choices": [{"index": 0, "delta": {"content": "right."}}]},
    {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "1", "choices": [], "usage": {"prompt_tokens": 90, "completion_tokens": 3,
                                         "prompt_tokens_details": {"cached_tokens": 64}}},
]  # fmt: skip
ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "All right."}]}
WHOLE = {"id": "resp_1", "model": "gpt-x-1", "status": "completed", "output": [ITEM],
         "usage": {"input_tokens": 90, "output_tokens": 3,
                   "input_tokens_details": {"cached_tokens": 64}}}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "reply"),
    [
        ("/v1/chat/completions", {"messages": CHAT}, Reply.stream(*CHUNKS)),
        ("/v1/responses", {"input": RESPONSES, "instructions": "You help."}, Reply.of(WHOLE)),
        (
            "/v1/responses",
            {"input": RESPONSES, "instructions": "You help."},
            Reply.stream({"type": "response.created"}, {"type": "response.completed", "response": WHOLE}),
        ),
    ],
    ids=["chat", "responses", "responses-stream"],
)
def test_apis_of_openai(tmp_path: Path, path: str, body: dict[str, Any], reply: Reply) -> None:
    """Chat Completions and Responses are recorded alike, an answer once though the next request holds it again."""
    with Upstream(lambda asked: reply).running() as api, proxied(tmp_path / "j.db", api.url) as running:
        name = "messages" if "messages" in body else "input"
        answer = {"role": "assistant", "content": "All right."} if name == "messages" else ITEM
        request = {"model": "gpt-x", "tools": [{"type": "function", "name": "read"}], **body}
        running.post(path, request)
        running.recorded()
        running.post(path, {**request, name: [*body[name], answer, {"role": "user", "content": "go on"}]})
        inputs = one(running.recorded())
    pages = of(e.PageWritten, inputs)
    kinds = [PageType.BOOTSTRAP, PageType.CONVERSATION, PageType.EVIDENCE, *[PageType.CONVERSATION] * 3]
    assert [page.page_type for page in pages] == kinds
    answers = [each for each in of(e.ModelResponded, inputs) if each.input_tokens]
    assert [(a.input_tokens, a.cached_tokens, a.output_tokens, a.finish) for a in answers] == [
        (90, 64, 3, Finish.STOP)
    ] * 2
    assert len(of(e.ToolReturned, inputs)) == 1


def test_a_request_may_go_on_from_an_answer(tmp_path: Path) -> None:
    """A request that names the answer before it, and holds only what is new, goes into the same session."""
    with Upstream(lambda asked: Reply.of(WHOLE)).running() as api, proxied(tmp_path / "j.db", api.url) as running:
        running.post("/v1/responses", {"model": "gpt-x", "input": "hello"})
        running.recorded()
        running.post("/v1/responses", {"model": "gpt-x", "input": "go on", "previous_response_id": "resp_1"})
        inputs = one(running.recorded())
    assert [page.author for page in of(e.PageWritten, inputs)] == [Author.USER, Author.MODEL] * 2
    assert not of(e.BoundaryReached, inputs)


def spoken(inputs: list[e.Event], journal: Path) -> list[str]:
    """The texts of a session's pages of user and model, in their order."""
    with Journal.open(journal, read_only=True) as opened:
        (head,) = opened.log.heads()
        vault = opened.log.vault(head.session_id)
        bodies = [page.levels[-1].body for page in of(e.PageWritten, inputs) if page.author is not Author.HARNESS]
        return [(vault.open(body) or b"").decode() for body in bodies]


def responding(asked: Asked) -> Reply:
    """An answer of the Responses API that repeats the request's last words; an error for `fail`."""
    said_last = asked.json["input"]
    if said_last == "fail":
        return Reply.of({"error": {"message": "overloaded"}}, 500)
    content = [{"type": "output_text", "text": f"to {said_last}"}]
    item = {"type": "message", "role": "assistant", "content": content}
    return Reply.of({"id": f"resp_{said_last}", "status": "completed", "model": "m", "output": [item]})


def test_a_request_that_goes_on_may_come_twice_or_fork(tmp_path: Path) -> None:
    """A request that goes on from an answer tried again, is recorded once; a fork holds nothing of it."""
    failing = iter((True, True, False))

    def script(asked: Asked) -> Reply:
        fails = asked.json["input"] == "b" and next(failing)
        return Reply.of({"error": {}}, 500) if fails else responding(asked)

    with Upstream(script).running() as api, proxied(tmp_path / "j.db", api.url) as running:
        for text, before in (("a", ""), *[("b", "resp_a")] * 3, ("c", "resp_b"), ("d", "resp_a"), ("e", "resp_d")):
            running.post("/v1/responses", {"model": "m", "input": text, "previous_response_id": before or None})
            running.settle()
        inputs = one(running.recorded())
        assert spoken(inputs, running.journal) == [f"{to}{each}" for each in "abcde" for to in ("", "to ")]
    (fork,) = of(e.BoundaryReached, inputs)
    assert fork.cut is Cut.REWIND


def test_a_conversation_that_the_provider_keeps_is_one_session(tmp_path: Path) -> None:
    """Requests of one `conversation` hold only what is new, and go into one session."""
    with Upstream(responding).running() as api, proxied(tmp_path / "j.db", api.url) as running:
        for text in "abc":
            running.post("/v1/responses", {"model": "m", "input": text, "conversation": {"id": "conv_1"}})
            running.settle()
        inputs = one(running.recorded())
        assert spoken(inputs, running.journal) == ["a", "to a", "b", "to b", "c", "to c"]
    assert not of(e.BoundaryReached, inputs)


def test_an_answer_in_the_background_is_recorded_when_it_is_asked_for(tmp_path: Path) -> None:
    """It is recorded once, with the request that it answers, however often the client asks; others go on from it."""
    states = iter(("queued", "busy", "in_progress", "completed", "completed"))
    content = [{"type": "output_text", "text": "at last"}]

    def script(asked: Asked) -> Reply:
        if asked.method == "POST" and "previous_response_id" in asked.json:
            return responding(asked)
        state = next(states)
        if state == "busy":
            return Reply.of({"error": {"message": "too many requests"}}, 429)
        output = [{"type": "message", "role": "assistant", "content": content}] if state == "completed" else []
        return Reply.of({"id": "resp_1", "status": state, "model": "m", "output": output})

    with Upstream(script).running() as api, proxied(tmp_path / "j.db", api.url) as running:
        running.post("/v1/responses", {"model": "m", "input": "think", "background": True})
        for _ in range(4):
            running.settle()
            running.client.get(running.url + "/v1/responses/resp_1")
        running.post("/v1/responses", {"model": "m", "input": "b", "previous_response_id": "resp_1"})
        inputs = one(running.recorded())
        assert spoken(inputs, running.journal) == ["think", "at last", "b", "to b"]
    assert [answer.finish for answer in of(e.ModelResponded, inputs)] == [Finish.STOP] * 2


def chunk(**delta: Any) -> dict[str, Any]:
    """A part of a streamed answer of Chat Completions."""
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def part_of_call(ident: str, name: str, arguments: str) -> dict[str, Any]:
    """A part of a call, without its own index."""
    return {"id": ident, "type": "function", "index": 0, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("chunks", "calls"),
    [
        ([chunk(function_call={"name": "f", "arguments": ""}), chunk(function_call={"arguments": '{"n":1}'})], 1),
        ([chunk(tool_calls=[part_of_call(each, "f", '{"n":1}')]) for each in "ab"], 2),
        ([chunk(tool_calls=[part_of_call("a", "f", "")]), chunk(tool_calls=[part_of_call("b", "", '{"n":1}')])], 1),
    ],
    ids=["a function of old", "every index is 0", "every part has an id"],
)
def test_calls_in_a_stream(tmp_path: Path, chunks: list[dict[str, Any]], calls: int) -> None:
    """Calls are told apart as servers stream them: by name alone, without indexes, with an id for every part."""
    with (
        Upstream(lambda asked: Reply.stream(*chunks)).running() as api,
        proxied(tmp_path / "j.db", api.url) as running,
    ):
        running.post("/v1/chat/completions", {"model": "m", "messages": [said("go")], "stream": True})
        found = of(e.ToolCalled, one(running.recorded()))
        assert len(found) == calls
        with Journal.open(running.journal, read_only=True) as journal:
            (head,) = journal.log.heads()
            vault = journal.log.vault(head.session_id)
            assert {vault.open(call.levels[-1].body) for call in found} == {b'{"n":1}'}


def test_an_event_that_nobody_can_read_costs_no_answer(tmp_path: Path) -> None:
    """Comments, pings, half of a surrogate pair and what is no JSON leave the rest of a streamed answer."""
    reply = Reply.stream(*stream("One two three"))
    delta = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ud83d"}}'
    reply.parts[3:3] = [b": a comment\n\nevent: ping\ndata: {broken\n\n", f"data: {delta}\n\n".encode()]
    with Upstream(lambda asked: reply).running() as api, proxied(tmp_path / "j.db", api.url) as running:
        running.post("/v1/messages", anthropic(said("hello"), stream=True))
        (answer,) = of(e.ModelResponded, one(running.recorded()))
    assert answer.finish is Finish.STOP and answer.output_tokens == 7


def test_two_conversations_at_once(tmp_path: Path, upstream: Upstream) -> None:
    """Two conversations over one proxy are two sessions; what runs beside one under its name is linked to it."""
    names = [f"{number}{number}{number}" for number in range(2)]

    def talk(running: Running, name: str) -> None:
        history: list[Any] = []
        for number in range(4):
            history += [said(f"{name} asks {number}"), {"role": "assistant", "content": f"answer {number}"}]
            body = anthropic(*history[:-1], metadata={"user_id": f"user_x_account_y_session_{name}"})
            assert running.post("/v1/messages", body).status_code == 200

    with proxied(tmp_path / "j.db", upstream.url) as running:
        threads = [threading.Thread(target=talk, args=(running, name)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        aside = anthropic(said("a title, please"), system="You name things.")
        running.post("/v1/messages", aside, x_claude_code_session_id="000")
        found = running.recorded()
    assert sorted(found) == ["proxy:000", "proxy:000/2", "proxy:111"]
    for name in names:
        users = [page for page in of(e.PageWritten, found[f"proxy:{name}"]) if page.author is Author.USER]
        assert len(users) == 4
    (opened,) = of(e.SessionOpened, found["proxy:000/2"])
    assert opened.linked_to == "proxy:000"


def test_another_process_begins_another_session(tmp_path: Path, upstream: Upstream) -> None:
    """A conversation that a proxy before recorded is recorded anew, beside the first and linked to it."""
    for _ in range(2):
        with proxied(tmp_path / "j.db", upstream.url) as running:
            running.post("/v1/messages", anthropic(said("hello")), x_clawvm_session="mine")
            found = running.recorded()
    assert sorted(found) == ["proxy:mine", "proxy:mine#2"]
    (opened,) = of(e.SessionOpened, found["proxy:mine#2"])
    assert opened.linked_to == "proxy:mine"


# ---------------------------------------------------------------------------------------------- paging


def long_talk(turns: int) -> Iterator[list[dict[str, Any]]]:
    """The histories of a conversation in which each turn reads something long."""
    history: list[dict[str, Any]] = []
    for number in range(turns):
        history += [said(f"read {number}"), called(number, f"{number}.txt"), gave(number, f"file {number}\n{LONG}")]
        yield list(history)
        history.append({"role": "assistant", "content": "All right."})


def test_results_are_paged_and_read_back(tmp_path: Path, upstream: Upstream, run_verb: Callable[..., str]) -> None:
    """Old results become stubs of their pages until the next epoch; the journal says so, and MCP reads one back."""
    tools = [{"name": "mcp__clawvm__page_in", "input_schema": {"type": "object"}}]
    journal = tmp_path / "j.db"
    with proxied(journal, upstream.url, Options(budget=12_000, keep=2)) as running:
        for history in long_talk(14):
            running.post("/v1/messages", anthropic(*history, tools=tools), x_clawvm_session="mine")
            running.recorded()
        inputs = one(running.recorded())
        count = running.post("/v1/messages/count_tokens", anthropic(*history, tools=tools), x_clawvm_session="mine")
        assert count.status_code == 200
    last, counted = upstream.asked[-2].json["messages"], upstream.asked[-1].json["messages"]
    assert counted == last
    results = [
        block["content"]
        for each in last
        for block in each["content"]
        if isinstance(block, dict) and "tool_use_id" in block
    ]
    stubs = [text for text in results if text.startswith("[clawvm took this result out: ")]
    assert stubs and results[-2:] == [f"file {number}\n{LONG}" for number in (12, 13)]
    pruned = [data for data in of(e.BoundaryReached, inputs) if data.boundary is Boundary.PRUNE]
    assert pruned and all(data.cut is Cut.MICRO for data in pruned)
    assert sum(len(data.left) for data in pruned) == len(stubs)
    reference = stubs[0].partition('page_in("')[2].partition('"')[0]
    assert reference.startswith("proxy:mine/p")
    read = Tools(str(journal), str(tmp_path)).page_in(reference, "1-2")
    assert "file 0\nline 0 of a long result" in read
    assert "decisions taken again the same" in run_verb("verify", str(journal), "--redecide")


def test_a_restarted_proxy_goes_on_with_the_same_bytes(tmp_path: Path, upstream: Upstream) -> None:
    """What it had taken out stays out, by the same texts, after one and after two restarts, and fits at once."""
    histories = list(long_talk(16))
    for number in range(3):
        with proxied(tmp_path / "j.db", upstream.url, Options(budget=12_000, keep=2)) as running:
            for history in histories[: 12 + 1] if not number else [histories[11 + number], histories[12 + number]]:
                running.post("/v1/messages", anthropic(*history), x_clawvm_session="mine")
                running.settle()
            assert running.told == []
            assert len(running.recorded()) == number + 1
    sent = [asked.json["messages"] for asked in upstream.asked]
    assert "[clawvm took" in json.dumps(sent[12])
    assert sent[13] == sent[12] and sent[15] == sent[14]
    assert sent[14][: len(sent[13])] == sent[13]


def test_ids_of_calls_may_come_again(tmp_path: Path, upstream: Upstream) -> None:
    """Where a provider gives the same ids in every answer, a stub names the page of its own result."""
    history: list[dict[str, Any]] = []
    with proxied(tmp_path / "j.db", upstream.url, Options(keep=1, budget=6000)) as running:
        for number in range(6):
            text = f"file {number}\n{LONG}"
            history += [said(f"read {number}"), called(0, f"{number}.txt"), gave(0, text)]
            running.post("/v1/messages", anthropic(*history))
            running.settle()
            history.append({"role": "assistant", "content": f"Read {number}."})
        inputs, sent = one(running.recorded()), upstream.asked[-1].json["messages"]
    contents = [sent[place * 4 + 2]["content"][0]["content"] for place in range(6)]
    stubs = {place: text for place, text in enumerate(contents) if "clawvm" in text}
    pages = [stub.partition("as page ")[2].partition(";")[0] for stub in stubs.values()]
    assert len(stubs) > 1
    tools = Tools(str(tmp_path / "j.db"), str(tmp_path))
    for place, page in zip(stubs, pages, strict=True):
        assert f"file {place}\n" in tools.page_in(page, "1-2")
    cut = [each for each in of(e.BoundaryReached, inputs) if each.cut is Cut.MICRO]
    left = {page for each in cut for page in each.left} - {page for each in cut for page in each.returned}
    assert {page.rpartition("/")[2] for page in pages} == left


def test_without_paging_every_request_goes_on_as_it_came(tmp_path: Path, upstream: Upstream) -> None:
    """With `--no-paging` the provider gets the client's own bytes, however long the history."""
    with proxied(tmp_path / "j.db", upstream.url, Options(pages=False, budget=1000)) as running:
        bodies = [json.dumps(anthropic(*history)).encode() for history in long_talk(4)]
        for body in bodies:
            running.post("/v1/messages", body)
            running.recorded()
    assert [asked.body for asked in upstream.asked] == bodies


# --------------------------------------------------------------------------------------------- failures

ODD = {
    "no-json": b"not JSON",
    "array": b"[1, 2]",
    "no-history": b'{"model": "x"}',
    "number": b'{"messages": 5}',
    "words": b'{"messages": ["a", 1, null]}',
    "deep": b'{"messages": [{"role": "user", "content": ' + b"[" * 3000 + b"]" * 3000 + b"}]}",
    "utf-8": b'{"messages": [{"role": "user", "content": "\xff"}]}',
    "surrogate": b'{"messages": [{"role": "user", "content": "\\ud800"}], "x": 1e400}',
    "odd-role": b'{"messages": [{"role": 3, "content": 4}]}',
    "odd-result": b'{"messages": [{"content": [{"type": "tool_result", "tool_use_id": 7, "content": {}}]}]}',
    "empty": b"",
}


@pytest.mark.parametrize("path", [*SHAPES, *COUNTS])
def test_what_is_not_understood_goes_on_as_it_came(tmp_path: Path, upstream: Upstream, path: str) -> None:
    """Bytes that are no request of their path reach the provider unchanged, and its answer the client."""
    with proxied(tmp_path / "j.db", upstream.url) as running:
        for body in ODD.values():
            assert running.post(path, body.replace(b"messages", b"input") if "responses" in path else body).json()
        running.settle()
        assert not [line for line in running.told if "not recorded" in line]
    sent = [body.replace(b"messages", b"input") if "responses" in path else body for body in ODD.values()]
    assert [asked.body for asked in upstream.asked] == sent


@pytest.mark.parametrize("packed", ["identity", "gzip", "zstd"])
def test_a_request_may_be_compressed(tmp_path: Path, upstream: Upstream, packed: str) -> None:
    """It goes on as it came, and is recorded; one in which stubs stand goes on without a packing."""
    if packed == "zstd":
        pytest.importorskip("backports.zstd" if sys.version_info < (3, 14) else "compression.zstd")
    pack = {"identity": bytes, "gzip": gzip.compress, "zstd": packed_by_zstd}[packed]
    with proxied(tmp_path / "j.db", upstream.url, Options(keep=1, budget=6000)) as running:
        bodies = [pack(json.dumps(anthropic(*history)).encode()) for history in long_talk(6)]
        for body in bodies:
            assert running.post("/v1/messages", body, content_encoding=packed).json() == message()
            running.settle()
        assert len(of(e.ToolReturned, one(running.recorded()))) == 6
        assert running.told == []
    assert upstream.asked[0].body == bodies[0] and upstream.asked[0].headers["content-encoding"] == packed
    assert b"clawvm took" in upstream.asked[-1].body and "content-encoding" not in upstream.asked[-1].headers


def packed_by_zstd(data: bytes) -> bytes:
    """Data as zstd packs it."""
    name = "backports.zstd" if sys.version_info < (3, 14) else "compression.zstd"
    found: bytes = importlib.import_module(name).compress(data)
    return found


@pytest.mark.parametrize("packed", ["br", "gzip"])
def test_a_packing_that_cannot_be_read_goes_on_as_it_came(tmp_path: Path, upstream: Upstream, packed: str) -> None:
    """A body that nobody here can unpack is not looked into, and that is told once."""
    body = gzip.compress(json.dumps(anthropic(said("hello"))).encode())[:-9]
    with proxied(tmp_path / "j.db", upstream.url) as running:
        for _ in range(2):
            running.post("/v1/messages", body, content_encoding=packed)
        assert len(running.told) == 1 and f"compressed by {packed}" in running.told[0]
    assert [asked.body for asked in upstream.asked] == [body] * 2


def locked(path: Path) -> Any:
    """A journal that another writer holds."""
    journal = Journal.open(path)
    transaction = journal.log.transaction()
    transaction.__enter__()

    def free() -> None:
        transaction.__exit__(None, None, None)
        journal.close()

    return free


def newer(path: Path) -> None:
    """A journal of a newer program."""
    Journal.open(path).close()
    import sqlite3

    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9999")


def damaged(path: Path) -> None:
    """A journal with bytes of something else in it."""
    Journal.open(path).close()
    data = bytearray(path.read_bytes())
    data[4096:12288] = b"\xaa" * 8192
    path.write_bytes(data)


def stranger(path: Path) -> None:
    """A file that is no journal."""
    path.write_bytes(b"something else")


def full(path: Path) -> Any:
    """A journal on a disk that takes no byte more, nor any other file."""
    Journal.open(path).close()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("wrong", [locked, full, newer, damaged, stranger])
def test_a_journal_that_takes_nothing_stops_no_request(
    tmp_path: Path, upstream: Upstream, wrong: Callable[[Path], Any]
) -> None:
    """Whatever is wrong with the journal, requests and answers pass; the reason is told once, and by `doctor`."""
    path = tmp_path / "j.db"
    with proxied(path, upstream.url) as running:
        undo = wrong(path)
        bodies = [json.dumps(anthropic(*history)).encode() for history in long_talk(3)]
        for body in bodies:
            assert running.post("/v1/messages", body).json() == message()
            running.settle()
        if undo is not None:
            undo()
            running.post("/v1/messages", bodies[-1])
            assert len(of(e.ToolReturned, one(running.recorded()))) == 3  # what waited is recorded, too
        told = list(running.told)
    assert [asked.body for asked in upstream.asked][:3] == bodies
    assert len(told) == 1
    assert any(told[0] in check.detail for check in examine(str(path)) if not check.ok)


def test_what_waits_is_recorded_with_the_next_request_of_any_conversation(tmp_path: Path, upstream: Upstream) -> None:
    """A conversation whose last answer met a locked journal is recorded when the journal is free, or at the end."""
    path = tmp_path / "j.db"
    with proxied(path, upstream.url) as running:
        free = locked(path)
        running.post("/v1/messages", anthropic(said("first")), x_clawvm_session="a")
        running.settle()
        free()
        running.post("/v1/messages", anthropic(said("second")), x_clawvm_session="b")
        assert sorted(running.recorded()) == ["proxy:a", "proxy:b"]
        free = locked(path)
        running.post("/v1/messages", anthropic(said("third")), x_clawvm_session="c")
        running.settle()
        free()
    with Journal.open(path, read_only=True) as journal:
        assert [head.session_id for head in journal.log.heads()] == ["proxy:a", "proxy:b", "proxy:c"]


def test_nobody_need_hear_what_is_told(tmp_path: Path, upstream: Upstream) -> None:
    """Where nothing can be printed, requests and answers pass all the same, and `doctor` tells the reason."""

    def silent(line: str) -> None:
        raise BrokenPipeError

    with proxied(tmp_path / "j.db", upstream.url) as running:
        Journal.open(running.journal).close()
        running.proxy.told.tell = silent  # type: ignore[attr-defined]
        assert running.post("/v1/messages", b"{").json() == message()
        assert any("no request of" in check.detail for check in examine(str(running.journal)) if not check.ok)


class Broken:
    """A counter that fails."""

    name = "lines4"

    def count(self, text: str) -> int:
        """Fail."""
        raise RuntimeError("broken")


def test_an_error_of_ours_stops_no_request(tmp_path: Path, upstream: Upstream) -> None:
    """An exception in what we make of a request lets it go on as it came; the place is told, and no text of it."""
    with proxied(tmp_path / "j.db", upstream.url) as running:
        running.proxy.histories.counts.counter = Broken()
        body = json.dumps(anthropic(said("a secret plan"))).encode()
        for _ in range(2):
            assert running.post("/v1/messages", body).json() == message()
        assert len(running.told) == 1 and "RuntimeError in count" in running.told[0]
        assert "secret" not in running.told[0]
    assert [asked.body for asked in upstream.asked] == [body] * 2


def test_half_a_stream_reaches_the_client_as_half(tmp_path: Path) -> None:
    """A stream that is cut is cut for the client, too, after the same bytes; the answer is recorded as incomplete."""
    reply = Reply.stream(*stream("One two three four")[:3], cut=True)
    with Upstream(lambda asked: reply).running() as api, proxied(tmp_path / "j.db", api.url) as running:
        came = b""
        body = json.dumps(anthropic(said("hello"), stream=True))
        with (
            pytest.raises(httpx.RemoteProtocolError),
            running.client.stream("POST", running.url + "/v1/messages", content=body) as response,
        ):
            for chunk in response.iter_raw():
                came += chunk
        assert came == b"".join(reply.parts)
        inputs = one(running.recorded())
    (answer,) = of(e.ModelResponded, inputs)
    assert answer.finish is Finish.ERROR
    assert of(e.PageWritten, inputs)[-1].author is Author.MODEL


def test_a_refusal_is_recorded_as_one(tmp_path: Path, upstream: Upstream) -> None:
    """After an error of the provider the session holds a turn that ended in an error, and no answer."""
    upstream.script = lambda asked: Reply.of({"type": "error", "error": {"type": "overloaded_error"}}, 529)
    with proxied(tmp_path / "j.db", upstream.url) as running:
        assert running.post("/v1/messages", anthropic(said("hello"))).status_code == 529
        inputs = one(running.recorded())
    assert [answer.finish for answer in of(e.ModelResponded, inputs)] == [Finish.ERROR]
    assert [page.author for page in of(e.PageWritten, inputs)] == [Author.HARNESS, Author.USER]


def test_a_provider_that_is_not_there(tmp_path: Path) -> None:
    """Where nobody answers the client gets an error that it can try again after."""
    with proxied(tmp_path / "j.db", "http://127.0.0.1:9") as running:
        answer = running.post("/v1/messages", anthropic(said("hello")))
        assert answer.status_code == 502 and answer.json()["type"] == "error"
        assert [each.finish for each in of(e.ModelResponded, one(running.recorded()))] == [Finish.ERROR]


def test_a_client_that_goes_away_ends_the_answer(tmp_path: Path) -> None:
    """When the client closes, the provider's stream is closed, too; what came so far is recorded."""
    gone = threading.Event()

    def before(part: int) -> None:
        if part == 3:
            assert gone.wait(60)

    reply = Reply.stream(*stream("One two three four"), before=before)
    with Upstream(lambda asked: reply).running() as api, proxied(tmp_path / "j.db", api.url) as running:
        body = json.dumps(anthropic(said("hello"), stream=True))
        with running.client.stream("POST", running.url + "/v1/messages", content=body) as response:
            chunks = response.iter_raw()
            came = b""
            while not came.endswith(reply.parts[2]):
                came += next(chunks)
        inputs = one(running.recorded())
        gone.set()
    assert [each.finish for each in of(e.ModelResponded, inputs)] == [Finish.OTHER]


def test_an_answer_that_is_compressed_is_read(tmp_path: Path, upstream: Upstream) -> None:
    """Encodings that cannot be read are not asked for; an answer in another is passed on packed, and recorded."""
    packed = gzip.compress(json.dumps(message("packed")).encode())
    upstream.script = lambda asked: Reply([packed], headers={"Content-Encoding": "gzip"})
    with proxied(tmp_path / "j.db", upstream.url) as running:
        answer = running.post("/v1/messages", anthropic(said("hello")), accept_encoding="gzip, br, zstd")
        assert answer.json() == message("packed")
        assert [each.output_tokens for each in of(e.ModelResponded, one(running.recorded()))] == [7]
    assert upstream.asked[0].headers["accept-encoding"] == "gzip"


# --------------------------------------------------------------------------------------------- the verb


@pytest.fixture
def heard() -> Iterator[None]:
    """Programs that are started hear of a terminal that goes away, whoever ignored it for this one."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_verb_serves_until_it_is_interrupted(tmp_path: Path, upstream: Upstream, ends: signal.Signals) -> None:
    """It says in one line what to set, forwards, and ends without a word, all recorded, when it is told to end."""
    command = [sys.executable, "-m", "clawvm_es", "proxy", "--journal", str(tmp_path / "j.db"), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, "--upstream", upstream.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as program:
        assert program.stdout is not None and program.stderr is not None
        line = program.stdout.readline()
        address = line.partition("ANTHROPIC_BASE_URL=")[2].split()[0]
        assert httpx.post(address + "/v1/messages", json=anthropic(said("hello")), timeout=60).json() == message()
        program.send_signal(ends)
        assert program.wait(60) == 0
        assert program.stdout.read() + program.stderr.read() == ""
    with Journal.open(tmp_path / "j.db", read_only=True) as journal:
        assert len(journal.log.heads()) == 1


def test_the_verb_refuses_itself_as_its_provider(tmp_path: Path, run_verb: Callable[..., str]) -> None:
    """An address that is the proxy's own, or none, is refused in one line."""
    journal = str(tmp_path / "j.db")
    told = run_verb("proxy", "-j", journal, "--port", "18742", "--upstream", "http://localhost:18742", code=2)
    assert "is this proxy itself" in told
    assert "no address" in run_verb("proxy", "-j", journal, "--port", "0", "--upstream", "nowhere", code=2)
