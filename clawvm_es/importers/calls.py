"""Arguments of recorded calls, which harnesses write as objects or as JSON text of one."""

from __future__ import annotations

from collections.abc import Mapping

from clawvm_es.observe.fields import Fields, is_text, parse_json


def arguments_of(value: object) -> Mapping[str, object]:
    """The arguments of a call: an object, or JSON text of one; anything else is the argument `input`."""
    given = value
    if isinstance(value, str) and is_text(value):
        if not value.strip():
            return {}
        try:
            given = parse_json(value)
        except ValueError:
            given = value
        if not isinstance(given, dict):
            given = value
    return {} if given is None else Fields({"given": given}).arguments("given")
