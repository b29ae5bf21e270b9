"""Texts of Gemini CLI's messages: strings or parts, function responses, images."""

from __future__ import annotations

from clawvm_es.importers import images
from clawvm_es.importers.recording import Skip
from clawvm_es.importers.transcript import Transcript
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.signatures import canonical
from clawvm_es.observe.steps import Image


def content(into: Transcript, message: Fields, name: str = "content") -> tuple[str, tuple[Image, ...]]:
    """The text of a message (a string, or parts), and its images."""
    if message.is_text(name):
        return message.text(name), ()
    value = message.raw.get(name)
    if isinstance(value, dict):
        message = Fields({name: [value]})
    elif message.is_odd(name):
        into.skip(Skip.MALFORMED_RECORD)
    texts: list[str] = []
    shown: list[Image] = []
    for part in _parts(message, name):
        inline, file = part.fields("inlineData"), part.fields("fileData")
        if part.flag("thought"):
            into.skip(Skip.THINKING)
        elif part.is_text("text"):
            texts.append(part.text("text"))
        elif "functionCall" in part or "functionResponse" in part:
            into.skip(Skip.MIRRORED)
        elif inline or file:
            stored = images.encoded(inline.text("mimeType"), inline.text("data"))
            shown.append(stored if inline else Image(file.text("mimeType"), url=file.text("fileUri")))
        else:
            into.skip(Skip.UNKNOWN_BLOCK)
    return "\n".join(texts), tuple(shown)


def _parts(message: Fields, name: str) -> list[Fields]:
    """The parts in a field; a string among them counts as a text part."""
    value = message.raw.get(name)
    items = value if isinstance(value, list) else []
    return [Fields({"text": item}) if isinstance(item, str) else Fields.of(item) for item in items]


def result(into: Transcript, call: Fields) -> tuple[str, tuple[Image, ...]]:
    """The text of a result (what each function response holds, and the texts beside them), and its images."""
    if call.is_text("result"):
        return call.text("result"), ()
    texts: list[str] = []
    shown: list[Image] = []
    for part in _parts(Fields({"result": _listed(call.raw.get("result"))}), "result"):
        answered = part.fields("functionResponse")
        if answered.fields("response"):
            texts.append(_response(answered.fields("response")))
            beside = answered.raw.get("parts")
        else:
            beside = [part.raw]
        text, found = content(into, Fields({"content": beside}))
        texts.append(text)
        shown.extend(found)
    return "\n".join(text for text in texts if text), tuple(shown)


def _listed(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _response(response: Fields) -> str:
    for name in ("output", "error"):
        if response.is_text(name):
            return response.text(name)
    return canonical(response.raw)
