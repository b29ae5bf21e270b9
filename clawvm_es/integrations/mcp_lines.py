"""The lines that an MCP client sends: an invalid line is answered with an error, so that no client waits in vain.

The library silently skips invalid lines, such as one with half a surrogate pair, which JSON can express and UTF-8
cannot.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from clawvm_es.representations.sayable import sayable

if TYPE_CHECKING:
    from mcp.server import MCPServer


async def serve_lines(made: MCPServer[Any]) -> None:
    """Serve on stdin and stdout, as `MCPServer.run_stdio_async`, until stdin ends."""
    from mcp.server.stdio import stdio_server

    lowlevel = made._lowlevel_server
    async with stdio_server() as (read, write), anyio.create_task_group() as tasks:
        messages, taken = anyio.create_memory_object_stream[Any](0)
        tasks.start_soon(_sort, read, messages, write)
        await lowlevel.run(taken, write, lowlevel.create_initialization_options())
        tasks.cancel_scope.cancel()


async def _sort(read: AsyncIterable[Any], messages: MemoryObjectSendStream[Any], write: Any) -> None:
    """Hand messages on, and answer whatever else was read."""
    from mcp.shared.message import SessionMessage

    async with messages:
        async for each in read:
            if isinstance(each, Exception):
                await write.send(SessionMessage(refusal(each)))
            else:
                await messages.send(each)


def refusal(error: Exception) -> Any:
    """The answer to an invalid line, under its id if that can be read."""
    import mcp_types as types

    line = _line(error)
    read: Any = None
    with suppress(ValueError, RecursionError):
        read = json.loads(line) if isinstance(line, str) else line
    number = read.get("id") if isinstance(read, dict) else None
    known = number if isinstance(number, (int, str)) and not isinstance(number, bool) else None
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
