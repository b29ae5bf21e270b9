"""Make many recorded sessions out of a few: real ones, cut at a seeded length, under ids and with words of their own.

    python tools/sessions.py --traces FOLDER --count 500 -o many         500 files of 20 to 120 kB
    python tools/sessions.py --traces FOLDER --grow 50,500,5000          import, verify, ask: time and memory
    python tools/sessions.py --traces FILE --long 40 -o long             one session of 40 MB

Sessions are Claude Code's (`*.jsonl`). Each word `the` becomes one of the session's own, so that texts of different
sessions are not stored once. The same seed makes the same bytes. `--grow` runs each verb as a program of its own and
prints seconds, seconds a session, CPU and the largest memory, and by which factor each grew. A long session is one of
Claude Code's or pi's that goes on with its own rows, each time under ids and with words of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence, Set
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

KB_LEAST, KB_MOST = 20, 120
_IDS = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b(?:msg|toolu|call|req|fc)_\w{16,}"
    rb'|"(?:id|parentId|firstKeptEntryId)": ?"[0-9a-f]{8}(?=")'
)
"""Ids of rows, answers and calls, by their last characters."""
_DAY = re.compile(rb'(?<="timestamp":")\d{4}-\d\d-\d\d|(?<="timestamp": ")\d{4}-\d\d-\d\d')
_ROOT = re.compile(rb'"(parentUuid|parentId)":( ?)null')


class Cost(NamedTuple):
    """What a command took: seconds, those of the CPU, and its largest memory in MB."""

    wall_s: float
    cpu_s: float
    memory_mb: int


def sessions(traces: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of so many sessions."""
    sources = [path.read_bytes().splitlines(keepends=True) for path in sorted(traces.rglob("*.jsonl"))]
    named = [(lines, found) for lines in sources if (found := _session_id(lines))]
    if not named:
        raise SystemExit(f"{traces}: no session of Claude Code there")
    for number in range(count):
        dice = Random(f"{seed} {number}")
        lines, known = dice.choice(named)
        new = str(uuid.UUID(int=dice.getrandbits(128), version=4))
        data = b"".join(_cut(lines, dice.randint(KB_LEAST, KB_MOST) * 1000))
        yield f"{new}.jsonl", data.replace(known.encode(), new.encode()).replace(b" the ", f" the{number} ".encode())


def _session_id(lines: Sequence[bytes]) -> str:
    """The id that most of a file's first lines name; empty where it is no session."""
    for line in lines[:20]:
        found = json.loads(line)
        if isinstance(found, dict) and isinstance(found.get("sessionId"), str) and "uuid" in found:
            return str(found["sessionId"])
    return ""


def _cut(lines: Sequence[bytes], size: int) -> Iterator[bytes]:
    """The lines from the first, as many as there is room for; a line that is longer alone is left out."""
    for line in lines:
        if len(line) <= size:
            size -= len(line)
            yield line


def long(trace: Path, size: int) -> Iterator[bytes]:
    """The lines of one session of at least so many bytes: those of a recorded one, again and again.

    The first row of each round hangs on the last row of the round before.
    """
    lines = trace.read_bytes().splitlines(keepends=True)
    first = [json.loads(line) for line in lines[:20]]
    kept = {str(row["sessionId"]).encode() for row in first if "sessionId" in row}
    lines, rounds, leaf = [line for line in lines if line.strip()], 0, b""
    while size > 0:
        head = leaf
        for line in lines:
            if rounds and b'"type": "session"' in line[:20]:
                continue
            made = _renamed(line, kept, rounds) if rounds else line
            if head and _ROOT.search(made):
                made, head = _ROOT.sub(rb'"\1":\2"%s"' % head, made, count=1), b""
            own = json.loads(made)
            leaf = str(own.get("uuid") or own.get("id") or leaf.decode()).encode()
            size -= len(made)
            yield made
        rounds += 1


def _renamed(line: bytes, kept: Set[bytes], rounds: int) -> bytes:
    """A line of a later round, days later, under ids and with words of its own."""
    mark = b"%04x" % rounds
    line = _IDS.sub(lambda found: found[0] if found[0] in kept else found[0][:-4] + mark, line)
    line = _DAY.sub(lambda found: str(date.fromisoformat(found[0].decode()) + timedelta(rounds)).encode(), line)
    return line.replace(b" the ", b" the%d " % rounds)


def write(traces: Path, count: int, seed: int, folder: Path) -> int:
    """Write sessions to a folder; returns their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    return sum((folder / name).write_bytes(data) for name, data in sessions(traces, count, seed))


def timed(*words: str) -> Cost:
    """Run the program; raises where it fails."""
    began = time.monotonic()
    command = [sys.executable, "-m", "clawvm_es", *words]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(words)}: {said.read().decode().strip()[-500:]}")
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)


def grow(traces: Path, counts: Sequence[int], seed: int, folder: Path) -> list[dict[str, Any]]:
    """Cost of each verb over so many sessions, smallest first; prints a row each."""
    rows: list[dict[str, Any]] = []
    for count in counts:
        place = folder / str(count)
        size = write(traces, count, seed, place / "sessions")
        journal, lake = str(place / "j.db"), str(place / "lake")
        verbs = {
            "import": ["import", str(place / "sessions"), "--journal", journal, "--counter", "lines4", "--json"],
            "import again": [
                "import",
                str(place / "sessions"),
                "--journal",
                journal,
                "--counter",
                "lines4",
                "--json",
            ],
            "verify": ["verify", journal],
            "sessions": ["sessions", journal, "--json"],
            "export": ["export", journal, "--as", "parquet", "-o", lake],
            "catalogue": ["catalogue", lake, "SELECT type, count(*) FROM events GROUP BY type"],
        }
        for name, words in verbs.items():
            cost = timed(*words)
            before = next((row for row in reversed(rows) if row["verb"] == name), None)
            factor = "" if before is None else f", CPU × {cost.cpu_s / before['cpu_s']:.1f}"
            rows.append({"verb": name, "sessions": count, "input_bytes": size, **cost._asdict()})
            print(
                f"{count:6} sessions ({size / 1e6:.0f} MB) {name:13} {cost.wall_s:8.1f} s  {cost.cpu_s:8.1f} s CPU  "
                f"{1000 * cost.cpu_s / count:7.1f} ms a session  {cost.memory_mb:5} MB{factor}",
                flush=True,
            )
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--traces", type=Path, required=True, metavar="FOLDER", help="recorded sessions to make them of"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, metavar="PLACE", help="folder for the files")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--count", type=int, metavar="N", help="write N sessions")
    which.add_argument("--long", type=int, metavar="MB", help="write one session of so many MB, out of the one named")
    which.add_argument("--grow", metavar="N,N,…", help="import, verify and ask so many, and more")
    options = parser.parse_args(arguments)
    if options.long is not None:
        if options.output is None or not options.traces.is_file():
            parser.error("--long needs one recorded session (--traces FILE) and a file to write (-o)")
        with options.output.open("wb") as out:
            out.writelines(long(options.traces, options.long * 1_000_000))
        return 0
    with tempfile.TemporaryDirectory(prefix="clawvm-sessions-") as temporary:
        folder = options.output or Path(temporary)
        if options.count is not None:
            size = write(options.traces, options.count, options.seed, folder)
            print(f"{folder}: {options.count} sessions, {size} bytes")
        else:
            rows = grow(options.traces, [int(each) for each in options.grow.split(",")], options.seed, folder)
            if options.output is not None:
                (folder / "growth.json").write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
