"""The entry of our MCP server in a harness's settings: JSON for Claude Code, a marked part of a TOML file for Codex.

These files are the harness's own and change all the time: only our entry goes in, and only it comes out.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Final

from clawvm_es.errors import UnreadableInput
from clawvm_es.files import PRIVATE, write_whole
from clawvm_es.integrations import settings
from clawvm_es.integrations.harnesses import CODEX, Harness

NAME: Final = "clawvm"
_BEGIN: Final = "# clawvm: begin (clawvm uninstall codex takes this out)\n"
_END: Final = "# clawvm: end\n"


def place(harness: Harness) -> Path:
    """The file that names the harness's MCP servers."""
    if harness is CODEX:
        return harness.home() / "config.toml"
    own = os.environ.get(harness.variable)
    return Path(own or os.path.expanduser("~")) / ".claude.json"


def check(harness: Harness) -> None:
    """Raise `UnreadableInput` where the file cannot be understood."""
    _without(harness, settings.real(place(harness)))


def register(harness: Harness, command: list[str]) -> str:
    """Add our server; returns a line for people."""
    path = settings.real(place(harness))
    before, rest = _without(harness, path)
    data = _with(harness, before, rest, command)
    if data == before:
        return f"{harness.title}: MCP server {NAME} in {path} is as it should be"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [data], PRIVATE)
    return f"{harness.title}: MCP server {NAME} in {path}"


def unregister(harness: Harness) -> str | None:
    """Take our server out; returns a line for people, None where it was not in."""
    path = settings.real(place(harness))
    before, rest = _without(harness, path)
    if before is None or rest == before:
        return None
    if rest.strip() in (b"", b"{}"):
        path.unlink()
        return f"{harness.title}: {path}, which held our MCP server alone, is gone"
    write_whole(path, [rest], PRIVATE)
    return f"{harness.title}: MCP server {NAME} is out of {path}"


def _with(harness: Harness, before: bytes | None, rest: bytes, command: list[str]) -> bytes:
    if harness is CODEX:
        words = f"command = {json.dumps(command[0])}\nargs = {json.dumps(command[1:])}\n"
        gap = b"" if not rest or rest.endswith(b"\n") else b"\n"
        return rest + gap + f"{_BEGIN}[mcp_servers.{NAME}]\n{words}{_END}".encode()
    document = json.loads(rest) if rest.strip() else {}
    servers = {**document.get("mcpServers", {}), NAME: {"type": "stdio", "command": command[0], "args": command[1:]}}
    return settings.written(before, {**document, "mcpServers": servers})


def _without(harness: Harness, path: Path) -> tuple[bytes | None, bytes]:
    """The bytes of a file, and what they are without our server; None where there is no file."""
    if harness is not CODEX:
        before, document = settings.read(path)
        servers = document.get("mcpServers", {})
        if not isinstance(servers, dict):
            raise UnreadableInput(
                f"{path}: not the shape of settings; nothing was changed", hint="look at mcpServers"
            )
        if before is None or NAME not in servers:
            return before, before or b""
        left = {name: each for name, each in servers.items() if name != NAME}
        rest = {name: value for name, value in document.items() if name != "mcpServers"}
        return before, settings.written(before, {**document, "mcpServers": left} if left else rest)
    try:
        before = path.read_bytes()
        tomllib.loads(before.decode())
    except FileNotFoundError:
        return None, b""
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"{path}: no TOML: {error}; nothing was changed", hint="mend it first") from None
    head, begin, tail = before.partition(_BEGIN.encode())
    return before, head + tail.partition(_END.encode())[2] if begin else before
