"""Messages in the forms of instrumentations: parts of the GenAI conventions, OpenInference, OpenAI, Anthropic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers import images
from clawvm_es.importers.merging import Use
from clawvm_es.importers.otlp import decoded, nested
from clawvm_es.importers.prompts import Message
from clawvm_es.importers.recording import Skip
from clawvm_es.observe.fields import Fields, arguments_of, is_text, text_of
from clawvm_es.observe.signatures import canonical
from clawvm_es.observe.steps import Image

_ROLES: Final[Mapping[str, str]] = MappingProxyType(
    {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool", "developer": "system"}
)
_TEXTS: Final = frozenset(("text", "input_text", "output_text", ""))
_THINKING: Final = frozenset(("reasoning", "thinking"))
_CALLS: Final = frozenset(("tool_call", "tool_use", "function_call", "tool-call"))
_RESULTS: Final = frozenset(("tool_call_response", "tool_result", "function_call_output", "tool-result"))
_BEDROCK: Final[Mapping[str, str]] = MappingProxyType(
    {"toolUse": "tool_use", "toolResult": "tool_result", "reasoningContent": "reasoning", "image": "image"}
)
_IMAGES: Final = frozenset(("image", "image_url", "input_image", "uri", "blob", "file", "media"))


@attrs.define
class _Parts:
    """Contents of the parts of one message."""

    texts: list[str] = attrs.field(factory=list)
    thinking: list[str] = attrs.field(factory=list)
    uses: list[Use] = attrs.field(factory=list)
    results: list[tuple[str, str, str]] = attrs.field(factory=list)  # call id, name, text
    shown: list[Image] = attrs.field(factory=list)
    skipped: list[Skip] = attrs.field(factory=list)


def messages_of(values: Iterable[object], role: str = "") -> list[Message]:
    """The messages in some values; a result inside a message becomes one of its own. `role` is the default role."""
    return [message for value in values for message in _messages(value, role)]


def system_of(value: object) -> list[Message]:
    """System instructions: a text, or a list of parts."""
    found = decoded(value)
    parts = _Parts()
    for part in found if isinstance(found, list) else [found]:
        _part(parts, part)
    text = "\n".join(parts.texts)
    return [Message("system", text, skipped=tuple(parts.skipped))] if text.strip() else []


def _messages(value: object, role: str) -> list[Message]:
    given = Fields.of(value)
    given = given.fields("message") or given
    parts = _Parts()
    _content(parts, decoded(given.raw.get("parts") if "parts" in given else given.raw.get("content")))
    for block in given.objects("contents"):
        _part(parts, (block.fields("message_content") or block).raw)
    for call in _listed(decoded(given.raw.get("tool_calls"))):
        _call(parts, Fields.of(call))
    if given.fields("function_call"):
        _call(parts, given.fields("function_call"))
    if given.is_text("reasoning_content"):
        parts.thinking.append(given.text("reasoning_content"))
    name = given.text("role") or role
    return _made(parts, _ROLES.get(name, name), given)


def _made(parts: _Parts, role: str, given: Fields) -> list[Message]:
    skipped, text = tuple(parts.skipped), "\n".join(parts.texts)
    found = [Message("tool", each, call_id=call_id, tool=name) for call_id, name, each in parts.results]
    call_id = given.ident("tool_call_id") or given.ident("id")
    if role == "tool" and not found:
        return [
            Message(
                "tool", text, call_id=call_id, images=tuple(parts.shown), skipped=skipped, tool=given.text("name")
            )
        ]
    if found and not (text.strip() or parts.uses or parts.shown):
        return [attrs.evolve(found[0], skipped=skipped), *found[1:]]
    thinking = tuple(each for each in parts.thinking if each.strip())
    uses, shown = tuple(_once(parts.uses)), tuple(parts.shown)
    return [*found, Message(role, text, uses, images=shown, thinking=thinking, skipped=skipped)]


def _once(uses: Iterable[Use]) -> Iterable[Use]:
    """The calls, each once: a message may list them and hold them as parts, too."""
    return {use.call_id or number: use for number, use in enumerate(uses)}.values()


def _content(parts: _Parts, value: object) -> None:
    if isinstance(value, dict) and not _is_part(value):
        parts.texts.append(canonical(value))
    else:
        for part in value if isinstance(value, list) else [value]:
            _part(parts, part)


def _is_part(value: Mapping[str, object]) -> bool:
    return any(name in value for name in ("type", "text", "content"))


def _part(parts: _Parts, value: object) -> None:
    """Add a part: a text, thinking, a call, a result or an image; any other part is noted."""
    if value is None:
        return
    if is_text(value):
        parts.texts.append(text_of(value))
        return
    part = _typed(Fields.of(nested(value) if isinstance(value, dict) else value))
    kind = part.text("type") or part.text("kind")
    text = part.text("text") or part.text("content")
    if kind in _TEXTS and text:
        parts.texts.append(text)
    elif kind in _THINKING:
        inner = part.fields("reasoningText").text("text")
        parts.thinking.append(text or inner or part.text("thinking") or part.text("reasoning"))
    elif kind in _CALLS:
        _call(parts, part)
    elif kind in _RESULTS:
        parts.results.append(_result(part))
    elif kind in _IMAGES:
        parts.shown.append(_image(part))
    elif kind not in _TEXTS or not ("text" in part or "content" in part):
        parts.skipped.append(Skip.UNKNOWN_BLOCK)


def _typed(part: Fields) -> Fields:
    """A part with its type; one of Bedrock's has a field of that name in place of it."""
    for name, kind in _BEDROCK.items():
        if "type" not in part and part.fields(name):
            return Fields({"type": kind, **part.fields(name).raw})
    if "type" not in part and "json" in part:
        return Fields({"text": canonical(part.raw["json"])})
    return part


def _call(parts: _Parts, call: Fields) -> None:
    call = call.fields("tool_call") or call
    function = call.fields("function") or call
    name = function.text("name") or function.text("tool_name") or function.text("toolName")
    given = next((function.raw[each] for each in ("arguments", "input", "args") if each in function), None)
    call_id = call.ident("id") or call.ident("tool_call_id") or call.ident("call_id")
    call_id = call_id or call.ident("toolCallId") or call.ident("toolUseId")
    parts.uses.append(Use(call_id, name, arguments_of(given)))


def _result(part: Fields) -> tuple[str, str, str]:
    ids = ("id", "tool_call_id", "tool_use_id", "call_id", "toolCallId", "toolUseId")
    given = next((part.raw[each] for each in ("response", "result", "content", "output") if each in part), None)
    if isinstance(given, dict) and given.keys() == {"type", "value"}:  # as Vercel's AI SDK writes it
        given = given["value"]
    if isinstance(given, list):
        inner = _Parts()
        _content(inner, given)
        given = "\n".join(inner.texts) or given
    text = text_of(given) if is_text(given) else "" if given is None else canonical(given)
    return next((part.ident(each) for each in ids if part.ident(each)), ""), part.text("name"), text


def _image(part: Fields) -> Image:
    source = part.fields("source") or part.fields("image") or part.fields("image_url") or part
    source = source.fields("image") or source
    data = source.text("data") or source.text("content") or source.text("blob")
    kind = source.text("media_type") or source.text("mime_type")
    if data:
        return images.encoded(kind, data)
    return images.of_url(source.text("url") or source.text("uri") or part.text("image_url") or part.text("image"))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
