"""The entry of our MCP server in a harness's settings: JSON for Claude Code, a marked part of a TOML file for Codex.

These files belong to the harness and change often: only our entry is added and removed, and no other byte changes
(LAW-SPLICE-1). If somebody else's server has our name, it stays, and ours is not installed.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any, Final

from clawvm_es.errors import UnreadableInput
from clawvm_es.files import PRIVATE, read_regular, write_whole
from clawvm_es.integrations import json_text, settings
from clawvm_es.integrations.harnesses import CODEX, Harness

NAME: Final = "clawvm"
TABLE: Final = "mcpServers"
_OURS: Final = "clawvm_es.cli.main"
"""Part of the arguments of our server, whichever interpreter runs it."""
_BEGIN: Final = b"# clawvm: begin (clawvm uninstall codex takes this out)\n"
_AFTER_LINE: Final = b"\n# clawvm: begin (clawvm uninstall codex takes this out, and the end of the line before)\n"
"""The beginning where the file's last line had no end."""
_END: Final = b"# clawvm: end\n"


def place(harness: Harness) -> Path:
    """The file that names the harness's MCP servers."""
    if harness is CODEX:
        return harness.home() / "config.toml"
    own = os.environ.get(harness.variable)
    return Path(own or os.path.expanduser("~")) / ".claude.json"


def check(harness: Harness) -> None:
    """Raise `UnreadableInput` if the file cannot be parsed, or cannot take our server."""
    path = settings.real(place(harness))
    _with(harness, path, _without(harness, path)[1], ["command"])


def register(harness: Harness, command: list[str]) -> str:
    """Add our server; returns a line for people."""
    path = settings.real(place(harness))
    before, rest = _without(harness, path)
    data = _with(harness, path, rest, command)
    if data == before:
        return f"{harness.title}: MCP server {NAME} in {path} is as it should be"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [data], PRIVATE)
    return f"{harness.title}: MCP server {NAME} in {path}"


def unregister(harness: Harness) -> str | None:
    """Remove our server; returns a line for people, None if it was not there."""
    path = settings.real(place(harness))
    before, rest = _without(harness, path)
    if before is None or rest == before:
        return None
    if rest is None:
        path.unlink()
        return f"{harness.title}: {path}, which held our MCP server alone, is gone"
    write_whole(path, [rest], PRIVATE)
    return f"{harness.title}: MCP server {NAME} is out of {path}"


def _with(harness: Harness, path: Path, rest: bytes | None, command: list[str]) -> bytes:
    """A file with our server; `rest` is the file without it, None where there was none."""
    return _toml_with(path, rest, command) if harness is CODEX else _json_with(path, rest, command)


def _without(harness: Harness, path: Path) -> tuple[bytes | None, bytes | None]:
    """The bytes of a file, and those without our server; None where there is, or was, no file."""
    return _toml_without(path) if harness is CODEX else _json_without(path)


# ------------------------------------------------------------------------------------------------ JSON


def _json_with(path: Path, rest: bytes | None, command: list[str]) -> bytes:
    server = {"type": "stdio", "command": command[0], "args": command[1:]}
    if rest is None:
        return _alone(server)
    encoding = json.detect_encoding(rest)
    text = rest.decode(encoding, "surrogatepass")
    if NAME in _servers(path, rest):
        raise UnreadableInput(
            f"{path}: an MCP server {NAME} of your own; nothing was changed", hint="give it another name"
        )
    return json_text.put(text, TABLE, NAME, server).encode(encoding, "surrogatepass")


def _json_without(path: Path) -> tuple[bytes | None, bytes | None]:
    before = settings.read(path)[0]
    if before is None:
        return None, None
    server = _servers(path, before).get(NAME)
    if not _is_ours(server):
        return before, before
    if before == _alone(server):
        return before, None
    encoding = json.detect_encoding(before)
    rest = json_text.take(before.decode(encoding, "surrogatepass"), TABLE, NAME)
    return before, rest.encode(encoding, "surrogatepass")


def _alone(server: object) -> bytes:
    """A file that we made."""
    return settings.written(None, {TABLE: {NAME: server}})


def _servers(path: Path, data: bytes) -> dict[str, Any]:
    found = json.loads(data).get(TABLE, {}) if data.strip() else {}
    if not isinstance(found, dict):
        raise UnreadableInput(f"{path}: not the shape of settings; nothing was changed", hint=f"look at {TABLE}")
    return found


def _is_ours(server: object) -> bool:
    words = server.get("args") if isinstance(server, dict) else None
    return isinstance(words, list) and any(_OURS in word for word in words if isinstance(word, str))


# ------------------------------------------------------------------------------------------------ TOML


def _toml_with(path: Path, rest: bytes | None, command: list[str]) -> bytes:
    words = f"command = {json.dumps(command[0])}\nargs = {json.dumps(command[1:])}\n"
    begin = _BEGIN if rest is None or rest.endswith(b"\n") else _AFTER_LINE
    found = (rest or b"") + begin + f"[mcp_servers.{NAME}]\n{words}".encode() + _END
    try:
        tomllib.loads(found.decode())
    except ValueError:
        raise UnreadableInput(
            f"{path}: its mcp_servers cannot take {NAME} as well; nothing was changed",
            hint=f"write them as tables [mcp_servers.NAME], none of them named {NAME}",
        ) from None
    return found


def _toml_without(path: Path) -> tuple[bytes | None, bytes | None]:
    try:
        before = read_regular(path)
        tomllib.loads(before.decode())
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableInput(f"{path}: no TOML: {error}; nothing was changed", hint="mend it first") from None
    head, begin, tail = before.partition(_AFTER_LINE)
    if begin:
        rest = tail.partition(_END)[2]
        return before, head + (b"\n" + rest if rest else b"")
    head, begin, tail = before.partition(_BEGIN)
    if not begin:
        return before, before
    rest = head + tail.partition(_END)[2]
    return before, rest or None
