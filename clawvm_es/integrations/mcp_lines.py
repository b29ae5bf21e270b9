"""The lines that an MCP client sends, and their answers, so that no client waits in vain.

The library silently skips invalid lines, such as one with half a surrogate pair, which JSON can express and UTF-8
cannot, and takes a request whose id is no text and no integer for a notification, which has no answer. It also drops
the requests that it is working on when stdin ends.

LAW-MCP-3: an invalid line is answered with an error. A request that was read before stdin ended is answered before
the server ends, unless it was cancelled or takes longer than `ENDING_S`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from clawvm_es.representations.sayable import sayable

if TYPE_CHECKING:
    from mcp.server import MCPServer


ENDING_S: Final = 10.0
"""Seconds for which requests in flight are still worked on after stdin has ended."""


@attrs.define(eq=False)
class _Open:
    """The requests that wait for their answers, by id."""

    ids: Counter[Any] = attrs.field(factory=Counter)
    none: anyio.Event = attrs.field(factory=anyio.Event)

    def began(self, message: Any) -> None:
        """Count a request in; a cancelled one may get no answer, and is not waited for."""
        if message.method == "notifications/cancelled":
            self.ended((message.params or {}).get("requestId"))
        elif (number := getattr(message, "id", None)) is not None:
            self.ids[number] += 1

    def ended(self, number: Any) -> None:
        """Count an answer."""
        if isinstance(number, (int, str)) and self.ids[number] > 0:
            self.ids[number] -= 1
        if not +self.ids:
            self.none.set()

    async def wait(self) -> None:
        """Wait until every request has its answer, for `ENDING_S` at most."""
        self.none = anyio.Event()
        if +self.ids:
            with anyio.move_on_after(ENDING_S):
                await self.none.wait()


async def serve_lines(made: MCPServer[Any]) -> None:
    """Serve on stdin and stdout, as `MCPServer.run_stdio_async`, until stdin ends."""
    from mcp.server.stdio import stdio_server

    lowlevel = made._lowlevel_server
    lines: Any = _lines(anyio.wrap_file(open(sys.stdin.fileno(), "rb", closefd=False)))  # noqa: SIM115  of the program
    async with stdio_server(lines) as (read, write), anyio.create_task_group() as tasks:
        messages, taken = anyio.create_memory_object_stream[Any](0)
        answers, answered = anyio.create_memory_object_stream[Any](0)
        waiting = _Open()
        tasks.start_soon(_sort, read, messages, write, waiting)
        async with anyio.create_task_group() as answering:
            answering.start_soon(_answer, answered, write, waiting)
            async with answers:
                await lowlevel.run(taken, answers, lowlevel.create_initialization_options())
        await write.aclose()
        tasks.cancel_scope.cancel()


async def _lines(file: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """The lines of a file, each as the library is to read it."""
    async for line in file:
        yield as_read(line.decode("utf-8", "replace"))


def as_read(line: str) -> str:
    """A line as the library is to read it: of an object that is no message, its id if that can be one."""
    with suppress(ValueError, RecursionError):
        read = json.loads(line)
        if isinstance(read, dict) and not _may_be_message(read):
            return json.dumps({"id": read["id"]} if _known(read.get("id")) else {})
    return line


def _may_be_message(read: dict[str, Any]) -> bool:
    """Tell whether an object has the form of a message that the library accepts."""
    if read.get("jsonrpc") != "2.0" or "method" not in read:
        return read.get("jsonrpc") == "2.0"
    params = read.get("params")
    return (
        isinstance(read["method"], str) and _known(read.get("id", 0)) and (params is None or isinstance(params, dict))
    )


def _known(number: Any) -> bool:
    """Tell whether the library takes this for the id of a request."""
    return isinstance(number, (int, str)) and not isinstance(number, bool)


async def _sort(read: AsyncIterable[Any], messages: MemoryObjectSendStream[Any], write: Any, waiting: _Open) -> None:
    """Hand messages on, and answer whatever else was read; at the end, wait for the answers to all of them."""
    from mcp.shared.message import SessionMessage

    async with messages:
        async for each in read:
            if isinstance(each, Exception):
                await write.send(SessionMessage(refusal(each)))
                continue
            if hasattr(each.message, "method"):
                waiting.began(each.message)
            await messages.send(each)
        await waiting.wait()


async def _answer(answered: MemoryObjectReceiveStream[Any], write: Any, waiting: _Open) -> None:
    """Send what the library says, and note which requests it answers."""
    async for each in answered:
        await write.send(each)
        if not hasattr(each.message, "method"):
            waiting.ended(each.message.id)


def refusal(error: Exception) -> Any:
    """The answer to an invalid line, under its id if that can be read."""
    import mcp_types as types

    line = _line(error)
    read: Any = None
    with suppress(ValueError, RecursionError):
        read = json.loads(line) if isinstance(line, str) else line
    number = read.get("id") if isinstance(read, dict) else None
    known = number if _known(number) else None
    if isinstance(known, str) and sayable(known) != known:
        known = None
    code = types.PARSE_ERROR if isinstance(line, str) else types.INVALID_REQUEST
    what = "is no JSON in UTF-8" if isinstance(line, str) else "is no request of JSON-RPC 2.0"
    if isinstance(line, str) and read is not None:
        what = "holds half of a surrogate pair, which no text can"
    return types.JSONRPCError(jsonrpc="2.0", id=known, error=types.ErrorData(code=code, message=f"the line {what}"))


def _line(error: Exception) -> Any:
    """The line that an error is about, or what was read from it; None where the error does not tell."""
    with suppress(AttributeError, LookupError):
        return error.errors(include_url=False)[0]["input"]  # type: ignore[attr-defined]
    return None
