"""What sessions record today, in words: `python -m tests.golden.transcripts` writes `transcripts/*.txt` anew.

A journal of a past version proves that old events are read; a transcript proves that the same inputs still make the
same events, down to each field. A change that is meant shows as a diff of a few lines, which a reviewer reads.
Commitments are shown as the texts that they stand for, so that seeds and salts do not matter.
"""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from importlib.resources import as_file, files
from itertools import takewhile
from operator import eq
from pathlib import Path
from typing import Any

import attrs

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.importers import FORMATS
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.codec import encode
from clawvm_es.observe.learned import source_line
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.tables import CLAUDE_CODE_TOOLS, TABLES
from clawvm_es.observe.tools import Tool, effects, normalised
from clawvm_es.representations.messages import Block
from clawvm_es.testing.histories import play
from tests.golden.make import forked, live
from tests.golden.talks import HISTORIES
from tests.importers.test_odd_json import BASES, written

HERE = Path(__file__).resolve().parent / "transcripts"
SHOWN_CHARS = 60
COMMITMENT = re.compile(r'"([0-9a-f]{64})"')


def lines(journal: Journal, sessions: tuple[str, ...] | None = None) -> Iterator[str]:
    """Each event of these sessions (None: of all): version, turn, cause, principal, key, type and data."""
    for session_id in sessions or sorted(head.session_id for head in journal.log.heads()):
        yield f"== {session_id}"
        bodies = journal.log.vault(session_id)

        def shown(found: re.Match[str], bodies=bodies) -> str:
            body = bodies.open(found[1])
            text = "unknown" if body is None else body.decode("utf-8", "replace")
            return json.dumps(f"{text[:SHOWN_CHARS]} ({len(text)})", ensure_ascii=False)

        for row in journal.log.read(session_id):
            data = COMMITMENT.sub(shown, encode(row.data).decode())
            about = f"{row.version} t{row.turn} <{row.cause} {row.principal} {row.idempotency_key or '-'}"
            yield f"{about} {row.type} {data}"


def live_sessions() -> list[str]:
    """Sessions that use every hook, and forks of one, under several policies."""
    ticks = itertools.count(1)
    with Journal.open(":memory:", seed=1, clock=lambda: next(ticks)) as journal:
        live(journal)
        forked(journal)
        return list(lines(journal, ("fifth", "first", "fork", "fork of it")))


def imported(name: str) -> list[str]:
    """A recorded session with rows of every kind, replayed."""
    with tempfile.TemporaryDirectory() as folder, Journal.open(":memory:", seed=1) as journal:
        path = Path(folder) / "session.jsonl"
        path.write_bytes(written(name, BASES[name]))
        counter = None if name == "clawvm_trace" else "lines4"
        found = replay(journal, path, ReplaySettings(counter=counter))
        skipped = [f"{each.session_id} skipped {sorted(each.skipped.items())}" for each in found]
        return [*skipped, *lines(journal)]


def talks() -> list[str]:
    """Sessions whose prompts are messages: the blocks of each prompt, and all events."""
    found = []
    for name, history in HISTORIES.items():
        ticks = itertools.count(1)
        with chdir("/"), Journal.open(":memory:", seed=1, clock=lambda ticks=ticks: next(ticks)) as journal:
            with journal.session(
                name,
                policy=history.policy,
                budget_tokens=history.budget,
                counter="lines4",
                on_pressure="degrade",
                renderer=f"messages/1:{history.shape}",
                settings=Settings(tools=tuple(CLAUDE_CODE_TOOLS.values())),
            ) as session:
                before: list[str] = []
                for number, prompt in enumerate(play(session, history), 1):
                    blocks = [json.dumps(told(block), ensure_ascii=False) for block in prompt.blocks]
                    same = sum(takewhile(bool, map(eq, before, blocks)))
                    found.append(f"== {name}, prompt {number}: {prompt.tokens} tokens, {prompt.layout} in the layout")
                    found += [f"{same} blocks as before", *blocks[same:]]
                    before = blocks
            found += lines(journal)
    return found


def told(block: Block) -> list[Any]:
    """The cells of a block; of a long text its beginning, and the length that it has."""
    cells = [getattr(block, field.name) for field in attrs.fields(Block)]
    return [f"{each[:SHOWN_CHARS]} ({len(each)})" if len(str(each)) > SHOWN_CHARS else each for each in cells]


def demo() -> list[str]:
    """The session that the package brings along: a plan, edits, needs, repeats and compactions."""
    with as_file(files("clawvm_es.cli") / "demo_session.jsonl") as path, Journal.open(":memory:", seed=1) as journal:
        replay(journal, path, ReplaySettings(budget_tokens=4000, counter="lines4"))
        return list(lines(journal))


def tools() -> list[str]:
    """Every declared tool: what calls with all, some and no arguments read, write, show and are named by."""
    found = []
    for format_, table in TABLES.items():
        for tool in table.values():
            names = [tool.path, *tool.roles, *tool.defaults, *tool.ignores]
            names += [name for key in (*tool.reads, *tool.writes) for name in re.findall(r"{(\w+)}", key)]
            whole = {name: f"src/../{name}.x" for name in dict.fromkeys(filter(None, names))}
            some = {tool.path: "/etc/hosts"} if tool.path else {"other": [1, {"b": 2.5}]}
            told = [
                f"{f.name}={getattr(tool, f.name)!r}"
                for f in attrs.fields(Tool)
                if getattr(tool, f.name) != f.default
            ]
            found.append(f"{format_} {' '.join(told)}")
            for arguments in ({**whole, "other": 1}, some, {}):
                for cwd in ("/w/app", ""):
                    use = ToolUse(1, tool.name, arguments, cwd)
                    does = effects(tool, use)
                    shown = json.dumps(dict(normalised(tool, use)))
                    found.append(f"  {cwd or '-'} {shown} {does} {source_line(tool, use)!r}")
    return found


TRANSCRIPTS = {
    "tools": tools,
    "demo": demo,
    "live": live_sessions,
    "talks": talks,
    **{name: lambda name=name: imported(name) for name in FORMATS},
}


def main() -> None:
    """Write all transcripts."""
    for name, make in TRANSCRIPTS.items():
        (HERE / f"{name}.txt").write_text("\n".join(make()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
