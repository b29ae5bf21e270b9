"""Erasure: what leaves the journal, what stays, who is told, and what happens when something is in the way."""

import json
import re
import secrets
import sqlite3
import time

import pytest

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import JournalFull, UsageError
from clawvm_es.history import end_of_turn, prompt_at, redecide, state_at
from clawvm_es.history.redact import Target, redact
from clawvm_es.importers.replay import replay
from clawvm_es.journal import anchors
from clawvm_es.journal.lineage import read_session
from clawvm_es.model.events import ContentRedacted
from clawvm_es.projections import projections_problems
from clawvm_es.storage import verify
from clawvm_es.storage.sqlite.erasure import pieces

SETTINGS = Settings(fields={"note": FieldSchema()})


def canary() -> str:
    """A text that nothing else can contain."""
    return f"canary-{secrets.token_hex(24)}"


def talk(journal, name, text, **options):
    """A session that gets `text` as a tool's result, holds it in its prompts, and quotes nothing of it."""
    with journal.session(name, budget_tokens=900, counter="lines4", settings=SETTINGS, **options) as session:
        session.write_page("bootstrap", "- You must be careful.")
        session.user_says("please read it")
        session.assemble()
        (call,) = session.observe_model("reading", [("read", {"path": "a"})])
        page = session.observe_result(call, f"{text}\n" + "".join(f"line {n} of {text}\n" for n in range(60)))
        session.assemble()
        session.observe_model("done")
        session.save()
        return page


def left(path, text):
    """In which of the journal's files a text still stands."""
    names = (path, path.with_name(path.name + "-wal"))
    term = text.rpartition("-")[2]  # as a full-text index has it
    return [name.name for name in names if name.exists() and term.encode() in name.read_bytes()]


def trails(log):
    """Which streams say that something was erased."""
    return {row.session_id for row in log.read_all() if isinstance(row.data, ContentRedacted)}


@pytest.fixture
def path(tmp_path):
    """Where the journal of a test goes."""
    return tmp_path / "j.db"


def test_a_tool_result_held_by_two_sessions_and_a_fork_is_gone_everywhere(path, tmp_path):
    """LAW-REDACT-1, 2: no trace in the files; chains, anchor, decisions hold; all that held it say so."""
    text = canary()
    with Journal.open(path) as journal:
        page = talk(journal, "a", text)
        talk(journal, "b", text)
        talk(journal, "c", "another text")
        with journal.fork("a", "fork of a") as fork:
            fork.user_says("go on")
        public = anchors.make_key(str(tmp_path / "k"), journal.log.journal_id, 5, int(time.time()))
        secret = anchors.load_secret(str(tmp_path / "k"), int(time.time()))
        note, _ = anchors.take_checkpoint(journal.log, secret)
        assert left(path, text)
        done = redact(journal.log, Target("a", page_id=page), at_us=5, everywhere=True, principal="auditor")
        assert (done.status, done.held_by, done.guessable) == ("erased", (), False)
        assert not left(path, text)
        assert {trail.session_id for trail in done.trails} == trails(journal.log) == {"a", "b", "fork of a"}
        for name in ("a", "b", "fork of a"):
            assert state_at(journal.log, name).pages[page].redacted
            assert redecide(read_session(journal.log, name)) > 0
            assert "[erased]" in prompt_at(journal.log, name, end_of_turn(journal.log, name, 2)).text
        assert verify(journal.log) == () and projections_problems(journal.log) == []
        assert anchors.check_anchor(journal.log, note, public, int(time.time())).later > 0
        assert redact(journal.log, Target("a", page_id=page), at_us=6, everywhere=True).status == "nothing"


def test_other_sessions_keep_the_text_unless_asked(path):
    """Without `everywhere` the text stays where another session holds it, and that session is named."""
    text = canary()
    with Journal.open(path) as journal:
        page = talk(journal, "a", text)
        talk(journal, "b", text)
        done = redact(journal.log, Target("a", page_id=page), at_us=5)
        assert (done.status, done.held_by, done.bodies) == ("erased", ("b",), 0)
        assert trails(journal.log) == {"a"}
        with journal.session("b") as other:
            assert text in other.read_page(page)
        with journal.session("a") as session:
            assert session.read_page(page) == ""
        assert verify(journal.log) == ()


