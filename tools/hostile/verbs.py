"""Every verb with arguments that reach its code, for each kind of file, and what its answer has to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hostile.corpus import JOURNALS
from hostile.specimens import SECRET, Specimens

Arguments = Sequence[str]
READING: Mapping[str, Sequence[Arguments]] = {
    "sessions": [[], ["--json"]],
    "log": [[], ["-s", "a", "--json"], ["-s", "fork", "--turn", "2"]],
    "show": [["p2", "-s", "a"], ["5", "-s", "fork"]],
    "pages": [["-s", "a"], ["-s", "fork", "--at", "12"]],
    "prompt": [["-s", "a"], ["-s", "demo", "--turn", "3", "--provenance"], ["-s", "fork", "--outline"]],
    "store": [[], ["-s", "a", "--history", "--updates"]],
    "faults": [[], ["-s", "a"]],
    "trace": [["-s", "a"], ["-s", "fork", "--json"]],
    "stats": [[], ["-s", "a", "--turns"]],
    "grep": [["marmalade"], ["--regex", "mes.age", "-s", "fork"]],
    "diff": [["5", "20", "-s", "a"], ["a", "b"], ["--prompt", "fork", "a"]],
    "why": [["p2", "-s", "a"], ["p1", "-s", "demo", "--all"]],
    "blame": [["notes", "-s", "a"], ["p1", "-s", "fork"]],
    "bisect": [["-s", "a", "--when", "tokens > 10"], ["-s", "demo", "--fault", "refetch", "--linear"]],
    "whatif": [["-s", "a", "--budget", "300"], ["-s", "fork", "--policy", "lru"]],
    "verify": [[], ["--fast"], ["--redecide"], ["--anchor", "{checkpoint}", "--key", "{public}"]],
    "export": [["-s", "a"], ["-s", "fork", "--as", "recording"]],
    "checkpoint": [["--key", "{secret}"], ["--key", "{secret}", "-o", "{out}/n", "--since", "{checkpoint}"]],
    "bundle": [["--key", "{secret}", "-o", "{out}/b"], ["-s", "a", "--anchor", "{checkpoint}", "-o", "{out}/c"]],
}
"""Verb → arguments after the journal; all of them leave it as it is."""
WRITING: Mapping[str, Sequence[Arguments]] = {
    "fork": [["-s", "a", "--as", "new"], ["-s", "a", "--turn", "2", "--as", "again", "--rerun", "--seed", "1"]],
    "rebuild": [[]],
    "redact": [["-s", "a", "--page", "p2"], ["--pattern", SECRET[:20], "--dry-run"], ["-s", "a", "--all"]],
}
OTHERWISE = frozenset(("demo", "replay", "eval"))
"""Verbs whose arguments do not begin with a journal."""
BEYOND: Mapping[str, str] = {}
"""Verbs that read no file of anybody's, and why they are left out."""


def calls(kind: str, path: Path, good: Specimens, out: Path) -> Iterator[list[str]]:
    """The command lines for a file, which each get a copy of it in the folder `out`."""
    names = {name: str(getattr(good, name)) for name in ("journal", "checkpoint", "public", "secret", "session")}
    if kind in JOURNALS:
        lines = [[verb, str(path), *more] for verb, many in (READING | WRITING).items() for more in many]
        lines.append(["replay", names["session"], "--journal", str(path), "--counter", "lines4", "--seed", "1"])
        if kind in ("trigger", "stranger", "absent"):  # it writes as `replay` does, and takes ten times as long
            lines.append(["demo", "--journal", str(path)])
    elif kind == "note":
        lines = [
            ["verify", names["journal"], "--anchor", str(path), "--key", names["public"]],
            ["verify", names["journal"], "--anchor", names["checkpoint"], "--key", str(path)],
            ["checkpoint", names["journal"], "--key", names["secret"], "--since", str(path), "-o", str(out / "n")],
            ["checkpoint", names["journal"], "--key", str(path)],
            ["bundle", names["journal"], "--anchor", str(path), "-o", str(out / "b")],
        ]
    else:
        lines = [["replay", str(path), "--journal", str(out / "j.db"), "--counter", "lines4"]]
    for line in lines:
        yield [argument.format(out=out, **names) if "{" in argument else argument for argument in line]


def complaints(kind: str, line: Sequence[str], code: object, out: str, err: str) -> Iterator[str]:
    """What is wrong with an answer."""
    verb = line[0]
    told = [each for each in err.splitlines() if "[warning" not in each]
    if code not in (0, 1, 2):
        yield f"exit code {code}"
    if "Traceback" in out + err:
        yield "a traceback"
    if code == 2 and len(told) != 1:
        yield f"{len(told)} lines on stderr"
    if code == 2 and out and verb not in ("replay", "eval"):
        yield "exit code 2 after output"
    if verb == "verify" and kind in ("damaged", "trigger") and code != 1 and "--fast" not in line:
        yield f"verify exits {code}, not 1"
    if verb == "verify" and kind == "foreign" and (code != 0 or "mine" not in out):
        yield "verify does not name what is foreign, or exits not 0"
    if kind in ("stranger", "absent") and code != 2 and not (kind == "absent" and verb in ("replay", "demo")):
        yield f"{verb} exits {code} where there is no journal"
    if kind == "trigger" and verb in (*WRITING, "replay", "demo") and code != 2:
        yield f"{verb} exits {code} beside a foreign trigger"
    if kind in ("trigger", "foreign") and verb in READING and verb != "verify" and code == 2:
        yield f"{verb} refuses to read"
