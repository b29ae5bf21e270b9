"""Every verb with arguments that reach its code, for each kind of file, and what its answer has to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from clawvm_es.cli.verbs import Use, using
from hostile.corpus import JOURNALS
from hostile.specimens import SECRET, Specimens

Arguments = Sequence[str]
ARGUMENTS: Mapping[str, Sequence[Arguments]] = {
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
    "diff": [["5", "20", "-s", "a"], ["a", "b"], ["--prompt", "fork", "a"], ["a", "a", "--against", "{journal}"]],
    "why": [["p2", "-s", "a"], ["p1", "-s", "demo", "--all"]],
    "blame": [["notes", "-s", "a"], ["p1", "-s", "fork"]],
    "bisect": [["-s", "a", "--when", "tokens > 10"], ["-s", "demo", "--fault", "refetch", "--linear"]],
    "whatif": [["-s", "a", "--budget", "300"], ["-s", "fork", "--policy", "lru"]],
    "verify": [[], ["--fast"], ["--redecide"], ["--anchor", "{checkpoint}", "--key", "{public}"]],
    "losses": [["-s", "a"], ["-s", "fork", "--json"]],
    "check": [["misses < 1000", "-s", "a"], ["never absent(constraint)", "-s", "fork"]],
    "export": [
        ["-s", "a"],
        ["-s", "fork", "--as", "recording"],
        ["-s", "a", "--as", "otlp"],
        ["-s", "fork", "--as", "html", "-o", "{out}/page.html"],
    ],
    "checkpoint": [["--key", "{secret}"], ["--key", "{secret}", "-o", "{out}/n", "--since", "{checkpoint}"]],
    "backup": [["{out}/copy"]],
    "bundle": [["--key", "{secret}", "-o", "{out}/b"], ["-s", "a", "--anchor", "{checkpoint}", "-o", "{out}/c"]],
    "archive": [["-o", "{out}/archive", "--key", "{secret}", "--open", "--older-than", "0s"]],
    "fork": [["-s", "a", "--as", "new"], ["-s", "a", "--turn", "2", "--as", "again", "--rerun", "--seed", "1"]],
    "redact": [
        ["-s", "a", "--page", "p2", "--certificate", "{out}/c", "--key", "{secret}"],
        ["-s", "a", "--certificate", "{out}/c"],
        ["--pattern", SECRET[:20], "--dry-run"],
        ["--pattern", SECRET[:20], "--yes"],
        ["-s", "a", "--all"],
    ],
}
"""Verb → the arguments after the journal that it is run with; a verb that is not here is run with none."""
READING: Mapping[str, Sequence[Arguments]] = {verb: ARGUMENTS.get(verb, [[]]) for verb in using(Use.READS)}
WRITING: Mapping[str, Sequence[Arguments]] = {verb: ARGUMENTS.get(verb, [[]]) for verb in using(Use.WRITES)}
TAKING = frozenset(using(Use.FILLS))
BESIDE = frozenset(("pytest", "verify_bundle"))
"""Two more that read files of ours: the pytest plugin, and the checker of bundles that shares no code with us."""
STREAMED = frozenset(("log",))
"""Verbs that print each line as they read it: what they printed before an error was read rightly, and stays."""
VOCABULARY = frozenset(("demo", "eval"))
"""Verbs that count with a vocabulary of 70 MB, whatever the file: their memory is not compared with the file's."""


def calls(kind: str, path: Path, good: Specimens, out: Path) -> Iterator[list[str]]:
    """The command lines for a file, which each get a copy of it, and the empty folder `out`."""
    names = {name: str(getattr(good, name)) for name in ("journal", "checkpoint", "public", "secret", "session")}
    if kind in JOURNALS:
        lines = _over_journal(kind, str(path), names)
    elif kind == "note":
        lines = _over_note(str(path), names, str(out))
    elif kind == "home":
        lines = iter(
            [["doctor", "--journal", f"{out}/j.db"], ["doctor", "--journal", f"{out}/j.db", "--forget", "--json"]]
        )
    else:
        lines = _over_input(kind, str(path), names, str(out))
    for line in lines:
        yield [argument.format(out=out, **names) if "{" in argument else argument for argument in line]


