"""Make many recorded sessions out of a few: real ones, cut at a seeded length, under ids and with words of their own.

    python tools/sessions.py --traces FOLDER --count 500 -o many         500 files of 20 to 120 kB
    python tools/sessions.py --traces FOLDER --grow 50,500,5000          import, verify, ask: time and memory

Sessions are Claude Code's (`*.jsonl`). Each word `the` becomes one of the session's own, so that texts of different
sessions are not stored once. The same seed makes the same bytes. `--grow` runs each verb as a program of its own and
prints seconds, seconds a session, CPU and the largest memory, and by which factor each grew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

KB_LEAST, KB_MOST = 20, 120


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
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for the files")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--count", type=int, metavar="N", help="write N sessions")
    which.add_argument("--grow", metavar="N,N,…", help="import, verify and ask so many, and more")
    options = parser.parse_args(arguments)
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
