"""Which format a file of recorded sessions has, by its content; never by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.records import BOM, read_lines
from clawvm_es.observe.fields import Fields, TooDeep, parse_json
from clawvm_es.storage.sqlite import raw

CLAUDE_CODE: Final = "claude_code"
PI: Final = "pi"
OPENAI_CHAT: Final = "openai_chat"
CLAWVM_TRACE: Final = "clawvm_trace"
FORMATS: Final = (CLAUDE_CODE, PI, OPENAI_CHAT, CLAWVM_TRACE)
"""Names of the formats that can be read."""

LOOKED_AT: Final = 64
"""Records at the start of a file that are looked at to tell its format."""

_CLAUDE_TYPES: Final = frozenset(
    ("user", "assistant", "system", "progress", "summary", "file-history-snapshot", "queue-operation", "attachment")
)
_ROLES: Final = frozenset(("system", "developer", "user", "assistant", "tool", "function"))


def load(path: Path) -> bytes:
    """The bytes of a file. Raises `UnreadableInput` if it is missing, a directory, not readable, or empty."""
    try:
        data = raw.read_bytes(str(path))
    except FileNotFoundError:
        raise UnreadableInput(f"{path}: no such file", hint="check the path") from None
    except IsADirectoryError:
        raise UnreadableInput(f"{path}: is a directory", hint="name the files in it") from None
    except OSError as error:
        raise UnreadableInput(
            f"{path}: {error.strerror or 'cannot be read'}", hint="check its permissions"
        ) from error
    if not data.removeprefix(BOM).strip():
        raise UnreadableInput(f"{path}: is empty", hint="give a recorded session")
    return data


def detect(path: Path) -> str:
    """The format of the file at `path`. Raises `UnreadableInput`."""
    return detect_bytes(load(path), str(path))


def detect_bytes(data: bytes, name: str) -> str:
    """The format of a file with these bytes; `name` stands in errors. Raises `UnreadableInput`."""
    head = _head(data)
    for format_, matches in _BY_RECORD.items():
        if any(matches(record) for record in head):
            return format_
    if not head and (_is_chat(data) or any(map(is_conversation, _objects(data)))):
        return OPENAI_CHAT
    known = f"one of {', '.join(FORMATS)}"
    if _is_binary(data):
        raise UnreadableInput(f"{name}: is a binary file", hint=f"give a recorded session, {known}")
    what = "is a session of no known format" if head else _what(data)
    raise UnreadableInput(f"{name}: {what}", hint=f"name its format with --format, {known}")


def is_conversation(value: object) -> bool:
    """Whether a JSON value holds OpenAI messages: an object with `traj` or `messages` whose items have a role."""
    session = Fields.of(value)
    return is_messages(session.raw.get("traj", session.raw.get("messages")))


def is_messages(value: object) -> bool:
    """Whether a JSON value is a list of OpenAI messages."""
    return isinstance(value, list) and bool(value) and Fields.of(value[0]).text("role") in _ROLES


def _head(data: bytes) -> list[Fields]:
    """The first records that no chat file has."""
    cut = -1
    for _ in range(LOOKED_AT):
        cut = data.find(b"\n", cut + 1)
        if cut < 0:
            break
    records, _skipped = read_lines(data if cut < 0 else data[: cut + 1])
    return [record.data for record in records if not is_conversation(record.data.raw)]


def _objects(data: bytes) -> list[object]:
    return [record.data.raw for record in read_lines(data)[0]]


def _is_chat(data: bytes) -> bool:
    try:
        value = parse_json(data.removeprefix(BOM).decode("utf-8", "surrogatepass").strip())
    except ValueError:
        return False
    return (
        is_messages(value) or is_conversation(value) or (isinstance(value, list) and any(map(is_conversation, value)))
    )


def _what(data: bytes) -> str:
    """What is wrong with a file without one record, for people."""
    text = data.removeprefix(BOM).decode("utf-8", "replace").strip()
    if text.startswith(("[", "{")):
        try:
            parse_json(text)
        except TooDeep:
            return "is nested too deep"
        except ValueError:
            return "is JSON that ends early or is damaged"
    return "is a session of no known format"


def _is_binary(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return True
    return b"\0" in data


def _is_claude_code(record: Fields) -> bool:
    if record.text("type") not in _CLAUDE_TYPES:
        return False
    return any(key in record for key in ("sessionId", "leafUuid", "snapshot")) or (
        "uuid" in record and "message" in record
    )


def _is_pi(record: Fields) -> bool:
    if record.text("type") == "session":
        return "id" in record and "cwd" in record
    return record.text("type") == "message" and "role" in record.fields("message")


def _is_trace(record: Fields) -> bool:
    return record.text("format") == "clawvm-trace"


_BY_RECORD: Final[Mapping[str, Callable[[Fields], bool]]] = MappingProxyType(
    {CLAWVM_TRACE: _is_trace, PI: _is_pi, CLAUDE_CODE: _is_claude_code}
)
