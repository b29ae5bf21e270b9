"""Items of OpenAI's Responses API ↔ messages of a conversation in a journal.

| items | message |
|---|---|
| a message of the user's | `Said` |
| thoughts, texts and calls in a row; another text or thought after a text begins another one | `Answered` |
| the result of a call | `Ended` |
| a message of the system's or the developer's | belongs to the fixed region |
| anything else: references to stored items, compactions, approvals | cannot be paged: `UsageError` |

LAW-ITEMS-1: converting items to messages and back gives the same items.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from clawvm_es.engine.hooks import Call
from clawvm_es.errors import UsageError
from clawvm_es.integrations.observing import Answered, Conversation, Ended, Message, Said
from clawvm_es.journal.lineage import event_at
from clawvm_es.model import events as e
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.model.pages import Author
from clawvm_es.observe.edge import decode
from clawvm_es.representations.messages.framing import MEDIA, TEXTS, canonical
from clawvm_es.representations.messages.shapes import is_call, is_output

Item: TypeAlias = Mapping[str, Any]
FIXED: Final = ("system", "developer")
"""Roles of messages that belong to the fixed region."""
SERVED: Final = frozenset(
    (
        *("reasoning", "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
        *("mcp_call", "mcp_list_tools", "mcp_approval_request", "tool_search_call"),
    )
)
"""Items of an answer that no client answers."""
_BESIDE: Final = ("type", "id", "call_id", "status")
"""Fields of a call that are no arguments."""


def parted(items: Iterable[Item]) -> tuple[list[Item], list[Item]]:
    """Items of the fixed region, and all others."""
    fixed: list[Item] = []
    rest: list[Item] = []
    for item in items:
        (fixed if item.get("role") in FIXED else rest).append(item)
    return fixed, rest


def messages_of(items: Iterable[Item], failures: Sequence[str] = ()) -> list[Message]:
    """Messages of items, in order; results that begin with one of `failures` are errors.

    Raises `UsageError` for an item that cannot be paged.
    """
    found: list[Message] = []
    answer: list[Item] = []
    for item in items:
        if _is_answer(item):
            if _begins(item, answer):
                found.append(_answered(answer))
                answer = []
            answer.append(item)
            continue
        if answer:
            found.append(_answered(answer))
            answer = []
        found.append(_ended(item, failures) if is_output(item) else _said(item))
    return [*found, _answered(answer)] if answer else found


def items_of(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The items of messages."""
    return [dict(item) for message in messages for item in _items(message)]


def _items(message: Message) -> Iterator[Item]:
    if isinstance(message, Answered):
        yield from message.native or ()
    elif isinstance(message, Said):
        yield {"role": "user", "content": message.text if message.native is None else message.native}
    elif message.native is not None and is_output(message.native[0]):
        yield message.native[0]
    else:
        output = message.text if message.native is None else message.native
        yield {"type": "function_call_output", "call_id": message.call_id, "output": output}


# ------------------------------------------------------------------------------------------ item by item


def _is_answer(item: Item) -> bool:
    return item.get("role") == "assistant" or is_call(item) or item.get("type") in SERVED


def _begins(item: Item, answer: Sequence[Item]) -> bool:
    """Tell whether an item begins another answer: it is a text or a thought, and a text came before it."""
    return not is_call(item) and any("role" in before for before in answer)


def _said(item: Item) -> Said:
    content = item.get("content")
    if item.get("role") != "user" or not isinstance(content, str | list):
        raise UsageError(f"an item of type {item.get('type') or item.get('role')!r} cannot be paged")
    return Said(content) if isinstance(content, str) else Said(text_of(content), content)


def _answered(items: Sequence[Item]) -> Answered:
    texts = [text_of(item.get("content") or "") for item in items if "role" in item]
    summaries = [each for item in items if item.get("type") == "reasoning" for each in item.get("summary") or ()]
    native = [{"type": "message", **item} if "role" in item else dict(item) for item in items]
    return Answered(
        "\n\n".join(filter(None, texts)),
        tuple(_call(item) for item in items if is_call(item)),
        native,
        tuple(str(each.get("text", "")) for each in summaries),
    )


def _call(item: Item) -> Call:
    name = item.get("name") or str(item["type"]).removesuffix("_call")
    arguments = item.get("arguments")
    if not isinstance(arguments, str):
        arguments = canonical({field: value for field, value in item.items() if field not in _BESIDE})
    return Call(item["call_id"], str(name), arguments)


def _ended(item: Item, failures: Sequence[str]) -> Ended:
    output, own = item.get("output"), item["type"] != "function_call_output"
    text = output if isinstance(output, str) else text_of(output) if isinstance(output, list) else canonical(output)
    status = ReturnStatus.ERROR if text.startswith(tuple(failures)) else ReturnStatus.OK
    native = [dict(item)] if own or not isinstance(output, str | list) else output if output != text else None
    return Ended(item["call_id"], text, status, native)


def text_of(content: str | Sequence[Item]) -> str:
    """The text of a content; images and files are named by their type."""
    if isinstance(content, str):
        return content
    return "\n".join(_part(each) for each in content)


def _part(each: Item) -> str:
    kind = each.get("type")
    if kind in TEXTS or kind == "refusal":
        return str(each.get("text") or each.get("refusal") or "")
    return f"[{str(kind).removeprefix('input_')}]" if kind in MEDIA else canonical(each)


# -------------------------------------------------------------------------------------------- from a journal


def recorded(conversation: Conversation) -> list[dict[str, Any]]:
    """The items of a conversation, from its journal."""
    session, log = conversation.session, conversation.journal.log
    vault = log.vault(session.session_id)

    def text(name: str | None) -> str:
        return decode(vault.open(name) or b"") if name else ""

    def native(name: str | None) -> Any:
        return json.loads(said) if (said := text(name)) else None

    found: list[Message] = []
    for known in conversation.known:
        data = event_at(log, session.session_id, known.version).data
        if isinstance(data, e.ModelResponded):
            found.append(Answered(native=native(data.native)))
        elif isinstance(data, e.ToolReturned):
            call = event_at(log, session.session_id, session.state.calls[data.call].version).data
            assert isinstance(call, e.ToolCalled)
            found.append(Ended(text(call.call_id), text(data.result), native=native(data.native)))
        elif isinstance(data, e.PageWritten) and data.author is Author.USER:
            found.append(Said(text(data.levels[0].body), native(data.native)))
    return items_of(found)