def test_the_salts_of_prompts_that_showed_it_go_too(path):
    """With its salt, a prompt's commitment would confirm a guess at the erased text."""
    with Journal.open(path) as journal:
        page = talk(journal, "a", canary())
        assert prompt_at(journal.log, "a").matches
        redact(journal.log, Target("a", page_id=page), at_us=5)
        assert prompt_at(journal.log, "a").matches is None
        assert prompt_at(journal.log, "a", 8).matches  # the prompt before it was read


def test_a_reader_in_the_way_leaves_it_pending_and_the_next_open_finishes(path):
    """LAW-ERASE-1: rows are gone at once, traces when the reader is."""
    text = canary()
    with Journal.open(path) as journal:
        page = talk(journal, "a", text)
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM blobs").fetchone()
        done = redact(journal.log, Target("a", page_id=page), at_us=5)
        assert done.status == "pending" and journal.log.pending_erasures()
    assert left(path, text)
    reader.execute("COMMIT")
    reader.close()
    with Journal.open(path) as journal:
        assert journal.log.pending_erasures() == ()
        assert not left(path, text)
        assert verify(journal.log) == ()


def test_read_models_without_room_leave_it_pending(path, monkeypatch):
    """The rows are gone by then, so it does not raise as if nothing were erased; the next open finishes it."""
    text = canary()

    def full(log):
        raise JournalFull("no room")

    with Journal.open(path) as journal:
        page = talk(journal, "a", text)
        with monkeypatch.context() as patched:
            patched.setattr("clawvm_es.history.redact.projections.catch_up", full)
            done = redact(journal.log, Target("a", page_id=page), at_us=5)
        assert done.status == "pending" and done.trails and journal.log.pending_erasures()
    with Journal.open(path) as journal:
        assert journal.log.pending_erasures() == ()
        assert verify(journal.log) == ()
    assert not left(path, text)


def test_the_same_again_finishes_what_was_pending(path):
    """LAW-REDACT-3: a redaction that finds nothing to erase still finishes the one before it."""
    text = canary()
    with Journal.open(path) as journal:
        page = talk(journal, "a", text)
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM blobs").fetchone()
        redact(journal.log, Target("a", page_id=page), at_us=5)
        reader.close()
        head = journal.log.heads()
        assert redact(journal.log, Target("a", page_id=page), at_us=6).status == "erased"
        assert journal.log.heads() == head
        assert not left(path, text)


def test_a_value_published_to_a_shared_scope_goes_with_it(path):
    """LAW-REDACT-2: the scope's stream, and sessions that learned the value, say so; later commits still agree."""
    text = canary()
    with Journal.open(path) as journal:
        for name in ("a", "b"):
            with journal.session(name, project="team", counter="lines4", settings=SETTINGS) as session:
                evidence = session.user_says("remember this")
                if name == "a":
                    session.stage(
                        "note", "set_with_version", text, scope="project", evidence=evidence, base_version=0
                    )
                session.save()
        done = redact(journal.log, Target(matches=re.compile(text).search), at_us=5)
        assert done.status == "erased" and not left(path, text)
        assert trails(journal.log) == {"a", "b", "scope:team"}
        with journal.session("a", settings=SETTINGS) as session:
            assert session.value("note", "project") is None
            session.stage("note", "set_with_version", "new", scope="project", evidence=evidence, base_version=1)
            session.save()
        with journal.session("b", settings=SETTINGS) as session:
            session.save()
            assert session.value("note", "project") == "new"
            assert state_at(journal.log, "a").scopes == session.state.scopes
        assert verify(journal.log) == () and projections_problems(journal.log) == []
        assert redecide(read_session(journal.log, "b")) > 0


