"""OpenAI's APIs on the wire: Chat Completions, whose answers are messages, and Responses, whose answers are items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Raw

from clawvm_es.importers import images
from clawvm_es.importers.codex_text import is_injected
from clawvm_es.importers.merging import Use
from clawvm_es.importers.prompts import Message
from clawvm_es.importers.recording import Skip
from clawvm_es.integrations.proxy.wire import Answer, Block, Document, Shape, stub_into, text_in
from clawvm_es.model.facts import Finish
from clawvm_es.observe.fields import Fields, arguments_of
from clawvm_es.observe.steps import Image
from clawvm_es.observe.told import finish_of, usage_of

_UPSTREAM: Final = "https://api.openai.com"
_TEXTS: Final = frozenset(("text", "input_text", "output_text", "refusal"))
_SYSTEM: Final = frozenset(("system", "developer"))


def _content(message: Fields, name: str = "content") -> tuple[list[str], tuple[Image, ...], tuple[Skip, ...]]:
    """The texts, the images and the other parts of a content."""
    texts: list[str] = []
    shown: list[Image] = []
    skipped: list[Skip] = []
    for part in message.blocks(name):
        url = part.text("image_url") or part.fields("image_url").text("url")
        if part.text("type") in _TEXTS:
            texts.append(part.text("text") or part.text("refusal"))
        elif url:
            shown.append(images.of_url(url))
        else:
            skipped.append(Skip.UNKNOWN_BLOCK)
    return texts, tuple(shown), tuple(skipped)


def _spoken(message: Fields) -> list[Message]:
    """A message of a system, a developer or a user, a piece for each text."""
    role = "system" if message.text("role") in _SYSTEM else "user"
    texts, shown, skipped = _content(message)
    found = [Message(role, text, harness=role == "user" and is_injected(text)) for text in texts]
    if shown or skipped:
        key = " ".join(image.text for image in shown)
        found.append(Message(role, images=shown, skipped=skipped, key=key, harness=not shown))
    return found


# ------------------------------------------------------------------------------------ Chat Completions


def _chat_read(message: Fields) -> list[Message]:
    role = message.text("role")
    if role == "assistant":
        return [_chat_answered(message)]
    if role in ("tool", "function"):
        texts, shown, skipped = _content(message)
        name, call_id = message.text("name"), message.ident("tool_call_id")
        text = "\n".join(texts)
        return [Message("tool", text, call_id=call_id, images=shown, skipped=skipped, tool=name)]
    return _spoken(message)


def _chat_answered(message: Fields) -> Message:
    texts, shown, skipped = _content(message)
    uses = [_use(call) for call in message.objects("tool_calls")]
    if message.fields("function_call"):
        uses.append(_use(message))
    thought = message.text("reasoning_content") or message.text("reasoning")
    thinking = (thought,) if thought.strip() else ()
    texts.extend([refusal] if (refusal := message.text("refusal")) else [])
    return Message("assistant", "\n".join(texts), tuple(uses), images=shown, thinking=thinking, skipped=skipped)


def _use(call: Fields) -> Use:
    function = call.fields("function") or call.fields("custom") or call.fields("function_call")
    given = function.raw.get("arguments", function.raw.get("input"))
    return Use("" if "role" in call else call.ident("id"), function.text("name"), arguments_of(given))


def _chat_replace(message: Block, stubs: Mapping[str, str]) -> bool:
    stub = stubs.get(text_in(message, "tool_call_id")) if text_in(message, "role") == "tool" else None
    if stub is None or "content" not in message:
        return False
    stub_into(message, "content", stub)
    return True


def _chat_document(document: Fields) -> Answer:
    choice = next(iter(document.objects("choices")), Fields())
    message = choice.fields("message")
    if not message:
        return Answer(finish=Finish.ERROR)
    usage, finish = usage_of(document.fields("usage").raw), finish_of(choice.text("finish_reason"))
    return Answer((_chat_answered(message),), usage, document.text("model"), finish, document.text("id"))


def _chat_streamed(events: Sequence[Document]) -> tuple[Document, bool]:
    """An answer from its chunks; of several choices the first is read."""
    message: Document = {"role": "assistant"}
    calls: list[tuple[int, Document]] = []
    whole: Document = {}
    finish, ended = "", False
    for event in map(Fields, events):
        ended = ended or event.text("type") == "done"
        whole.update({name: event.raw[name] for name in ("id", "model", "usage") if event.raw.get(name)})
        choice = next((each for each in event.objects("choices") if each.count("index") == 0), Fields())
        delta = choice.fields("delta")
        finish = choice.text("finish_reason") or finish
        for name in ("content", "refusal", "reasoning_content", "reasoning"):
            if delta.text(name):
                message[name] = f"{message.get(name, '')}{delta.text(name)}"
        for part in delta.objects("tool_calls"):
            _grow(_call_of(calls, part), part, ("function", "custom"))
        _grow(message, delta, ("function_call",))
    message["tool_calls"] = [call for _, call in sorted(calls, key=lambda each: each[0])]
    return {**whole, "choices": [{"message": message, "finish_reason": finish}]}, ended or bool(finish)


def _call_of(calls: list[tuple[int, Document]], part: Fields) -> Document:
    """The call that a part belongs to: some servers give each call the index 0, others each part an id of its own."""
    index, ident = part.count("index"), part.ident("id")
    found = next((call for at, call in reversed(calls) if at == index), None)
    begins = ident and any(part.fields(kind).text("name") for kind in ("function", "custom"))
    if found is None or (begins and found["id"] and found["id"] != ident):
        found = {"id": ident}
        calls.append((index, found))
    found["id"] = found["id"] or ident
    return found


def _grow(into: Document, part: Fields, kinds: Sequence[str]) -> None:
    """Add a part's name and arguments to those that came before."""
    for kind in kinds:
        for name in ("name", "arguments", "input"):
            if given := part.fields(kind).text(name):
                before = into.setdefault(kind, {})
                before[name] = f"{before.get(name, '')}{given}"


