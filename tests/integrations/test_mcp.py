"""The MCP server, from the client of the package `mcp`: changes are events with reasons, undone by what was kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from clawvm_es import Journal
from clawvm_es.history.redact import Target, redact
from clawvm_es.integrations.mcp import NAMES, Tools
from clawvm_es.model import events as e
from tests.conftest import ROOT
from tests.integrations.sessions import Live
from tests.integrations.test_ingest import begin, inputs, take

mcp = pytest.importorskip("mcp", reason="the extra mcp is not installed")
Call = Callable[..., tuple[str, bool]]


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    """A session that hooks told of."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = Live(tmp_path / "j.db", tmp_path / "work")
    begin(found)
    found.answer("reading", ("Read", {"file_path": "/srv/a.txt"}, "".join(f"{n}\tline {n}\n" for n in range(1, 31))))
    found.answer("the port is 5433")
    found.hook("Stop")
    return found


def talk(live: Live, ask: Callable[[Any], Any]) -> Any:
    """Start the server in the session's folder, and ask it."""
    from mcp.client.session import ClientSession
    from mcp.client.stdio import StdioServerParameters, stdio_client

    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "clawvm_es", "mcp", "--journal", str(live.journal)],
        env={"PYTHONPATH": str(ROOT), "HOME": str(live.work.parent)},
        cwd=str(live.work),
    )

    async def run() -> Any:
        with open(live.work.parent / "stderr", "w") as errors:
            async with (
                stdio_client(command, errlog=errors) as (read, write),
                ClientSession(read, write) as client,
            ):
                await client.initialize()
                return await ask(client)

    return anyio.run(run)


async def called(client: Any, tool: str, **arguments: Any) -> tuple[str, bool]:
    """The text that a tool returns, and whether it failed."""
    found = await client.call_tool(tool, arguments)
    return "\n".join(block.text for block in found.content), bool(getattr(found, "is_error", False))


def test_a_client_pages_and_remembers(live: Live) -> None:
    """One real client: pages by line range and by words, a pin, a plan, and the six operations of memory."""

    async def ask(client: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"tools": [tool.name for tool in (await client.list_tools()).tools]}
        found["search"] = await called(client, "page_search", query="line")
        page = found["search"][0].split()[0]
        found["page"] = page
        found["lines"] = await called(client, "page_in", page=page, lines="10-12")
        found["bad lines"] = await called(client, "page_in", page=page, lines="ten")
        found["past"] = await called(client, "page_in", page=page, lines="900-910")
        found["pin"] = await called(client, "page_pin", page=page, pin="soft")
        found["plan"] = await called(client, "plan", text="Goal: ship\n1. [ ] test")
        found["add"] = await called(client, "memory_add", name="port", value="5433", reason="the file says so")
        found["add again"] = await called(client, "memory_add", name="port", value="1", reason="a guess")
        found["update"] = await called(client, "memory_update", name="port", value="5434", reason="it moved")
        found["retrieve"] = await called(client, "memory_retrieve", query="port")
        found["delete"] = await called(client, "memory_delete", name="port", reason="no port any more")
        found["none"] = await called(client, "memory_update", name="port", value="1", reason="again")
        found["no reason"] = await called(client, "memory_add", name="x", value="1", reason=" ")
        found["unpin"] = await called(client, "page_pin", page=page, pin="none")
        found["summarize"] = await called(
            client, "memory_summarize", pages=[page], summary="thirty lines", name="a.txt", reason="it is long"
        )
        found["restore"] = await called(client, "page_restore", page=page, reason="needed again")
        found["filter"] = await called(client, "memory_filter", text="LINE 7", reason="noise")
        found["still there"] = await called(client, "page_in", page=page, lines="7-7")
        return found

    found = talk(live, ask)
    page = found["page"]
    assert tuple(found["tools"]) == NAMES
    failed = {name for name, told in found.items() if name not in ("tools", "page") and told[1]}
    assert failed == {"bad lines", "past", "add again", "none", "no reason"}
    assert "line 10\n" in found["lines"][0] and "line 13" not in found["lines"][0]
    assert found["lines"][0].startswith(f'<clawvm page="{page}" lines="10-12"')
    assert "DESTRUCTIVE_OP" in found["add again"][0]
    assert found["retrieve"][0].startswith("port: 5434")
    assert found["filter"][0] == f"taken out: {page}"
    assert "line 7" in found["still there"][0]
    data = inputs(live)
    staged = [each.facts.op.value for each in data if isinstance(each, e.UpdateStaged)]
    assert staged == ["set_with_version", "set_with_version", "set_with_version", "delete", "replace"]
    with Journal.open(live.journal) as journal, journal.session(live.session_id) as session:
        events = list(journal.log.read(live.session_id))
        vault = journal.log.vault(live.session_id, None)
        for row in events:
            if isinstance(row.data, e.UpdateStaged):
                version = row.data.facts.evidence.version
                assert version is not None
                reasons = [each.data for each in events[:version] if isinstance(each.data, e.RecallAnswered)]
                said = (vault.open(reasons[-1].query) or b"").decode()
                assert any(why in said for why in ("says so", "a guess", "it moved", "no port", "it is long"))
        assert session.store()["memory.a.txt"] == "thirty lines"
    assert [each.reason.value for each in data if isinstance(each, e.PageRetired)] == ["replaced", "withdrawn"]