def _over_journal(kind: str, path: str, names: Mapping[str, str]) -> Iterator[list[str]]:
    for verb, many in (READING | WRITING).items():
        for more in many:
            yield [verb, path, *more]
    yield ["doctor", "--journal", path]
    yield ["diff", names["journal"], "a", "a", "--against", path]
    yield ["backup", names["journal"], path]
    yield ["replay", names["session"], "--journal", path, "--counter", "lines4", "--seed", "1"]
    yield ["import", names["session"], "--journal", path, "--counter", "lines4", "--seed", "1"]
    yield ["follow", names["session"], "--journal", path, "--counter", "lines4", "--seed", "1", "--once"]
    if kind in ("trigger", "stranger", "absent"):  # it writes as `replay` does, and takes ten times as long
        yield ["demo", "--journal", path]


def _over_note(path: str, names: Mapping[str, str], out: str) -> Iterator[list[str]]:
    journal = names["journal"]
    yield ["verify", journal, "--anchor", path, "--key", names["public"]]
    yield ["verify", journal, "--anchor", names["checkpoint"], "--key", path]
    yield ["checkpoint", journal, "--key", names["secret"], "--since", path, "-o", f"{out}/n"]
    yield ["checkpoint", journal, "--key", path]
    yield ["bundle", journal, "--anchor", path, "-o", f"{out}/b"]
    yield ["redact", journal, "-s", "a", "--certificate", f"{out}/c", "--key", path]


def _over_input(kind: str, path: str, names: Mapping[str, str], out: str) -> Iterator[list[str]]:
    yield ["replay", path, "--journal", f"{out}/j.db", "--counter", "lines4"]
    yield ["import", path, "--journal", f"{out}/i.db", "--counter", "lines4"]
    yield ["follow", path, "--journal", f"{out}/f.db", "--counter", "lines4", "--final"]
    if kind == "bundle":
        yield ["verify_bundle", path, "--key", names["public"]]
    if kind in ("bundle", "recording"):
        yield ["pytest", path]
    yield ["eval", "real", "--traces", str(Path(path).parent), "--out", f"{out}/e", "--workers", "1"]


def complaints(kind: str, line: Sequence[str], code: object, out: str, err: str) -> Iterator[str]:
    """What is wrong with an answer."""
    yield from _in_form(line, code, out, err)
    verb = line[0]
    if verb == "verify" and kind in ("damaged", "trigger") and code != 1 and "--fast" not in line:
        yield f"verify exits {code}, not 1"
    if verb == "verify" and kind == "foreign" and (code != 0 or "mine" not in out):
        yield "verify does not name what is foreign, or exits not 0"
    if verb == "doctor":
        yield from _of_doctor(kind, code, out)
    elif kind in ("stranger", "absent") and code != 2 and not (kind == "absent" and verb in TAKING):
        yield f"{verb} exits {code} where there is no journal"
    if kind == "trigger" and verb in (*WRITING, *TAKING) and "--dry-run" not in line and code != 2:
        yield f"{verb} exits {code} beside a foreign trigger"
    if kind in ("trigger", "foreign") and verb in READING and verb not in ("verify", "backup") and code == 2:
        yield f"{verb} refuses to read"
    if verb == "backup" and kind == "trigger" and code != 2:
        yield f"backup exits {code}: a copy with a foreign trigger"
    if verb == "verify_bundle" and code == 0:
        yield "a bundle that was changed is good"


def _of_doctor(kind: str, code: object, out: str) -> Iterator[str]:
    """It tells what does not work, whatever that is: it never gives up."""
    if code != 1:
        yield f"doctor exits {code}, not 1: no engine was installed"
    told = [line for line in out.splitlines() if line[6:].startswith("journal: ")]
    if kind in ("stranger", "trigger") and not any(line.startswith("bad") for line in told):
        yield "doctor finds nothing wrong with the journal"
    if any(not char.isprintable() for char in out.replace("\n", "")):
        yield "doctor prints what moves a cursor"


def _in_form(line: Sequence[str], code: object, out: str, err: str) -> Iterator[str]:
    """What no answer may be: another exit code, a traceback, an error of many lines or after output."""
    verb = line[0]
    told = [each for each in err.splitlines() if "[warning" not in each]
    if code not in ((0, 1, 2, 5) if verb == "pytest" else (0, 1, 2)):  # 5: pytest collected nothing
        yield f"exit code {code}"
    if "Traceback" in out + err or "INTERNALERROR" in out + err:
        yield "a traceback"
    if verb == "pytest" or code != 2:
        return
    if len(told) != 1:
        yield f"{len(told)} lines on stderr"
    if (out and verb not in STREAMED | TAKING - {"demo"} | {"eval"}) or (out and "--json" in line):
        yield "exit code 2 after output"
