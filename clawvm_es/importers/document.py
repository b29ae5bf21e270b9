"""Files that are one JSON text."""

from __future__ import annotations

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.records import BOM
from clawvm_es.observe.fields import TooDeep, parse_json


def read_document(data: bytes, name: str) -> object:
    """The value of a file that is one JSON text. Raises `UnreadableInput` where it is damaged."""
    try:
        return parse_json(data.removeprefix(BOM).decode("utf-8", "surrogatepass").strip())
    except TooDeep:
        raise UnreadableInput(f"{name}: is nested too deep", hint="flatten it") from None
    except ValueError as error:
        raise UnreadableInput(f"{name}: is not JSON: {error}", hint="is it cut off?") from None
