"""Files of a live harness that `doctor` reads: settings, the spool's engine, the problems that were kept, an event.

Each stands in one place of a home in which the hooks of both harnesses record into a journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from clawvm_es.integrations import settings
from clawvm_es.integrations.harnesses import HARNESSES
from clawvm_es.integrations.ingest import PROBLEMS, spool_of
from clawvm_es.integrations.install import ENGINE
from hostile.specimens import Specimens, Write

ENVIRONMENT = {harness.variable: name for name, harness in HARNESSES.items()}
"""The environment's name of a harness's folder → the folder's name in a home."""


def furnished(home: Path, journal: Path, found: Path) -> dict[str, str]:
    """Set up all harnesses for a journal, with a hostile file in its place; return the environment for it."""
    spool = spool_of(journal)
    for name, harness in HARNESSES.items():
        (home / name).mkdir(parents=True)
        ours = settings.with_ours({}, harness.events, settings.command_of(spool, name))
        (home / name / harness.settings).write_text(json.dumps(ours))
    target = _places(home, spool).get(found.suffix)
    if target is not None and os.path.lexists(found):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.rename(found, target)
    return {variable: str(home / name) for variable, name in ENVIRONMENT.items()}


def _places(home: Path, spool: Path) -> Mapping[str, Path]:
    """Ending of a case's name → the place of its file."""
    return {
        ".claude": home / "claude-code" / "settings.json",
        ".trust": home / "codex" / "config.toml",
        ".engine": spool / ENGINE,
        ".problems": spool / PROBLEMS,
        ".event": spool / f"{1:020}-1.json",
    }


def _holds(text: str | bytes) -> Write:
    def write(good: Specimens, place: Path, random: Random) -> None:
        place.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))

    return write


def _pipe(good: Specimens, place: Path, random: Random) -> None:
    os.mkfifo(place)


def _folder(good: Specimens, place: Path, random: Random) -> None:
    place.mkdir()


def _loop(good: Specimens, place: Path, random: Random) -> None:
    place.symlink_to(place.name)


_TEXTS: Mapping[str, Mapping[str, str | bytes]] = {
    ".claude": {
        "number": "3", "deep": '{"hooks": ' * 5_000, "not utf8": b'{"hooks": {"Stop": "\xff"}}',
        "zeros": bytes(4_096), "hooks a list": '{"hooks": []}', "group a text": '{"hooks": {"Stop": ["x"]}}',
        "hook a number": '{"hooks": {"Stop": [{"hooks": [3, null, {"command": 4}]}]}}',
        "surrogate": '{"hooks": {"Stop": [{"hooks": [{"command": "\\ud800 spool.py"}]}]}}',
        "quote open": '{"hooks": {"Stop": [{"hooks": [{"command": "sh -c \'spool.py"}]}]}}',
        "escapes": '{"hooks": {"\\u001b[2J\\nStop": [{"hooks": [{"command": "/x\\u001b[2Jj.db.spool/spool.py"}]}]}}',
    },
    ".trust": {
        "number": "hooks = 3", "state a list": "[hooks]\nstate = []", "state of numbers": "[hooks.state]\nx = 1",
        "hash a list": '[hooks.state."{home}"]\ntrusted_hash = []', "no toml": "[[[", "not utf8": b"x = '\xff'",
        "deep": "x = " + "[" * 5_000,
    },
    ".engine": {
        "number": "3", "list": "[]", "no command": "{}", "command a text": '{"command": "ls"}',
        "command of numbers": '{"command": [1, 2, 3]}', "command of zeros": '{"command": ["a\\u0000b"]}',
        "command a table": '{"command": {"a": 1}}', "command of a surrogate": '{"command": ["\\ud800"]}',
        "says noise": '{"command": ["/bin/sh", "-c", "printf \\"\\\\377\\\\033[2J\\\\n\\\\n\\"; exit 3"]}',
        "deep": "[" * 100_000,
    },
    ".problems": {
        "escapes": "\x1b[2J\x1b]0;owned\x07 and \r over\n" * 9, "not utf8": b"\xff\xfe\n" * 9, "zeros": bytes(9_000),
        "one long line": "x" * 3_000_000, "separators": "a\u2028b\x85c\n",
    },
    ".event": {"number": "3", "deep": "[" * 100_000, "zeros": bytes(4_096)},
}  # fmt: skip


def _cases() -> Iterator[tuple[str, str, str, Write]]:
    for ending, texts in _TEXTS.items():
        for name, text in texts.items():
            yield f"home {ending[1:]} {name}", "home", ending, _holds(text)
        for name, write in (("pipe", _pipe), ("folder", _folder), ("loop", _loop)):
            yield f"home {ending[1:]} {name}", "home", ending, write


CASES = tuple(_cases())
