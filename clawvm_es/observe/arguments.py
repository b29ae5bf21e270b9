"""Levels of a call's arguments: in full, as the model wrote them, and as a stub without long texts.

LAW-ARGUMENTS-1: the stub of an object is a JSON object with the same keys, at every depth. It holds every value,
except that a text of more than `limits.ARGUMENT_CHARS` characters is replaced by its size and digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from clawvm_es.limits import ARGUMENT_CHARS
from clawvm_es.observe.signatures import Lexeme, canonical

STUB_BUILDER: Final = "arguments/1"
"""Builder recorded for arguments with stubs."""
DIGEST_DIGITS: Final = 16
"""Hex digits of a text's SHA-256 that its stub gives."""


def stub_of(arguments: Mapping[str, object], clean: Callable[[str], str] = str) -> str | None:
    """The arguments as JSON with a stub in place of each long text; None if there is no long text.

    `clean` removes secrets from a text before it is digested, so that a digest reveals nothing about them.
    """
    try:
        found = _stubbed(arguments, clean)
    except RecursionError:
        return None
    return None if found is arguments else canonical(found)


def _stubbed(value: object, clean: Callable[[str], str]) -> object:
    """A value with stubs; the same object if it holds no long text."""
    if isinstance(value, str):
        is_long = len(value) > ARGUMENT_CHARS and not isinstance(value, Lexeme)
        return _stub(clean(value)) if is_long else value
    if isinstance(value, Mapping):
        members = {name: _stubbed(member, clean) for name, member in value.items()}
        return value if all(members[name] is value[name] for name in members) else members
    if isinstance(value, (list, tuple)):
        items = [_stubbed(item, clean) for item in value]
        return value if all(now is was for now, was in zip(items, value, strict=True)) else items
    return value


def _stub(text: str) -> str:
    body = text.encode("utf-8", "surrogatepass")
    return f"[{len(body)} bytes, sha256 {sha256(body).hexdigest()[:DIGEST_DIGITS]}]"