def test_everything_of_a_session_goes_and_others_stay(path):
    """By session: no text of it is left; the others open as before, and it can be closed before or gone on with."""
    ours, theirs = canary(), canary()
    with Journal.open(path) as journal:
        talk(journal, "a", ours)
        with journal.session("a") as session:
            session.close()
        page = talk(journal, "b", theirs)
        done = redact(journal.log, Target("a", everything=True), at_us=5)
        assert done.status == "erased" and not left(path, ours)
        assert all(stored is None for stored in (journal.log.stored(c) for c in json_names(journal.log, "a")))
        with journal.session("b") as other:
            assert theirs in other.read_page(page)
        assert verify(journal.log) == ()


def json_names(log, session_id):
    """Every 64 hex digits in a session's inputs before its erasure."""
    rows = (row for row in log.read(session_id) if row.kind == "input" and not isinstance(row.data, ContentRedacted))
    names = {name for row in rows for name in re.findall(r"[0-9a-f]{64}", json.dumps(json.loads(row.raw)))}
    own = {name for row in log.read("b") for name in re.findall(r"[0-9a-f]{64}", row.raw.decode())}
    return names - own


def test_a_dry_run_says_what_would_go_and_changes_nothing(path):
    """A plan names streams, bodies and bytes; the log is as before."""
    text = canary()
    with Journal.open(path) as journal:
        page = talk(journal, "a", text)
        before = journal.log.heads()
        plan = redact(journal.log, Target("a", page_id=page), at_us=5, dry_run=True)
        assert plan.status == "planned" and plan.bodies >= 2 and journal.log.heads() == before
        done = redact(journal.log, Target("a", page_id=page), at_us=5)
        assert (done.bodies, done.size_bytes, done.commitments) == (plan.bodies, plan.size_bytes, plan.commitments)


def test_an_earlier_content_can_go_while_the_page_stays(path):
    """A pattern that only an earlier content holds erases that content; the page stands as it is now."""
    text = canary()
    with Journal.open(path) as journal:
        with journal.session("a", counter="lines4") as session:
            page = session.write_page("plan", f"Goal: {text}\n1. [ ] build", author="model")
            session.assemble()
            session.write_page("plan", "Goal: ship\n1. [ ] build", page_id=page, author="model")
            session.assemble()
        done = redact(journal.log, Target("a", matches=re.compile("canary").search), at_us=5)
        assert done.trails[0].pages == () and not left(path, text)
        with journal.session("a") as session:
            assert "ship" in session.assemble().text
        assert verify(journal.log) == ()


def test_a_required_page_that_is_erased_is_pressure(path):
    """A redacted page has no level left; if it was required, `invariant_pressure` says so with its reason."""
    with Journal.open(path) as journal:
        with journal.session("a", counter="lines4") as session:
            page = session.write_page("bootstrap", f"- Never tell {canary()}.")
            session.assemble()
        redact(journal.log, Target("a", page_id=page), at_us=5)
        found = [row for row in journal.log.read("a") if row.type == "invariant_pressure_observed"]
        assert [str(row.data.reason) for row in found] == ["redacted"]
        assert page not in state_at(journal.log, "a").resident


@pytest.mark.parametrize(
    "target",
    [
        Target("nobody", everything=True),
        Target("a", page_id="p99"),
        Target("a", body="abc"),
        Target("a", body="f" * 64),
        Target("a"),
        Target(everything=True),
        Target("a", page_id="p1", everything=True),
    ],
    ids=str,
)
def test_what_does_not_exist_is_refused(path, target):
    """An unknown session, page or body, or not exactly one thing to erase: a usage error, and nothing changes."""
    with Journal.open(path) as journal:
        talk(journal, "a", "text")
        before = journal.log.heads()
        with pytest.raises(UsageError):
            redact(journal.log, target, at_us=5)
        assert journal.log.heads() == before


def test_a_journal_in_memory_forgets_as_well():
    """The contract is the log's: also in memory bodies are gone, and every stream says so."""
    text = canary()
    with Journal.open(":memory:") as journal:
        page = talk(journal, "a", text)
        talk(journal, "b", text)
        assert redact(journal.log, Target("a", page_id=page), at_us=5, everywhere=True).status == "erased"
        assert trails(journal.log) == {"a", "b"}
        assert not any(text.encode() in body.body for body in journal.log._stored.values() if not body.sealed)