def _chat_system(fields: Mapping[str, Raw]) -> list[str]:
    return []  # system messages stand in the history


CHAT: Final = Shape(
    "OpenAI Chat Completions",
    "openai",
    _UPSTREAM,
    "messages",
    _chat_system,
    _chat_read,
    _chat_replace,
    _chat_document,
    _chat_streamed,
)

# --------------------------------------------------------------------------------------------- Responses

_OUTPUTS: Final = frozenset(("function_call_output", "custom_tool_call_output"))
_CALLS: Final = frozenset(("function_call", "custom_tool_call"))


def _item_read(item: Fields) -> list[Message]:
    kind, role = item.text("type"), item.text("role")
    if kind in _OUTPUTS:
        texts, shown, skipped = _content(item, "output")
        call_id = item.ident("call_id")
        return [Message("tool", "\n".join(texts), call_id=call_id, images=shown, skipped=skipped)]
    if kind in _CALLS:
        given = item.raw.get("arguments", item.raw.get("input"))
        return [Message("assistant", uses=(Use(item.ident("call_id"), item.text("name"), arguments_of(given)),))]
    if kind == "reasoning":
        thoughts = [part.text("text") for name in ("summary", "content") for part in item.objects(name)]
        thinking = tuple(text for text in thoughts if text.strip())
        return [Message("assistant", thinking=thinking, key=item.ident("id") or "reasoning")]
    if role == "assistant":
        texts, shown, skipped = _content(item)
        return [Message("assistant", "\n".join(texts), images=shown, skipped=skipped)]
    if role or kind == "message":
        return _spoken(item)
    return [Message("assistant", skipped=(Skip.UNKNOWN_BLOCK,), key=item.ident("id") or kind)]


def _item_replace(item: Block, stubs: Mapping[str, str]) -> bool:
    stub = stubs.get(text_in(item, "call_id")) if text_in(item, "type") in _OUTPUTS else None
    if stub is None or "output" not in item:
        return False
    stub_into(item, "output", stub)
    return True


def _instructions(fields: Mapping[str, Raw]) -> list[str]:
    found = text_in(fields, "instructions")
    return [found] if found.strip() else []


def _response(document: Fields) -> Answer:
    if not document.is_list("output"):
        return Answer(finish=Finish.ERROR)
    pieces = [piece for item in document.objects("output") for piece in _item_read(item)]
    status = document.text("status")
    if status in _AWAITED:
        return Answer(ident=document.text("id"), awaited=True)
    if status in ("", "completed"):
        finish = Finish.TOOL_CALLS if any(piece.uses for piece in pieces) else Finish.STOP
    else:
        reason = document.fields("incomplete_details").text("reason")
        finish = _INCOMPLETE.get(reason, Finish.OTHER) if status == "incomplete" else Finish.ERROR
    usage = usage_of(document.fields("usage").raw)
    return Answer(tuple(pieces), usage, document.text("model"), finish, document.text("id"))


_AWAITED: Final = frozenset(("queued", "in_progress"))
_INCOMPLETE: Final = {"max_output_tokens": Finish.LENGTH, "content_filter": Finish.REFUSAL}
_ENDS: Final = frozenset(("response.completed", "response.incomplete", "response.failed"))


def _response_streamed(events: Sequence[Document]) -> tuple[Document, bool]:
    """The response that the last event holds; of one that was cut its whole items, and the text of the open one."""
    response: Document = {}
    items: dict[int, Document] = {}
    texts: dict[int, str] = {}
    for event in map(Fields, events):
        kind, index = event.text("type"), event.count("output_index")
        response = dict(event.fields("response").raw) or response
        if kind in _ENDS:
            return response, True
        if kind == "response.output_item.done":
            items[index] = dict(event.fields("item").raw)
            texts.pop(index, None)
        elif kind == "response.output_text.delta":
            texts[index] = texts.get(index, "") + event.text("delta")
    for index, text in texts.items():
        items[index] = {"type": "message", "role": "assistant", "content": text}
    return {**response, "output": [items[index] for index in sorted(items)]}, False


RESPONSES: Final = Shape(
    "OpenAI Responses",
    "openai",
    _UPSTREAM,
    "input",
    _instructions,
    _item_read,
    _item_replace,
    _response,
    _response_streamed,
    joins=True,
)
