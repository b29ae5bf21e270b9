"""The split of recorded sessions into tuned on and held out: `split.json`, and the rule that made it.

The rule uses the number of needs of a session, never the results of a policy. The *origin* of a session is its
checkout (all worktrees of one checkout count as one), or its task.

LAW-SPLIT-1: sessions of one origin are on one side; a subagent's session is on the side of the session that started
it.
LAW-SPLIT-2: a session that the file does not name is on its checkout's side (checkouts of different people are
compared by the path below the home folder); if the checkout is unknown too, it is held out. So no later recording is
tuned on, and no session of a checkout that was tuned on counts as unseen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from clawvm_es.importers.recording import Recording
from clawvm_es.observe.steps import ModelMessage

TUNE: Final = "tune"
HELD_OUT: Final = "held_out"

_TASK: Final = re.compile(r"-task-(.+)-trial-\d+$")
_WORKTREES: Final = re.compile(r"/\.(?:claude/)?worktrees/.*", re.DOTALL)
_HOME: Final = re.compile(r"^(?:[A-Za-z]:)?/(?:(?:Users|home)/[^/]+|root)/")


def side(workload_name: str, its_origin: str = "") -> str:
    """`tune` or `held_out`, for the name of a workload and its origin.

    The name is a recorded session's id, that of a subagent `id/agent`.
    """
    sessions, checkouts = _sides()
    session = workload_name.partition("/")[0]
    return sessions.get(session) or checkouts.get(below_home(its_origin)) or HELD_OUT


def below_home(path: str) -> str:
    """The part of a checkout's path below the home folder, which is the same for all people; else the whole path."""
    return _HOME.sub("", path.replace("\\", "/"), count=1)


@cache
def _sides() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The sides of sessions, and of checkouts below the home folder."""
    rows = split_file()["origins"].items()
    sessions = {session: row["side"] for _, row in rows for session in row["sessions"]}
    checkouts = {below_home(name): row["side"] for name, row in rows if below_home(name) != name}
    return MappingProxyType(sessions), MappingProxyType(checkouts)


@cache
def split_file() -> Mapping[str, Any]:
    """Content of `split.json`: rule, twins, and per origin its side, needs and sessions."""
    text = files("clawvm_es.evaluation").joinpath("split.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return MappingProxyType(found)


def origin(recording: Recording) -> str:
    """Return a recorded session's origin: its task, else the checkout of its first tool call, else its id."""
    task = _TASK.search(recording.session_id)
    if task is not None:
        return f"{recording.format} task {task[1]}"
    for step in recording.steps:
        if isinstance(step, ModelMessage):
            for call in step.calls:
                if call.cwd:
                    return _WORKTREES.sub("", call.cwd.replace("\\", "/"))
    return recording.session_id


def assign(needs: Mapping[str, int]) -> dict[str, str]:
    """Origin → side: most needs first (ties by name), each to the side that has fewer so far, the first held out."""
    held_out = tune = 0
    sides: dict[str, str] = {}
    for name in sorted(needs, key=lambda name: (-needs[name], name)):
        if held_out <= tune:
            sides[name] = HELD_OUT
            held_out += needs[name]
        else:
            sides[name] = TUNE
            tune += needs[name]
    return sides