def test_a_seeded_journal_says_that_its_commitments_can_be_guessed(path):
    """Where salts follow from a seed, whoever knows it can check a guess."""
    with Journal.open(path, seed=1) as journal:
        page = talk(journal, "a", "text")
        assert redact(journal.log, Target("a", page_id=page), at_us=5).guessable


def test_pieces_are_spread_over_all_bodies():
    """Every long body is searched for, whatever their number; short ones tell nothing."""
    bodies = [secrets.token_bytes(1000) for _ in range(50)]
    found = pieces([*bodies, b"short"])
    assert all(any(piece in body for piece in found) for body in bodies)
    assert len(pieces([secrets.token_bytes(100) for _ in range(500)])) <= 64


def test_a_file_that_is_imported_again_does_not_bring_the_text_back(tmp_path, path):
    """After an erasure the same recording appends nothing, is no conflict, and stores nothing of it."""
    text = canary()
    rows = [{"role": "user", "content": f"look at {text}"}, {"role": "assistant", "content": "I did"}]
    file = tmp_path / "chat.json"
    file.write_text(json.dumps([{"task_id": 1, "trial": 0, "reward": 1, "traj": rows}]))
    with Journal.open(path) as journal:
        (first,) = replay(journal, file)
        redact(journal.log, Target(first.session_id, matches=re.compile(text).search), at_us=5)
        (again,) = replay(journal, file, again=True)
        assert again.appended == 0 and not left(path, text)


@pytest.mark.parametrize(
    "secret",
    [
        "ghp_" + "a1B2" * 9,
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "sk-ant-" + "x" * 40,
        "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIB" * 40 + "\n-----END RSA PRIVATE KEY-----",
        "postgres://admin:hunter22@db.example.org/x",
    ],
    ids=["github", "aws", "anthropic", "pem", "url"],
)
def test_secrets_are_kept_out_where_asked(path, secret):
    """LAW-SECRET-1: with `hide_secrets` a credential reaches neither file nor prompt; the text around it does."""
    core = secret.splitlines()[1] if "\n" in secret else secret.split("@")[0][-16:]
    with Journal.open(path, hide_secrets=True) as journal:
        with journal.session("a", counter="lines4", settings=SETTINGS) as session:
            session.write_page("constraint", f"- Never use {secret} at work.")
            session.user_says(f"my key is {secret}, keep it")
            (call,) = session.observe_model(f"I use {secret}", [("curl", {"header": secret})])
            evidence = session.observe_result(call, f"token {secret} ok", source=f"curl {secret}")
            session.stage("note", "append", {"key": secret}, evidence=evidence)
            prompt = session.assemble().text
            session.save()
        assert core not in prompt and "hidden]" in prompt and "keep it" in prompt
        assert not left(path, core)
        assert prompt_at(journal.log, "a").matches
    with Journal.open(path) as journal, journal.session("a", settings=SETTINGS) as session:  # it stays as it began
        session.observe_model("", [("curl", {"header": secret})])
        assert session.state.calls[2].signature == session.state.calls[1].signature


def test_what_was_built_of_an_answer_s_texts_goes_with_them(tmp_path):
    """Erased arguments take their stub and the answer's native form along, an erased page its own native form."""
    with Journal.open(tmp_path / "j.db") as journal:
        with journal.session("s", counter="lines4") as session:
            calls = [("write", {"path": "here", "content": "long " * 99}), ("read", {"path": "b"})]
            session.observe_model("I write", calls, native=[{"input": {"path": "here"}}])
            page = session.observe_result(2, "a picture", native=[{"type": "image"}])
        rows = {row.data.TYPE: row.data for row in journal.log.read("s") if row.type != "tool_called"}
        called = next(row.data for row in journal.log.read("s") if row.type == "tool_called")
        open_ = journal.log.vault("s").open
        stub, native = called.levels[1].body, rows["model_responded"].native
        assert open_(stub) is not None and open_(native) is not None
        redact(journal.log, Target("s", body=called.arguments), at_us=1)
        assert [open_(name) for name in (called.arguments, stub, native)] == [None] * 3
        assert open_(rows["tool_returned"].native) is not None
        redact(journal.log, Target("s", page_id=page), at_us=1)
        assert open_(rows["tool_returned"].native) is None
