"""The proxy's added time a request, beside the same client that asks the provider itself: a fake one on loopback.

Both ways are asked in turn, with the same requests: conversations of a given length that grow by a call and its
result of 2 KB. The client pauses between requests, as one that waits for a model does, so that what is recorded
meanwhile is off the clock. Beside it stands the CPU time of the proxy's process, which a busy machine disturbs less;
it holds what is recorded, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import ROOT, ProcessFailed, p95

BAR = "PROXY"
HISTORIES = (10, 150)
"""Messages of a conversation before what is measured."""
REQUESTS = 10
"""Requests of a conversation that are measured."""
PAUSE_S = 0.05
SETTLE_S = 1.5
"""Time for the first request of a conversation, which holds all of it, to be recorded."""
UPSTREAM = r"""
import asyncio, json, sys
message = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [],
           "usage": {"input_tokens": 9, "output_tokens": 1}}
events = [{"type": "message_start", "message": message},
          {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
          *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
            for _ in range(20)),
          {"type": "content_block_stop", "index": 0},
          {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}},
          {"type": "message_stop"}]
body = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events).encode()
head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)

async def answer(reader, writer):
    try:
        while True:
            asked = await reader.readuntil(b"\r\n\r\n")
            lines = (line.lower() for line in asked.split(b"\r\n"))
            size = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            await reader.readexactly(size)
            writer.write(head + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 26)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


def proxying(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Added milliseconds a request, p50 and p95, for short and long conversations."""
    try:
        import httpx
        import uvicorn
    except ModuleNotFoundError as error:
        yield Measure(BAR, "added a request", None, note=f"skipped: no {error.name}")
        return
    assert httpx and uvicorn
    with _running(["-c", UPSTREAM]) as (told, _):
        direct = int(told)
        options = ["--journal", str(folder / "proxy.db"), "--port", "0", "--upstream", f"http://127.0.0.1:{direct}"]
        with _running(["-m", "clawvm_es", "proxy", *options, "--json"]) as (document, pid):
            ports = {"direct": direct, "proxy": int(json.loads(document)["port"])}
            for length in HISTORIES:
                took, cpu = _asked(ports, length, sizes.rounds, pid)
                yield from _measures(length, took)
                if cpu:
                    each = 1000 * sum(cpu) / len(took["proxy"])
                    yield Measure(BAR, f"CPU of the proxy a request, {length} messages", each, "ms")


def _measures(length: int, took: Mapping[str, list[float]]) -> Iterator[Measure]:
    for name, of in (("p50", median), ("p95", p95)):
        ours, theirs = (1000 * of(took[side]) for side in ("proxy", "direct"))
        what = f"added a request, {length} messages, {name}"
        yield Measure(BAR, what, ours - theirs, "ms", "direct", theirs, ours / theirs)


def _asked(
    ports: Mapping[str, int], length: int, conversations: int, pid: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds of each request, by the way it took, and CPU seconds of the proxy for each conversation."""
    took: dict[str, list[float]] = {name: [] for name in ports}
    cpu: list[float] = []
    connections = {name: HTTPConnection("127.0.0.1", port) for name, port in ports.items()}
    for number in range(conversations):
        name, before = f"bench-{length}-{number}", None
        for later in range(REQUESTS + 1):
            body = _request(name, length + 2 * later)
            for side, connection in connections.items():
                seconds = _ask(connection, body, name)
                if later:
                    took[side].append(seconds)
            sleep(PAUSE_S if 0 < later < REQUESTS else SETTLE_S)
            before = _cpu_seconds(pid) if later == 0 else before
        after = _cpu_seconds(pid)
        if before is not None and after is not None:
            cpu.append(after - before)
    return took, cpu


def _ask(connection: HTTPConnection, body: bytes, session: str) -> float:
    began = perf_counter()
    headers = {"content-type": "application/json", "x-clawvm-session": session}
    connection.request("POST", "/v1/messages", body, headers)
    connection.getresponse().read()
    return perf_counter() - began


def _request(name: str, length: int) -> bytes:
    """A request with so many messages: a prompt, then calls and their results."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"look at everything of {name}"}]
    for number in range(1, length, 2):
        use = {
            "type": "tool_use",
            "id": f"toolu_{name}_{number}",
            "name": "Read",
            "input": {"file_path": f"{number}"},
        }
        text = f"{name} {number}: " + "some words of a file, as they come; " * 56
        result = {"type": "tool_result", "tool_use_id": use["id"], "content": text}
        messages += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    tools = [{"name": "Read", "description": "Reads a file. " * 40, "input_schema": {"type": "object"}}]
    fixed = {"model": "x", "max_tokens": 1000, "stream": True, "system": "You help. " * 200, "tools": tools}
    return json.dumps({**fixed, "messages": messages[:length]}, separators=(",", ":")).encode()


@contextmanager
def _running(arguments: list[str]) -> Iterator[tuple[str, int]]:
    """A program that serves; gives what it says first, and the id of its process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))}
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as program:
        try:
            assert program.stdout is not None
            told = ""
            for line in program.stdout:  # a document may take several lines
                told += line
                if not told.startswith("{") or line.startswith("}"):
                    break
            if not told:
                raise ProcessFailed(f"python {' '.join(arguments[:2])} did not serve")
            yield told, program.pid
        finally:
            program.terminate()
            program.wait()


def _cpu_seconds(pid: int) -> float | None:
    """CPU seconds of a process that runs, where the system tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
