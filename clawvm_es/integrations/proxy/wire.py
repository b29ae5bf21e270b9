"""Requests and answers on the wire, for every API: a `Shape` describes the parts of each API.

A request is split into the raw bytes of its fields and of its history's items; only new items are parsed.

LAW-PROXY-1: in a reassembled request, everything except the contents of results is, byte for byte, what the client
sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any, Final

import attrs
import msgspec
from msgspec import Raw

from clawvm_es.importers.prompts import Message
from clawvm_es.model.facts import Finish
from clawvm_es.observe.fields import Fields, parse_json
from clawvm_es.observe.steps import Usage
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.messages.framing import BLOCK_TOKENS, IMAGE_TOKENS, call_tokens, canonical, text_tokens

Document = dict[str, Any]
Block = dict[str, Raw]
"""A JSON object whose values are left as they are."""


class NotUnderstood(ValueError):
    """The bytes are no request of the shape; they are forwarded unchanged."""


@attrs.frozen
class Result:
    """The result of a call in a history, and its size as the client sent it.

    Only a result that `holds_text` alone can be removed, since the journal stores no images. Some providers give the
    same id to calls of different answers; the `key` tells their results apart.
    """

    call_id: str
    tokens: int
    size_bytes: int
    lines: int
    digest: str
    holds_text: bool
    key: str


@attrs.frozen
class Item:
    """One item of a history: its contents, its results, its tokens; `speaks` if the user speaks in it."""

    pieces: tuple[Message, ...]
    results: tuple[Result, ...]
    tokens: int
    speaks: bool

    @property
    def identity(self) -> tuple[str, ...]:
        """The same value for items with the same content, wherever the client put the provider's cache marks."""
        return tuple([piece.known for piece in self.pieces])


@attrs.frozen
class Answer:
    """An answer, as far as it came; `finish` is `ERROR` if it was cut or refused.

    One that is `awaited` is made in the background: the client asks for it later, by its id.
    """

    pieces: tuple[Message, ...] = ()
    usage: Usage = attrs.field(factory=Usage)
    model: str = ""
    finish: Finish | None = None
    ident: str = ""
    awaited: bool = False


@attrs.frozen
class Shape:
    """One API: the field of its histories, and how its parts are read and replaced.

    `read` returns the pieces of an item; `replace` replaces results by texts, by the ids of their calls;
    `document` reads a whole answer, `streamed` assembles one from the events of a stream and tells whether it is
    complete. `joins` is set if one answer is several items, which the provider keeps for requests that go on.
    """

    name: str
    provider: str
    upstream: str
    history: str
    system: Callable[[Mapping[str, Raw]], Sequence[str]]
    read: Callable[[Fields], Sequence[Message]]
    replace: Callable[[Block, Mapping[str, str]], bool]
    document: Callable[[Fields], Answer]
    streamed: Callable[[Sequence[Document]], tuple[Document, bool]]
    joins: bool = False


@attrs.frozen
class Asked:
    """A request: its raw fields, and the items of its history.

    With `goes_on` the provider holds what came before: up to the answer of this id, or the whole `conversation`. Its
    answer `stays` with the provider, so that others can go on from it.
    """

    shape: Shape
    fields: Mapping[str, Raw]
    items: Sequence[Raw]
    model: str
    system: Sequence[str]
    tools: bytes
    max_output: int | None
    session: str
    goes_on: str
    conversation: str
    stays: bool

    @property
    def region(self) -> str:
        """Digest of the part before the history; unchanged as long as the provider's cache can serve that part."""
        parts = [self.model.encode(), self.tools, *(text.encode("utf-8", "surrogatepass") for text in self.system)]
        return sha256(b"\0".join(parts)).hexdigest()


OUTPUTS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def taken_apart(shape: Shape, body: bytes) -> Asked:
    """Split a request. Raises `NotUnderstood` for bytes that are not of the shape."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Raw])
        history = fields.get(shape.history, Raw(b"null"))
        if _begins(history, b'"'):  # a text in the place of a history
            items = [Raw(msgspec.json.encode({"role": "user", "content": history}))]
        else:
            items = msgspec.json.decode(history, type=list[Raw])
        rest: Document = {name: msgspec.json.decode(fields[name]) for name in _READ if name in fields}
        system = shape.system(fields)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise NotUnderstood(f"no request of {shape.name}: {type(error).__name__}") from None
    told = Fields(rest)
    conversation = told.text("conversation") or told.fields("conversation").text("id")
    return Asked(
        shape,
        fields,
        items,
        told.text("model"),
        system,
        bytes(fields.get("tools", b"")),
        next((count for name in OUTPUTS if (count := told.count(name))), None),
        _session(told),
        told.text("previous_response_id") or conversation,
        conversation,
        rest.get("store") is not False,
    )


_READ: Final = (
    *OUTPUTS,
    *("model", "metadata", "prompt_cache_key", "previous_response_id", "conversation", "store"),
)
"""Fields that are read beside the history."""


def _session(told: Fields) -> str:
    """The client's own name of its session, where a body gives one: Claude Code's, Codex's."""
    named = told.fields("metadata").text("user_id")
    if named.startswith("{"):
        try:
            return Fields.of(parse_json(named)).text("session_id")
        except ValueError:
            return ""
    _, found, session = named.rpartition("_session_")
    return session if found else told.text("prompt_cache_key")


def text_in(block: Mapping[str, Raw], name: str) -> str:
    """A string; empty for any other value."""
    found = msgspec.json.decode(block[name]) if name in block else ""
    return found if isinstance(found, str) else ""