def test_what_a_tool_returned_is_no_new_page(live: Live) -> None:
    """The transcript shows the text of page_in: it is recorded as a rendering of its page."""
    take(live)
    tools = Tools(str(live.journal), str(live.work))
    page = tools.page_search("line").split()[0]
    before = len([data for data in inputs(live) if isinstance(data, e.PageWritten)])
    shown = tools.page_in(page, "3-4")
    live.answer("I page in", ("mcp__clawvm__page_in", {"page": page, "lines": "3-4"}, shown))
    live.answer("so it is")
    live.hook("Stop")
    take(live)
    written = [data for data in inputs(live) if isinstance(data, e.PageWritten)]
    assert len(written) == before + 2  # the two answers
    shown_again = [data for data in inputs(live) if isinstance(data, e.RecallAnswered)]
    assert shown_again[-1].pages == (page,)


def test_an_erased_page(live: Live) -> None:
    """A client that asks for it is told so, in one line, and the fault is recorded."""
    take(live)
    tools = Tools(str(live.journal), str(live.work))
    page = tools.page_search("line").split()[0]
    with Journal.open(live.journal) as journal:
        redact(journal.log, Target(session_id=live.session_id, page_id=page), at_us=1)
    with pytest.raises(Exception, match="erased"):
        tools.page_in(page)


def test_the_session_of_a_folder(live: Live, tmp_path: Path) -> None:
    """Calls go to the newest session of the folder, or of one above it; without any, to one of their own."""
    take(live)
    other = Live(live.journal, tmp_path / "other", "99999999-2222-3333-4444-555555555555")
    begin(other)
    below = other.work / "deep"
    below.mkdir()
    Tools(str(live.journal), str(below)).memory_add("a", "1", "why not")
    assert any(isinstance(data, e.UpdateStaged) for data in inputs(other))
    alone = Tools(str(live.journal), str(tmp_path))
    assert alone.memory_retrieve("anything") == "nothing is remembered about it"
    alone.memory_add("b", "2", "why not")
    with Journal.open(live.journal, read_only=True) as journal:
        names = [head.session_id for head in journal.log.heads()]
    assert len([name for name in names if name.startswith("mcp-")]) == 1


_ME = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
HELLO = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _ME}
LINES = {
    '{"jsonrpc":"2.0","id":7,"method":"ping","params":{"arguments":{"text":"\\ud800"}}}': (7, -32700),
    '{"jsonrpc":"2.0","id":"é\\udfff"}': (None, -32700),
    "no message": (None, -32700),
    "[" * 3_000: (None, -32700),
    '{"jsonrpc":"2.0","id":8}': (8, -32600),
    '{"jsonrpc":"2.0","id":true}': (None, -32600),
    '{"jsonrpc":"1.0","id":5,"method":"ping"}': (5, -32600),
    '{"jsonrpc":"2.0","id":"six","method":6}': ("six", -32600),
    '{"jsonrpc":"2.0","id":9,"method":"ping","params":[]}': (9, -32600),
    '{"jsonrpc":"2.0","id":10,"result":[]}': (10, -32600),
    **{
        f'{{"jsonrpc":"2.0","id":{number},"method":"ping"}}': (None, -32600)
        for number in ("1.5", "1e400", "null", "true", "[]", '{"id":3}')
    },
    "[]": (None, -32600),
}


