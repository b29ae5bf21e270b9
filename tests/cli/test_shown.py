"""LAW-SHOWN-1 at the program: nothing that a journal or recording holds is obeyed by who reads the output."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from clawvm_es import Journal, Settings
from clawvm_es.cli.verbs import Use, using
from clawvm_es.engine.store import FieldSchema
from clawvm_es.representations.visible import visible

EVIL = "\x1b[31mEVIL\x1b]0;pwn\x07\x9b2J\u202e\u2066\u200b\r\n\x7f\0\u3164"
"""An ANSI colour that we use ourselves, a title, C1, reversals, unseen characters, line ends, DEL and NUL."""
MARKS = {"markid": f"id{EVIL}", "markfield": f"field{EVIL}", "markagent": f"agent{EVIL}"}
"""Names in the journal below → what they become in its rows."""
ARGUMENTS = {
    "show": ["3"],
    "prompt": ["--outline"],
    "store": ["--updates"],
    "stats": ["--turns"],
    "grep": ["EVIL"],
    "diff": ["1", "turn:1", "--prompt"],
    "why": ["p1"],
    "blame": ["p1", "--rejected"],
    "bisect": ["--when", "absent(p1)"],
    "fork": ["--as", "child"],
    "whatif": ["--policy", "lru"],
    "backup": ["OUT"],
    "export": ["-o", "OUT"],
    "checkpoint": ["--make-key", "OUT"],
    "bundle": ["--anchor", "OUT", "-o", "OUT"],
    "archive": ["--key", "OUT", "-o", "OUT.folder", "--open"],
    "redact": ["--page", "p1", "--dry-run"],
    "check": ["misses < 3"],
}
"""Verb → the arguments that it needs after the journal."""
VERBS = {verb: ARGUMENTS.get(verb, []) for verb in using(Use.READS, Use.WRITES)}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """A journal whose ids, names, principals and texts are hostile: written to its rows, past admission."""
    path = tmp_path_factory.mktemp("hostile") / "j.db"
    settings = Settings(fields={"markfield": FieldSchema("string")})
    with (
        Journal.open(path, seed=1) as journal,
        journal.session("markid", budget_tokens=600, settings=settings) as session,
    ):
        page = session.write_page("evidence", f"text {EVIL}\nmore {EVIL}", source=f"file {EVIL}")
        session.write_page("plan", f"Goal: {EVIL}\n1. [ ] {EVIL}", author="model")
        session.user_says(EVIL)
        session.assemble()
        session.observe_model(EVIL)
        session.stage("markfield", "set_with_version", EVIL, evidence=page, base_version=0)
        session.save()
    _plant(path)
    return path


def _plant(path: Path) -> None:
    """Replace the marks in every row of every plain table by hostile names."""
    with sqlite3.connect(path) as db:
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%STRICT%'"):
            for _, column, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                if kind != "TEXT":
                    continue
                for mark, evil in MARKS.items():
                    value = json.dumps(evil)[1:-1] if column == "data" else evil
                    db.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (mark, value))
        db.execute("UPDATE events SET principal = ?", (MARKS["markagent"],))
        for _, sql in triggers:
            db.execute(sql)


@pytest.fixture
def ran(run, hostile, tmp_path):
    """Run a verb on a copy of the hostile journal."""
    journal = Path(shutil.copy(hostile, tmp_path / "j.db"))

    def runner(verb, *options):
        arguments = [str(tmp_path / word) if word == "OUT" else word for word in VERBS[verb]]
        return run(verb, journal, *arguments, *options)

    return runner


def assert_harmless(text: str) -> None:
    """No character of the text is obeyed or unseen, but for line feeds."""
    assert visible(text.replace("\n", "")) == text.replace("\n", "")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_into_a_pipe_nothing_hostile_comes_out(ran, verb):
    """Ids, names and texts are escaped where `less -R` would obey them; also in error messages."""
    code, out, err = ran(verb)
    assert code in (0, 1, 2)
    assert_harmless(out)
    assert_harmless(err)
    assert "internal error" not in err


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_document_is_json_without_raw_characters(ran, verb):
    """`--json` prints printable ASCII, and JSON gives the texts back."""
    code, out, err = ran(verb, "--json")
    assert code in (0, 1, 2)
    assert not re.search(r"[^\n\x20-\x7e]", out)
    assert_harmless(err)
    assert not out or json.loads(out)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_terminal_obeys_our_colours_only(ran, verb, monkeypatch):
    """On a terminal our own colours are printed; a colour that a text brings along is not one."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, out, err = ran(verb)
    for text in (out, err):
        assert "\x1b[31mEVIL" not in text
        assert_harmless(re.sub(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[K|\r", "", text))


@pytest.mark.parametrize("verb", ["prompt", "export"])
def test_prompts_and_exports_are_bytes_in_a_pipe_and_visible_on_a_terminal(run, hostile, verb, monkeypatch):
    """Into a pipe they are what was rendered or recorded; a terminal is shown the same, made visible."""
    raw = run(verb, hostile)[1]
    assert raw if verb == "export" else EVIL[:9] in raw
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, _ = run(verb, hostile)
    assert_harmless(out)
    assert "EVIL" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["pages", "{journal}", "-s", "zzz"],
        ["pages", "{journal}", "--turn", "999"],
        ["pages", "{journal}", "--at", "99999"],
        ["show", "{journal}", "p999"],
        ["show", "{journal}", "p9\x1b[2J"],
        ["grep", "{journal}", "(\x1b[2J", "--regex"],
        ["log", "{journal}", "--type", "\u202e"],
        ["sessions", "no\x1b[2J.db"],
        ["replay", "no\x1b[2J.jsonl", "-j", "{new}"],
        ["replay", "{evil}", "-j", "{new}"],
        ["\x1b[2J"],
        ["log", "--\x1b[2J"],
    ],
)
def test_errors_quote_nothing_raw(run, hostile, tmp_path, arguments):
    """An error that names an id, a path or an argument is one harmless line."""
    evil = tmp_path / "evil\x1b[2J.jsonl"
    evil.write_text(json.dumps({"type": f"session\u202e{EVIL}", "id": EVIL}) + "\n", encoding="utf-8")
    filled = [word.format(journal=hostile, new=tmp_path / "new.db", evil=evil) for word in arguments]
    code, out, err = run(*filled)
    assert (code, err.count("\n")) == (2, 1)
    assert_harmless(out)
    assert_harmless(err)


def test_commands_to_copy_are_quoted(run, tmp_path):
    """An id that a shell would run is one word of the commands that a verb offers."""
    name, journal = "run $(touch pwned); touch pwned", tmp_path / "a b.db"
    with Journal.open(journal) as opened, opened.session(name, budget_tokens=400) as session:
        session.user_says("hello")
        session.assemble()
    offered = [line for line in run("bisect", journal, "--when", "known(p1)")[1].splitlines() if "  clawvm " in line]
    assert offered
    for line in offered:
        words = shlex.split(line)
        assert words[2] == str(journal) and words[words.index("--session") + 1] == name


def test_the_bundle_script_prints_nothing_raw(tmp_path):
    """The script that checks a bundle without this package escapes as well."""
    evil = tmp_path / "evil\x1b[2J\u202e.bundle"
    evil.write_text("no bundle", encoding="utf-8")
    tool = Path(__file__).resolve().parents[2] / "clawvm_es" / "verify_bundle.py"
    found = subprocess.run([sys.executable, tool, evil, "--key", evil], capture_output=True, check=False, text=True)
    assert found.returncode == 2
    assert_harmless(found.stdout + found.stderr)


def test_logs_are_made_visible(capsys):
    """What a log line says about a session is escaped as well."""
    import structlog

    from clawvm_es.cli.output import configure_logging

    configure_logging()
    structlog.get_logger().warning("looked at", session=EVIL)
    assert_harmless(capsys.readouterr().err)


def test_the_face_prints_at_one_place():
    """No module of the face but `output` prints or colours, so that nothing gets past it."""
    folder = Path(sys.modules["clawvm_es.cli.main"].__file__).parent
    found = []
    for module in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if re.search(r"^print$|\b(s?echo|style|progressbar|echo_via_pager|stdout\.write)$", name):
                found += [f"{module.name}: {name}"] if name != "style" and module.name != "output.py" else []
    assert found == []
