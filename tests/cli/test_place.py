"""LAW-PLACE-1: one rule says for every verb which journal it means."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import pytest

from clawvm_es import Journal
from clawvm_es.cli.main import cli
from clawvm_es.cli.place import default_journal
from clawvm_es.cli.verbs import Use, using
from clawvm_es.projections import index_texts
from clawvm_es.storage import open_log

OTHERS = {
    "show": ["2"],
    "grep": ["walrus"],
    "diff": ["1", "1"],
    "why": ["p1"],
    "blame": ["p1"],
    "bisect": ["--when", "known(p1)"],
    "whatif": ["--policy", "lru"],
    "fork": ["--as", "child"],
    "export": ["-o", "{new}"],
    "backup": ["{new}"],
    "checkpoint": ["--make-key", "{new}"],
    "bundle": ["--key", "{key}", "-o", "{new}"],
    "archive": ["--key", "{key}", "-o", "{new}.d", "--open", "--older-than", "0s"],
    "redact": ["--page", "p1", "--dry-run"],
    "check": ["misses < 3"],
}
"""Verb → arguments that it needs beside the journal."""
READING = sorted(using(Use.READS, Use.WRITES))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A journal with one session, and a key for it."""
    path = tmp_path_factory.mktemp("made") / "j.db"
    with Journal.open(path) as journal, journal.session("run-1", budget_tokens=400) as session:
        session.write_page("bootstrap", "- You must feed the walrus.")
        session.assemble()
        session.observe_model("fed")
    return path


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A platform's data folder of its own, and no journal in the environment."""
    monkeypatch.delenv("CLAWVM_JOURNAL", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def journal(made, home) -> Path:
    """A copy of the journal, to write to, with its texts indexed, so that `grep` has nothing to say of them."""
    path = Path(shutil.copy(made, home / "j.db"))
    with open_log(path) as log:
        index_texts(log)
    return path


@pytest.fixture
def others(run, journal, home):
    """The arguments of a verb beside its journal."""

    def filled(verb: str) -> list[str]:
        if verb in ("archive", "bundle") and not (home / "key").exists():
            assert run("checkpoint", journal, "--make-key", home / "key")[0] == 0
        return [word.format(new=home / "new", key=home / "key") for word in OTHERS.get(verb, [])]

    return filled


def at_default(journal: Path) -> Path:
    """Move a journal to the default place."""
    place = Path(default_journal())
    place.parent.mkdir(parents=True)
    return Path(shutil.move(journal, place))


@pytest.mark.parametrize("verb", READING)
def test_a_journal_is_named_before_the_others_or_by_option(run, journal, others, home, verb):
    """JOURNAL as the first argument and --journal mean the same, and nothing is said about the place."""
    first = run(verb, journal, *others(verb))
    assert (first[0], first[2]) == (0, "")
    fresh = others(verb)
    for made in (home / "new", home / "new.pub"):
        made.unlink(missing_ok=True)
    if verb == "fork":
        fresh = ["-s", "run-1", "--as", "other"]
    second = run(verb, *fresh, "-j", journal)
    assert (second[0], second[2]) == (0, "")


@pytest.mark.parametrize("verb", READING)
def test_the_environment_names_the_journal(run, journal, others, monkeypatch, verb):
    """Without a name, $CLAWVM_JOURNAL is the journal; a name goes before it."""
    words = others(verb)
    monkeypatch.setenv("CLAWVM_JOURNAL", str(journal))
    code, _, err = run(verb, *words)
    assert (code, err) == (0, "")
    monkeypatch.setenv("CLAWVM_JOURNAL", "nothing-here.db")
    assert run("sessions", journal)[0] == run("sessions", "--journal", journal)[0] == 0
    assert "nothing-here.db" in run("sessions")[2]


@pytest.mark.parametrize("verb", READING)
def test_the_data_folder_is_the_default_and_is_told(run, journal, others, verb):
    """Without a name or $CLAWVM_JOURNAL it is the platform's data folder, said on stderr."""
    words = others(verb)
    place = at_default(journal)
    code, _, err = run(verb, *words)
    assert (code, err) == (0, f"clawvm: journal {place}\n")


@pytest.mark.parametrize("verb", READING)
def test_a_default_that_is_not_there_is_named(run, others, verb, home):
    """No journal in the default place: one line says where it was looked for, exit 2, and nothing is made."""
    words = [word.format(new=home / "new", key=home / "key") for word in OTHERS.get(verb, [])]
    code, out, err = run(verb, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert default_journal() in err and "--journal" in err and "$CLAWVM_JOURNAL" in err
    assert not Path(default_journal()).parent.exists()


@pytest.mark.parametrize("verb", READING)
def test_two_journals_are_one_too_many(run, journal, others, verb):
    """A JOURNAL argument beside --journal is wrong usage, and so is an argument too many."""
    words = others(verb)
    code, out, err = run(verb, journal, *words, "--journal", journal)
    assert (code, out) == (2, "") and "Two journals" in err
    code, out, err = run(verb, journal, *words, "one-too-many")
    assert (code, out) == (2, "") and "unexpected extra argument" in err


def test_replay_makes_the_journal_by_the_same_rule(run, journal, home, monkeypatch):
    """`replay` writes to --journal, else $CLAWVM_JOURNAL, else the data folder, which it makes for its owner."""
    trace = home / "s.trace.jsonl"
    assert run("export", journal, "-o", trace)[0] == 0
    assert run("replay", trace, "-j", home / "a.db")[::2] == (0, "")
    monkeypatch.setenv("CLAWVM_JOURNAL", str(home / "b.db"))
    assert run("replay", trace)[::2] == (0, "")
    monkeypatch.setenv("CLAWVM_JOURNAL", "")
    place = Path(default_journal())
    assert run("replay", trace)[::2] == (0, f"clawvm: journal {place}\n")
    assert all(path.exists() for path in (home / "a.db", home / "b.db", place))
    assert place.parent.stat().st_mode & 0o077 == 0


def test_an_empty_name_is_refused(run):
    """`--journal ''` names nothing."""
    for arguments in (["sessions", ""], ["sessions", "-j", ""], ["replay", "x.jsonl", "-j", ""]):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "") and "empty" in err


@pytest.mark.parametrize("verb", sorted(cli.commands.keys() - set(using(Use.NONE))))
def test_every_verb_says_where_its_journal_is(verb):
    """The help of each verb that has a journal names --journal and the default."""
    text = cli.commands[verb].get_help(click.Context(cli.commands[verb], info_name=verb))
    assert "--journal" in text and "Default: " in " ".join(text.split())
    assert ("[JOURNAL]" in text) or verb not in READING