def test_a_line_that_is_no_message_is_answered(tmp_path: Path) -> None:
    """Each gets an error of JSON-RPC, under its id where it has one, and the server goes on."""
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    lines = [json.dumps(HELLO), *LINES, json.dumps(ping), ""]
    with subprocess.Popen(
        [sys.executable, "-m", "clawvm_es", "mcp", "--journal", str(tmp_path / "j.db")],
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write("\n".join(lines).encode())
        server.stdin.flush()
        answers = [json.loads(server.stdout.readline()) for _ in lines[:-1]]
        server.stdin.close()
    assert server.returncode == 0 and {each["id"] for each in answers if "result" in each} == {1, 2}
    refused = [each for each in answers if "error" in each]
    assert [(each["id"], each["error"]["code"]) for each in refused] == list(LINES.values())
    assert all(each["error"]["message"].startswith("the line ") for each in refused)


def request(number: object, tool: str, **arguments: object) -> dict[str, object]:
    """A call of a tool."""
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def test_requests_in_flight_are_answered_after_stdin_ended(tmp_path: Path) -> None:
    """A client that pipes its lines in got no answer to the last ones; an odd cancellation changes nothing."""
    calls = [
        request(2, "plan", text="Goal: ship"),
        request("three", "page_in", page="p1"),
        request(4, "memory_add", name="x" * 100_000, value="1", reason="long"),
        request(5, "page_in", page="other/p1"),
        request(6, "page_in", page={"not": "a text"}),
        request(7, "no_such_tool"),
    ]
    lines = [HELLO, *calls, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": [7]}}]
    done = subprocess.run(
        [sys.executable, "-m", "clawvm_es", "mcp", "--journal", str(tmp_path / "j.db")],
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        cwd=tmp_path,
        input="".join(json.dumps(each) + "\n" for each in lines).encode(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    answers = {each["id"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert set(answers) == {1, 2, "three", 4, 5, 6, 7}
    assert answers[2]["result"]["content"][0]["text"] == "p1: kept"
    for refused in (5, 6, 7):
        told = json.dumps(answers[refused])
        assert '"isError": true' in told or '"error"' in told, told[:300]
        assert "Traceback" not in told


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that has answered a first line, and whose stdin is open."""
    command = [sys.executable, "-m", "clawvm_es", "mcp", "--journal", str(tmp_path / "j.db")]
    env = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    with subprocess.Popen(command, env=env, stdin=-1, stdout=-1, stderr=-1) as running:
        assert running.stdin is not None and running.stdout is not None
        running.stdin.write(json.dumps(HELLO).encode() + b"\n")
        running.stdin.flush()
        assert running.stdout.readline()
        yield running
        running.kill()


def test_an_interrupt_ends_the_server_at_once(server: subprocess.Popen[bytes]) -> None:
    """Harnesses send one before they kill; the server waited for another line on stdin, without end."""
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=30) == -signal.SIGINT
    assert server.stderr is not None and server.stderr.read() == b""


def test_a_client_that_reads_no_more_is_left(server: subprocess.Popen[bytes]) -> None:
    """A closed pipe is the end of a conversation, and no internal error."""
    assert server.stdin is not None and server.stdout is not None and server.stderr is not None
    server.stdout.close()
    server.stdin.write(json.dumps(request(2, "plan")).encode() + b"\n")
    server.stdin.close()
    server.stdin = None
    assert (server.wait(timeout=60), server.stderr.read()) == (0, b"")


def test_a_page_with_half_a_surrogate_pair_is_sent(live: Live) -> None:
    """Reading and finding it say U+FFFD there; the server answers on."""
    take(live)
    with Journal.open(live.journal) as journal, journal.session(live.session_id) as session:
        page = session.user_says("odd \udc80 zebra")

    async def ask(client: Any) -> list[str]:
        asked = [("page_in", {"page": page}), ("page_search", {"query": "zebra"}), ("page_in", {"page": "p999"})]
        return [(await client.call_tool(*each)).content[0].text for each in asked]

    read, found, wrong = talk(live, ask)
    assert "odd \ufffd zebra" in read and "odd \ufffd zebra" in found and "p999" in wrong


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Tools]:
    """Tools of a harness without hooks."""
    yield Tools(str(tmp_path / "j.db"), str(tmp_path))


def test_changes_are_undone_by_what_was_kept(tools: Tools) -> None:
    """A forgotten name is free again, a plan is read and ended, filtered pages come back."""
    tools.memory_add("colour", "red", "said so")
    tools.memory_delete("colour", "wrong")
    assert tools.memory_retrieve("colour") == "nothing is remembered about it"
    tools.memory_add("colour", "red", "it was right after all")
    assert tools.memory_retrieve("colour").startswith("colour: red")
    assert tools.plan() == "no plan is active"
    tools.plan("Goal: x")
    assert "Goal: x" in tools.plan()
    tools.plan("Goal: x", done=True)
    assert tools.plan() == "no plan is active"
    assert tools.memory_filter("nowhere", "noise") == "no result or talk holds that text"
    with pytest.raises(Exception, match="its place"):
        tools.page_restore("p1", "why")
    with pytest.raises(Exception, match="no page p99"):
        tools.page_restore("p99", "why")


def test_without_the_extra_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    """The base install lacks the packages that the server imports."""
    from clawvm_es.cli.main import main

    for missing in ("anyio", "mcp", "mcp.server"):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as left:
        main(["mcp", "--journal", str(tmp_path / "j.db")])
    told = capsys.readouterr()
    assert (left.value.code, told.out) == (2, "")
    assert told.err == "clawvm: the MCP server needs the extra mcp (pip install 'clawvm-es[mcp]')\n"
