"""The split of recorded sessions into tuned on and held out: `split.json`, and the rule that made it.

The rule knows how many needs a session has, never how a policy fares on it. An *origin* is what sessions share
beside the agent: the checkout they worked on (worktrees of one checkout are one), or the task that they try.

LAW-SPLIT-1: sessions of one origin stand on one side; a subagent's session stands where the session that started
it does.
LAW-SPLIT-2: a session that the file does not name is held out, so that no later recording is ever tuned on.
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
_WORKTREES: Final = "/.worktrees/"


def side(workload_name: str) -> str:
    """`tune` or `held_out`, for the name of a workload: a recorded session's id, subagents as `id/agent`."""
    return _sides().get(workload_name.partition("/")[0], HELD_OUT)


@cache
def _sides() -> Mapping[str, str]:
    rows = split_file()["origins"].values()
    return MappingProxyType({session: row["side"] for row in rows for session in row["sessions"]})


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
                    return call.cwd.partition(_WORKTREES)[0]
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
