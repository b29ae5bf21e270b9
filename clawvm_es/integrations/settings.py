"""A harness's settings file: our hooks are added beside those of others, and removed without a trace.

LAW-SETTINGS-1: removing our hooks restores the file to the byte, if nobody changed it meanwhile; otherwise only our
entries (and containers that held nothing else) are removed. A file that cannot be parsed is not changed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from clawvm_es.errors import UnreadableInput
from clawvm_es.files import SPOOL, read_regular

TIMEOUT_S: Final = 30
SCRIPT: Final = "spool.py"
_OURS = re.compile(rf"(/[^\n]*{re.escape(SPOOL)})/{re.escape(SCRIPT)}")


def command_of(folder: Path, harness: str) -> str:
    """The shell command of our hooks; it always ends with code 0, and prints nothing on stderr."""
    inner = f"python3 -I -S {shlex.quote(str(folder / SCRIPT))} {harness} 2>/dev/null || true"
    return f"sh -c {shlex.quote(inner)}"


def read(path: Path) -> tuple[bytes | None, dict[str, Any]]:
    """The bytes of a settings file and their parsed value; None and an empty value if there is no file.

    Raises `UnreadableInput` if it is not a JSON object.
    """
    try:
        data = read_regular(path)
    except FileNotFoundError:
        return None, {}
    except OSError as error:
        raise UnreadableInput(
            f"{path}: {error.strerror or 'cannot be read'}", hint="check its permissions"
        ) from error
    try:
        found = json.loads(data) if data.strip() else {}
    except (ValueError, RecursionError) as error:
        hint = "mend it, then run this again"
        raise UnreadableInput(f"{path}: no JSON: {error}; nothing was changed", hint=hint) from None
    if not isinstance(found, dict) or not _is_shaped(found.get("hooks", {})):
        raise UnreadableInput(f"{path}: not the shape of settings; nothing was changed", hint="look at its hooks")
    return data, found


def _is_shaped(hooks: object) -> bool:
    if not isinstance(hooks, dict):
        return False
    groups = [group for value in hooks.values() for group in (value if isinstance(value, list) else [None])]
    return all(isinstance(group, dict) and isinstance(group.get("hooks", []), list) for group in groups)


def written(data: bytes | None, document: dict[str, Any]) -> bytes:
    """The bytes of a settings file, with its earlier indent."""
    found = re.search(rb"\n([ \t]+)\"", data or b"")
    indent = found[1].decode() if found else "  "
    end = "\n" if data is None or data.endswith(b"\n") else ""
    return (json.dumps(document, ensure_ascii=False, indent=indent) + end).encode("utf-8", "surrogatepass")


def with_ours(document: dict[str, Any], events: Sequence[str], command: str) -> dict[str, Any]:
    """The settings with our hook at each of the events, in place of an older one of ours."""
    hooks = {name: [*groups] for name, groups in without_ours(document).get("hooks", {}).items()}
    ours = {"hooks": [{"type": "command", "command": command, "timeout": TIMEOUT_S}]}
    for event in events:
        hooks[event] = [*hooks.get(event, []), ours]
    return {**document, "hooks": hooks}


def without_ours(document: dict[str, Any]) -> dict[str, Any]:
    """The settings without our hooks; groups, events and the table that only held those go with them."""
    if "hooks" not in document:
        return document
    hooks: dict[str, Any] = {}
    for event, groups in document["hooks"].items():
        kept = [left for group in groups if (left := _without(group)) is not None]
        if kept or not groups:
            hooks[event] = kept
    if hooks or not document["hooks"]:
        return {**document, "hooks": hooks}
    return {name: value for name, value in document.items() if name != "hooks"}


def _without(group: dict[str, Any]) -> dict[str, Any] | None:
    kept = [hook for hook in group.get("hooks", []) if _folder(hook) is None]
    if len(kept) == len(group.get("hooks", [])):
        return group
    return {**group, "hooks": kept} if kept else None


def ours(document: dict[str, Any]) -> Iterator[tuple[str, Path, str]]:
    """Our hooks in the settings: the event, the spool's folder, the command."""
    for event, groups in document.get("hooks", {}).items():
        for group in groups:
            for hook in group.get("hooks", []):
                if (folder := _folder(hook)) is not None:
                    yield event, folder, hook["command"]


def _folder(hook: object) -> Path | None:
    """The spool's folder that a hook runs in; None where the hook is of someone else."""
    command = hook.get("command") if isinstance(hook, dict) else None
    if not isinstance(command, str) or SCRIPT not in command:
        return None
    try:
        words = [word for outer in shlex.split(command) for word in shlex.split(outer)]
    except ValueError:
        return None
    found = next((match for word in words if (match := _OURS.fullmatch(word))), None)
    return Path(found[1]) if found else None


def real(path: Path) -> Path:
    """The target, if the settings file is a link."""
    return Path(os.path.realpath(path))