def _begins(raw: Raw, character: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == character


def is_list(raw: Raw) -> bool:
    """Tell whether a value is an array."""
    return _begins(raw, b"[")


def put_together(asked: Asked, items: Sequence[bytes]) -> bytes:
    """The request with other items in its history."""
    history = Raw(b"[" + b",".join(items) + b"]")
    return msgspec.json.encode({**asked.fields, asked.shape.history: history})


def read_item(shape: Shape, raw: Raw, counter: TokenCounter) -> Item:
    """Read an item of a history. Raises `NotUnderstood`."""
    try:
        value = parse_json(bytes(raw).decode())
    except ValueError:
        raise NotUnderstood(f"no message of {shape.name}") from None
    if not isinstance(value, dict):
        raise NotUnderstood(f"no message of {shape.name}")
    pieces = tuple([attrs.evolve(each, known=_digest(each.identity)) for each in shape.read(Fields(value))])
    counts = [tokens_of(piece, counter) for piece in pieces]
    results = [_result(each, count) for each, count in zip(pieces, counts, strict=True) if each.role == "tool"]
    speaks = not results and any(piece.role == "user" and not piece.harness for piece in pieces)
    return Item(pieces, tuple([each for each in results if each.call_id]), sum(counts), speaks)


def tokens_of(piece: Message, counter: TokenCounter) -> int:
    """Tokens of a piece's content, by the framing for messages."""
    texts = [text_tokens(text, counter) for text in (piece.text, *piece.thinking) if text]
    uses = [call_tokens(use.call_id, use.name, canonical(use.arguments), counter) for use in piece.uses]
    return sum(texts) + sum(uses) + len(piece.images) * (IMAGE_TOKENS + BLOCK_TOKENS)


def _result(piece: Message, tokens: int) -> Result:
    data = piece.text.encode("utf-8", "surrogatepass")
    whole = not piece.images and not piece.skipped
    lines, digest = piece.text.count("\n") + 1, sha256(data).hexdigest()[:16]
    return Result(piece.call_id, tokens, len(data), lines, digest, whole, piece.known)


def result_key(call_id: str, text: str) -> str:
    """The key of a result."""
    return _digest(Message("tool", text, call_id=call_id).identity)


def _digest(identity: str) -> str:
    return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def replaced(shape: Shape, raw: Raw, stubs: Mapping[str, str]) -> bytes:
    """An item with the contents of some results replaced; everything else is unchanged."""
    fields = msgspec.json.decode(raw, type=dict[str, Raw])
    return msgspec.json.encode(fields) if shape.replace(fields, stubs) else bytes(raw)


def stub_into(block: Block, name: str, stub: str) -> None:
    """Replace the content `name` of a result by a text; a cache mark of the provider's in it stays."""
    mark = None
    if is_list(block[name]):
        for part in msgspec.json.decode(block[name], type=list[Raw]):
            inner = msgspec.json.decode(part, type=dict[str, Raw]) if _begins(part, b"{") else {}
            mark = inner.get("cache_control", mark)
    if mark is None:
        block[name] = Raw(msgspec.json.encode(stub))
    else:
        block[name] = Raw(msgspec.json.encode([{"type": "text", "text": stub, "cache_control": mark}]))


def joined(pieces: Sequence[Message]) -> list[Message]:
    """Consecutive pieces of one answer as one; it is identified by everything except its thoughts."""
    found: list[Message] = []
    for piece in pieces:
        before = found[-1] if found else None
        if piece.role != "assistant" or before is None or before.role != "assistant":
            found.append(piece)
            continue
        names = [each.known for each in (before, piece) if each.text or each.uses]
        found[-1] = Message(
            "assistant",
            "\n".join(text for text in (before.text, piece.text) if text),
            (*before.uses, *piece.uses),
            images=(*before.images, *piece.images),
            thinking=(*before.thinking, *piece.thinking),
            skipped=(*before.skipped, *piece.skipped),
            known="+".join(names) or before.known,
        )
    return found


def answer_of(shape: Shape, data: bytes, *, whole: bool, is_stream: bool) -> Answer:
    """Read an answer, as far as it came; one that is not `whole`, or has no end, was cut."""
    try:
        if is_stream:
            document, ended = shape.streamed(events_of(data))
            whole = whole and ended
        else:
            document = dict(Fields.of(parse_json(data.decode())).raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Answer(finish=Finish.ERROR)
    answer = shape.document(Fields(document))
    pieces = tuple([attrs.evolve(each, known=_digest(each.identity)) for each in answer.pieces])
    return attrs.evolve(answer, pieces=pieces, finish=answer.finish if whole else Finish.ERROR)


def _event(text: bytes) -> Sequence[Document]:
    """One event of a stream; none that no reader can read."""
    try:
        return [msgspec.json.decode(text)]
    except (msgspec.MsgspecError, ValueError, RecursionError):  # half of a surrogate pair, it may be
        try:
            return [dict(Fields.of(parse_json(text.decode())).raw)]
        except ValueError:
            return []


def events_of(data: bytes) -> list[Document]:
    """The events of a stream (SSE) that are complete and JSON objects."""
    found: list[Document] = []
    lines: list[bytes] = []
    for line in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif not line and lines:
            text, lines = b"\n".join(lines), []
            if text.startswith(b"{"):
                found.extend(_event(text))
            elif text == b"[DONE]":
                found.append({"type": "done"})
    return found
