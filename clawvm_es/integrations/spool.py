"""Keep one event of a harness's hooks, for clawvm to record in its journal later.

This file is copied beside the journal and run by `python3 -I -S` with the harness's name. It needs only the standard
library of Python 3.8, prints only JSON, and always ends with code 0, since a failing hook could stop the harness. At
the harness's boundaries it starts the engine. The files that it writes hold no text of the session.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time

ROOM = "failure"
"""File with room for one line, made by the installation: on a full disk no file grows, and this one need not."""
ROOM_BYTES = 256
BYTES_MAX = 1 << 24
CHARS_MAX = 4096
WAITED_FOR = ("SessionStart", "PreCompact")
"""Events at which the harness waits for the engine; at the others it runs beside it."""
BOUNDARIES = (*WAITED_FOR, "Stop", "SessionEnd")
SHOWN = ("PreCompact", "PostCompact")
"""Events at which the harness shows people whatever its hook prints."""
KEPT = (
    *("transcript_path", "cwd", "source", "trigger", "reason", "model", "agent_id", "agent_transcript_path"),
    *("file_path", "memory_type", "load_reason", "tool_name", "tool_use_id"),
)
"""Fields of an event that are kept."""


def keep(folder: str, harness: str, payload: dict[str, object]) -> str:
    """Write one file for an event, which nobody but its owner can read; returns its path."""
    now = time.time_ns() // 1000
    path = payload.get("transcript_path")
    try:
        size = os.stat(path).st_size if isinstance(path, str) and path else -1
    except (OSError, ValueError):  # not there, or the name of no file
        size = -1
    told = {name: payload.get(name) for name in KEPT}
    record = {
        "at_us": now,
        "harness": harness,
        "event": text_of(payload, "hook_event_name"),
        "session": text_of(payload, "session_id"),
        "size": size,
        "payload": {name: text for name, text in told.items() if isinstance(text, str) and len(text) <= CHARS_MAX},
    }
    file = os.path.join(folder, f"{now:020d}-{os.getpid()}.json")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    data = json.dumps(record).encode() + b"\n"
    fd = os.open(file, flags, 0o600)
    try:
        whole = os.write(fd, data) == len(data)
    finally:
        os.close(fd)
    if not whole:
        os.unlink(file)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return file


def text_of(payload: dict[str, object], name: str) -> str:
    """A text that each event has. Raises `ValueError` if it is none."""
    found = payload.get(name)
    if not isinstance(found, str) or not found:
        raise ValueError(f"{name} is no text")
    return found[:CHARS_MAX]


def tell(folder: str, line: str) -> bool:
    """Overwrite the one line of the file `ROOM`; returns False where there is none, or it cannot be written."""
    try:
        fd = os.open(os.path.join(folder, ROOM), os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
        try:
            data = line.replace("\n", " ").encode("utf-8", "replace")[: ROOM_BYTES - 1]
            return os.write(fd, data.ljust(ROOM_BYTES - 1) + b"\n") == ROOM_BYTES
        finally:
            os.close(fd)
    except OSError:
        return False


def failed(folder: str, event: str, why: str) -> None:
    """Tell why an event was not kept, or its engine not started."""
    tell(folder, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {event}: {why}")


def run(folder: str, file: str, waited_for: bool) -> None:
    """Start the engine: in our place where the harness waits for its answer, else on its own."""
    with open(os.path.join(folder, "engine.json"), "rb") as config:
        command = [*json.loads(config.read())["command"], "--answer", file]
    if waited_for:
        os.execv(command[0], command)
    if os.fork() == 0:
        try:
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(nothing, fd)
            os.execv(command[0], command)
        finally:
            os._exit(0)


def main() -> None:
    """Keep the event on stdin, and run the engine where it is a boundary."""
    event = ""
    folder = os.path.dirname(os.path.abspath(__file__))
    try:
        data = sys.stdin.buffer.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise ValueError(f"longer than {BYTES_MAX} bytes")
        payload = json.loads(data)
        event = text_of(payload, "hook_event_name")
        file = keep(folder, sys.argv[1], payload)
        if event in BOUNDARIES:
            run(folder, file, event in WAITED_FOR)
    except OSError as error:
        failed(folder, event, error.strerror or "failed")
    except Exception as error:  # whatever it is, the harness goes on, and `clawvm doctor` tells it
        failed(folder, event or "an event of a hook was not kept", f"{type(error).__name__}: {error}")
    if event not in SHOWN:
        os.write(1, b"{}\n")


if __name__ == "__main__":
    main()
