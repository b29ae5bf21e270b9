"""The way of a request through the proxy, as an ASGI application.

| request | forwarded |
|---|---|
| a known path, with a body of its shape | the body with stubs; request and answer are recorded |
| a request to count tokens, of the same shape | the body with the same stubs |
| a question for an answer that is made in the background | the client's own bytes; the answer is recorded |
| any other request, and any that fails here | the client's own bytes |

The answer is passed to the client as it comes, byte for byte, and parsed from a copy afterwards.

LAW-PROXY-4: no failure of ours stops a request: after an error the client's own bytes are forwarded.
LAW-PROXY-5: headers are forwarded and never stored: no API key gets into the journal or a log.
"""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs
import httpx

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.packed import unpacked
from clawvm_es.integrations.proxy import anthropic, openai
from clawvm_es.integrations.proxy.histories import Histories, Prepared
from clawvm_es.integrations.proxy.recorder import Came, Recorder
from clawvm_es.integrations.proxy.wire import Answer, NotUnderstood, Shape, taken_apart

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

SHAPES: Final[Mapping[str, Shape]] = MappingProxyType(
    {"/v1/messages": anthropic.SHAPE, "/v1/chat/completions": openai.CHAT, "/v1/responses": openai.RESPONSES}
)
"""Paths of model calls."""
COUNTS: Final[Mapping[str, Shape]] = MappingProxyType({"/v1/messages/count_tokens": anthropic.SHAPE})
"""Paths that count the tokens of one."""
SESSION: Final = b"x-clawvm-session"
SESSIONS: Final = (SESSION, b"x-claude-code-session-id", b"session_id", b"session-id", b"conversation_id")
"""Headers that name a client's session, the first that is there."""
HOP_BY_HOP: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"),
        *(b"trailer", b"transfer-encoding", b"upgrade", b"expect", b"host", b"content-length", SESSION),
    )
)
"""Headers of one connection; the length is that of what is sent."""
READABLE: Final = frozenset((b"gzip", b"deflate", b"identity"))
"""Encodings of answers that can be read, and so recorded."""
BODY_MAX: Final = 64 * 2**20
"""Bytes of a request that are looked at; a longer one goes on as it comes."""
ANSWER_MAX: Final = 64 * 2**20
"""Bytes of an answer that are kept to be recorded."""
AT_ONCE: Final = 64
"""Requests that are under way at once; others wait."""
CONNECT_S: Final = 30.0
READ_S: Final = 900.0
"""The provider may think for so long before the next byte."""


class Left(Exception):
    """The client went away."""


@attrs.define(eq=False)
class Proxy:
    """Forwards requests, and has them recorded. `told` is called once for each kind of failure.

    `under_way` is the number of requests whose answer has not ended.
    """

    histories: Histories
    recorder: Recorder
    upstream: str | None = None
    told: Callable[[str, str], None] = lambda kind, line: None
    clock: Callable[[], int] = lambda: time.time_ns() // 1000
    under_way: int = 0
    _client: httpx.AsyncClient | None = None
    _room: asyncio.Semaphore | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if self._client is None or self._room is None:
            limits = httpx.Limits(max_connections=AT_ONCE * 2, max_keepalive_connections=AT_ONCE)
            timeout = httpx.Timeout(READ_S, connect=CONNECT_S, pool=READ_S)
            self._client = httpx.AsyncClient(timeout=timeout, limits=limits, follow_redirects=False)
            self._room = asyncio.Semaphore(AT_ONCE)
        self.under_way += 1
        try:
            async with self._room:
                await self._forward(scope, receive, send)
        except Left:
            return
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        shape = SHAPES.get(path) or COUNTS.get(path)
        if scope["method"] != "POST" or shape is None:
            awaited = self.histories.awaited(path.rpartition("/")[2]) if scope["method"] == "GET" else None
            content = _rest(receive) if _has_body(scope["headers"]) else b""
            await self._exchange(scope, content, receive, send, awaited)
            return
        body, whole = await _read(receive)
        if not whole:
            self.told("size", f"a request of more than {BODY_MAX} bytes went on as it came")
            await self._exchange(scope, _rest(receive, body), receive, send, None)
            return
        prepared = await self._prepared(scope, shape, body, asks=path in SHAPES)
        if prepared is not None and prepared.body is not None:
            body = prepared.body  # which is not packed, however it came
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0] != _PACKED]}
        await self._exchange(scope, body, receive, send, prepared if path in SHAPES else None)

    async def _prepared(self, scope: Scope, shape: Shape, body: bytes, *, asks: bool) -> Prepared | None:
        """Make the next request from the client's; None if it is not understood, or if this fails."""
        session, at_us = _session(scope["headers"]), self.clock()

        def prepare() -> Prepared:
            asked = taken_apart(shape, _unpacked(scope["headers"], body))
            return self.histories.prepare(asked, session, at_us, asks=asks)

        try:
            return await asyncio.to_thread(prepare)
        except NotUnderstood as error:
            self.told("shape", f"{error}: it went on as it came")
            return None
        except Exception as error:  # LAW-PROXY-4
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} in {place.name} ({os.path.basename(place.filename)}:{place.lineno})"
            self.told(where, f"a request of {shape.name} went on as it came: {where}")
            return None

    # ----------------------------------------------------------------------------------------- exchange

    async def _exchange(
        self,
        scope: Scope,
        content: bytes | AsyncIterator[bytes],
        receive: Receive,
        send: Send,
        prepared: Prepared | None,
    ) -> None:
        """Send a request on, and its answer back while it comes; a client that goes away ends both."""
        came = _Copy(prepared is not None)
        work = asyncio.create_task(self._answer(scope, content, send, came))
        gone = asyncio.create_task(_gone(receive)) if isinstance(content, bytes) else None
        try:
            if gone is not None:
                await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
                if not (work.done() or came.whole):  # a server says so, too, when all was sent
                    came.left = True
                    raise Left
            await work
        finally:
            for task in (work, gone):
                if task is not None and not task.done():
                    task.cancel()
            if prepared is not None and (scope["method"] == "POST" or (came.whole and not came.refused)):
                await self._record(prepared, came)

    async def _record(self, prepared: Prepared, came: _Copy) -> None:
        at_us = self.clock()

        def note(answer: Answer) -> None:
            self.histories.answered(prepared, answer, at_us)

        self.recorder.exchanged(prepared, came.told(at_us), note)

    async def _answer(self, scope: Scope, content: bytes | AsyncIterator[bytes], send: Send, came: _Copy) -> None:
        assert self._client is not None
        headers = _forwarded(scope["headers"], streams=not isinstance(content, bytes))
        url, target = self._place(scope)
        extensions = {"target": target}  # as it came: the library would write it its own way
        request = httpx.Request(scope["method"], url, headers=headers, content=content, extensions=extensions)
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            came.refused = True
            self.told("upstream", f"{url.host}: no answer: {type(error).__name__}")
            await _unreachable(send, url.host, error)
            return
        try:
            came.begins(response)
            started = [(name.lower(), value) for name, value in response.headers.raw]
            kept = [(name, value) for name, value in started if name not in _OURS]
            await send({"type": "http.response.start", "status": response.status_code, "headers": kept})
            async for chunk in response.aiter_raw():
                came.add(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            came.whole = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except httpx.HTTPError as error:
            self.told("cut", f"{url.host}: an answer was cut: {type(error).__name__}")
            raise Cut from error  # the server closes the connection: the client sees what we saw
        finally:
            await response.aclose()

    def _place(self, scope: Scope) -> tuple[httpx.URL, bytes]:
        """The provider, the one that is set or else that of the API that is asked, and the path and query there."""
        names = {name for name, _ in scope["headers"]}
        shape = SHAPES.get(scope["path"])
        if shape is None:
            shape = anthropic.SHAPE if names & {b"anthropic-version", b"x-api-key"} else openai.CHAT
        base = httpx.URL(self.upstream or shape.upstream)
        path, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
        return base, base.raw_path.rstrip(b"/") + path + (b"?" + query if query else b"")


class Cut(ConnectionError):
    """The provider's answer was cut."""


_PACKED: Final = b"content-encoding"
_OURS: Final = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"proxy-authenticate", b"trailer"))
"""Headers of an answer that belong to the provider's connection."""


