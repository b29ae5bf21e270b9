"""JSON bytes of documents: enums by value, attrs classes by field, lone surrogates as escapes."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import attrs
import msgspec


def _other(value: Any) -> Any:
    if attrs.has(type(value)):
        return attrs.asdict(value, recurse=False)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"no JSON for a {type(value).__name__}")


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ENCODER: Final = msgspec.json.Encoder(enc_hook=_other)


def encode(document: Any) -> bytes:
    """A document as JSON, in UTF-8."""
    try:
        return _ENCODER.encode(document)
    except UnicodeEncodeError:  # what JSON can say, and UTF-8 cannot
        plain = msgspec.to_builtins(document, enc_hook=_other)
        text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