@attrs.define
class _Copy:
    """Parts of an answer, to be read when it has ended."""

    wanted: bool
    whole: bool = False
    refused: bool = False
    left: bool = False
    is_stream: bool = False
    encoding: str = ""
    parts: list[bytes] = attrs.field(factory=list)
    size: int = 0

    def begins(self, response: httpx.Response) -> None:
        self.refused = response.status_code >= 400
        self.is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        self.encoding = response.headers.get("content-encoding", "").lower()

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.wanted and self.size <= ANSWER_MAX:
            self.parts.append(chunk)

    def told(self, at_us: int) -> Came:
        whole = self.whole and self.size <= ANSWER_MAX
        return Came(tuple(self.parts), self.encoding, self.is_stream, whole, at_us, self.refused, self.left)


def _unpacked(headers: Headers, body: bytes) -> bytes:
    """The body of a request as it is without its packing. Raises `NotUnderstood` where that cannot be read."""
    named = b",".join(value for name, value in headers if name == _PACKED).decode("latin-1").lower()
    if named in ("", "identity"):
        return body
    if named not in ("gzip", "x-gzip", "zstd"):
        raise NotUnderstood(f"a request that is compressed by {named:.20}")
    try:
        return unpacked(body, f"a request that is compressed by {named}")
    except UnreadableInput as error:
        raise NotUnderstood(error.message) from None


async def _read(receive: Receive) -> tuple[bytes, bool]:
    """The body of a request; what came of it, and False, where it is longer than is looked at."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Left
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body", False):
            return b"".join(parts), True
        if size > BODY_MAX:
            return b"".join(parts), False


async def _rest(receive: Receive, first: bytes = b"") -> AsyncIterator[bytes]:
    """The body of a request as it comes."""
    if first:
        yield first
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Left
        if body := message.get("body", b""):
            yield body
        if not message.get("more_body", False):
            return


def _has_body(headers: Headers) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") and value != b"0" for name, value in headers)


async def _gone(receive: Receive) -> None:
    """Wait until the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _session(headers: Headers) -> str:
    told = {name.lower(): value for name, value in headers}
    found = next((told[name] for name in SESSIONS if told.get(name)), b"")
    return found.decode("latin-1")


def _forwarded(headers: Headers, *, streams: bool) -> Headers:
    """The headers that go on: all but those of the connection, encodings only that we can read."""
    named = {word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")}
    found: Headers = []
    for name, value in headers:
        if name == b"content-length" and streams:
            found.append((name, value))
        elif name == b"accept-encoding":
            kept = [word for word in value.split(b",") if word.split(b";")[0].strip().lower() in READABLE]
            found.append((name, b",".join(kept).strip() or b"identity"))
        elif name not in HOP_BY_HOP and name not in named:
            found.append((name, value))
    return found


async def _unreachable(send: Send, host: str, error: Exception) -> None:
    body = (
        f'{{"type":"error","error":{{"type":"api_error","message":"clawvm proxy: {host} gave no answer"}}}}'.encode()
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 502, "headers": headers})
    await send({"type": "http.response.body", "body": body})
