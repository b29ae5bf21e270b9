"""Servers and roles that cannot do what is asked: each says so in one line, and nothing is half done."""

from __future__ import annotations

import os
import pickle
import re
import threading
import time
from contextlib import contextmanager
from functools import partial
from itertools import count, product

import pytest

from clawvm_es import storage
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import (
    ClawVMError,
    JournalBusy,
    JournalDamaged,
    JournalReadOnly,
    JournalTooNew,
    JournalUnreachable,
    NotAJournal,
    TailLost,
    UnknownEvent,
    UnreadableInput,
    UsageError,
    VersionConflict,
)
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.ports import Capability, Durability
from clawvm_es.model.events import ToolCalled
from clawvm_es.testing import FakeClock
from clawvm_es.testing.logs import budget, new, used

pytest.importorskip("psycopg")
from clawvm_es.storage.postgres import log as postgres_log
from clawvm_es.storage.postgres import schema

SECRET = "hunter2-very-secret"


def assert_one_line(kind: type[ClawVMError], call) -> str:
    """The text of the error that a call raises: one line, that survives pickling, without a password."""
    with pytest.raises(kind) as caught:
        call()
    said = str(caught.value)
    assert len(said.splitlines()) == 1 and SECRET not in said
    assert str(pickle.loads(pickle.dumps(caught.value))) == said
    return said


def schema_of(url: str) -> str:
    """The schema that a URL of the tests names."""
    return url.rpartition("schema=")[2]


def made(url: str) -> str:
    """The same URL, of a journal that is there, with one event."""
    with storage.open_log(url) as log:
        log.append("s", [budget(1)])
    return url


# ------------------------------------------------------------------------------------------ servers


def test_a_server_that_is_not_there():
    """Nothing listens: one line names the place without the password, at once."""
    url = f"postgresql://me:{SECRET}@127.0.0.1:1/db"
    for call in (storage.open_log, storage.exists, storage.verify):
        said = assert_one_line(JournalUnreachable, lambda call=call: call(url))
        assert "postgresql://me@127.0.0.1:1/db" in said and "refused" in said


def test_a_database_or_role_that_is_not_there(server):
    """The server says no: its own words, in one line."""
    for url in (f"postgresql://postgres@127.0.0.1:{server.port}/none", server.url(role="nobody")):
        assert "does not exist" in assert_one_line(JournalUnreachable, lambda url=url: storage.open_log(url))


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@host:port/db",
        f"postgresql://me:{SECRET}@host/db?no_such=1",
        f"postgresql://host/db?password={SECRET}&no_such=1",
        f"postgresql://me:{SECRET}@host/db?schema=Robert'); DROP",
        f"postgresql://me:{SECRET}@host/db?normal=maybe",
    ],
)
def test_a_url_that_cannot_be_read(url):
    """A URL that libpq does not read, or with a wrong part of ours, is wrong usage and shows no password."""
    assert_one_line(ClawVMError, lambda: storage.open_log(url))


def test_an_older_server(server, url, monkeypatch):
    """A server older than we know is refused by its version."""
    from clawvm_es.storage.postgres import server as connecting

    monkeypatch.setattr(connecting, "SERVER_MIN", 99)
    assert "a journal needs 99 or newer" in assert_one_line(UsageError, lambda: storage.open_log(url))


def test_no_journal_is_there(server, url):
    """To read, verify or look for a journal makes none."""
    assert not storage.exists(url)
    assert "no journal here" in assert_one_line(UnreadableInput, lambda: storage.open_log(url, read_only=True))
    assert "no journal here" in assert_one_line(UnreadableInput, lambda: storage.verify(url))
    assert not storage.exists(url)


def test_a_journal_whose_making_fails_is_not_there(server, url, monkeypatch):
    """All of it is made or none: whoever opens the place next makes it whole."""
    statements = schema.statements
    with monkeypatch.context() as patched:
        patched.setattr(schema, "statements", lambda address: [*statements(address), "SELECT 1 / 0"])
        with pytest.raises(ClawVMError):
            storage.open_log(url)
    assert not storage.exists(url)
    assert "no journal here" in assert_one_line(UnreadableInput, lambda: storage.open_log(url, read_only=True))
    made(url)
    assert storage.exists(url) and storage.verify(url) == ()


def test_another_program_has_the_schema(server, url):
    """A schema with somebody's own `events` is not ours, and stays as it is."""
    server.run(f"CREATE SCHEMA {schema_of(url)}", f"CREATE TABLE {schema_of(url)}.events (x int)")
    assert "another program" in assert_one_line(NotAJournal, lambda: storage.open_log(url))


def test_a_schema_that_is_a_word_of_sql(server):
    """A name that SQL keeps for itself is wrong usage, and leaves nothing."""
    url = server.url("user")
    assert "schema=user is a word of SQL" in assert_one_line(UsageError, lambda: storage.open_log(url))
    assert not storage.exists(url)


def test_a_newer_journal(server, url):
    """A journal of a later format is refused."""
    name = schema_of(made(url))
    server.run("SET session_replication_role = replica", f"UPDATE {name}.journal SET format = 99")
    assert "format 99" in assert_one_line(JournalTooNew, lambda: storage.open_log(url))


def test_a_server_that_takes_no_writes(server, url):
    """A role set to read only can read; every write is refused with the reason."""
    made(url)
    server.run("CREATE ROLE onlyreads LOGIN SUPERUSER", "ALTER ROLE onlyreads SET default_transaction_read_only = on")
    with storage.open_log(url.replace("postgres@", "onlyreads@")) as log:
        assert log.read_only and len(list(log.read_all())) == 1
        assert "take no writes" in str(assert_one_line(JournalReadOnly, lambda: log.append("s", [budget(2)])))


@pytest.mark.sweep(sample=1)
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_another_isolation_level(server, url, level):
    """READ COMMITTED is forced whatever the role's default is; the function itself refuses another one."""
    made(url)
    role = level.replace(" ", "")
    server.run(
        f"CREATE ROLE {role} LOGIN SUPERUSER", f"ALTER ROLE {role} SET default_transaction_isolation = '{level}'"
    )
    own = url.replace("postgres@", f"{role}@")
    with storage.open_log(own) as one, storage.open_log(own) as other:
        for n in range(3):
            one.append("s", [budget(n)])
            other.append("s", [budget(n)])
            with other.transaction() as transaction:
                transaction.append("t", [budget(n)])
        assert [each.seq for each in one.read_all()] == list(range(1, 11)) and storage.verify(one) == ()
    import psycopg

    with pytest.raises(psycopg.errors.InvalidTransactionState, match="READ COMMITTED"):
        nothing = ", ".join(["NULL"] * 22)
        server.run(f"SELECT {schema_of(url)}.append({nothing})", role=role)


def test_another_writer_holds_the_lock(server, url):
    """A writer that waits longer than it may gives up, and says who is in the way."""
    made(url)
    with storage.open_log(url, wait_s=0.05) as one, storage.open_log(url, wait_s=0.05) as other:
        other.append("s", [budget(2)])
        with one.transaction() as transaction:
            transaction.append("s", [budget(3)])
            assert "holds the journal" in assert_one_line(JournalBusy, lambda: other.append("s", [budget(4)]))
            assert "holds the journal" in assert_one_line(JournalBusy, lambda: other.append("t", [budget(4)]))
        assert other.append("s", [budget(5)]).version == 4


# -------------------------------------------------------------------------------------------- roles


@pytest.fixture
def roles(server, url):
    """A journal with one session, and the URLs of its owner, a writer, a reader and a stranger."""
    name = schema_of(url)
    storage.initialize(url, writer=f"{name}_w", reader=f"{name}_r")
    assert storage.initialize(url, writer=f"{name}_w", reader=f"{name}_r") == [
        f"the role {name}_w may read and append",
        f"the role {name}_r may read",
    ]
    server.run(f"ALTER ROLE {name}_w LOGIN", f"ALTER ROLE {name}_r LOGIN", f"CREATE ROLE {name}_x LOGIN")
    with Journal.open(url, clock=FakeClock()) as journal, journal.session("s", counter="lines4") as session:
        session.user_says("hello")
    return {role: url.replace("postgres@", f"{name}_{role}@") for role in "wrx"}


def test_a_writer_works_and_does_not_erase(roles):
    """A writer records sessions with read models and snapshots; `redact` is refused, since only the owner deletes."""
    with Journal.open(roles["w"], clock=FakeClock()) as journal:
        with journal.session("t", counter="lines4") as session:
            session.user_says("a canary")
            session.assemble()
        assert Capability.ERASE not in journal.log.capabilities and storage.verify(journal.log) == ()
        assert_one_line(UsageError, lambda: redact(journal.log, Target("t", everything=True), at_us=1))


def test_an_append_is_one_statement(server, url):
    """An append to a stream that the log knows is one statement, with its commit and flush; a step asks nothing else.

    A journal that was made before there was such a procedure takes several, says so, and is brought on by `init`.
    """
    with storage.open_log(made(url)) as log:
        log.append("s", [budget(2)])
        with counted(log) as sent:
            for n, durability in enumerate(Durability):
                log.append("s", [budget(n), used()], durability=durability)
        assert [each.split("(")[0] for each in sent] == ["CALL {s}.append_and_commit"] * len(Durability)
    with Journal.open(url, clock=FakeClock()) as journal, journal.session("t", counter="lines4") as session:
        with counted(journal.log) as sent:
            page = session.user_says("hello", key="k")
        assert [each.split("(")[0] for each in sent] == ["CALL {s}.append_and_commit"], "so is one under a fresh key"
        with pytest.raises(VersionConflict):
            journal.log.append("t", [budget(5, "k")], 1, version_first=True)
        assert session.user_says("hello", key="k") == page
    server.run(f"DROP PROCEDURE {schema_of(url)}.append_and_commit")
    bad = [each for each in storage.doctor(url) if not each.good and each.what != "durability"]
    assert [each.what for each in bad] == ["appends"] and "clawvm pg init URL" in bad[0].detail
    with storage.open_log(url) as log, counted(log) as sent:
        assert log.append("s", [budget(3)]).version == log.append("s", [budget(4)]).version - 1
        assert len(sent) > 8 and storage.verify(log) == ()
    assert storage.initialize(url, writer=None, reader=None) == ["added the procedure of one-trip appends"]
    assert storage.initialize(url, writer=None, reader=None) == [] and storage.verify(url) == ()


@contextmanager
def counted(log):
    """The statements that a log sends within the block."""
    from clawvm_es.storage.postgres.server import Line

    sent: list[str] = []
    run = Line.run

    def kept(line, template, values=()):
        sent.append(template)
        return run(line, template, values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Line, "run", kept)
        yield sent


def test_a_reader_reads(roles):
    """A reader's log is read only, and says why."""
    with storage.open_log(roles["r"]) as log:
        assert log.read_only and list(log.read_all()) and storage.verify(log) == ()
        assert "may not append" in assert_one_line(JournalReadOnly, lambda: log.append("s", [budget(1)]))


def test_a_stranger_is_told_what_to_ask_for(roles):
    """A role without rights gets one line, with the command that grants them; making a journal is refused, too."""
    assert "clawvm pg init URL --reader" in assert_one_line(UsageError, lambda: storage.open_log(roles["x"]))
    other = re.sub(r"schema=\w+", "schema=elsewhere", roles["x"])
    assert "may not make one" in assert_one_line(UsageError, lambda: storage.open_log(other))
    assert_one_line(UsageError, lambda: storage.initialize(other, writer=None, reader=None))


def test_who_may_not_grant_or_add_is_told_who_may(server, roles, url):
    """Neither writer nor reader makes a role, grants rights or adds what lacks; nothing of it is left half done."""
    name = schema_of(url)
    there = server.run("SELECT rolname FROM pg_roles ORDER BY rolname")
    for role, writer in product("wr", (f"{name}_new", f"{name}_x")):
        told = assert_one_line(UsageError, partial(storage.initialize, roles[role], writer=writer))
        assert "permission denied" in told and "owner of the database" in told
    assert server.run("SELECT rolname FROM pg_roles ORDER BY rolname") == there
    assert_one_line(UsageError, lambda: storage.open_log(roles["x"]))
    server.run(f"DROP PROCEDURE {name}.append_and_commit")
    for role in "wr":
        told = assert_one_line(UsageError, partial(storage.initialize, roles[role]))
        assert "permission denied" in told and "journal's owner" in told
    assert storage.initialize(url, writer=None, reader=None) == ["added the procedure of one-trip appends"]


ATTACKS = (
    "INSERT INTO {s}.events SELECT seq + 1, session_id, version + 1, turn, kind, type, schema_version, at, principal,"
    " cause, NULL, data, prev_hash, hash FROM {s}.events ORDER BY seq DESC LIMIT 1",
    "UPDATE {s}.events SET turn = 9",
    "DELETE FROM {s}.events",
    "TRUNCATE {s}.events",
    "UPDATE {s}.commitments SET salt = ''",
    "DELETE FROM {s}.commitments",
    "DELETE FROM {s}.blobs",
    "UPDATE {s}.journal SET id = 'x'",
    "ALTER TABLE {s}.events DISABLE TRIGGER ALL",
    "DROP FUNCTION {s}.append",
    "CREATE OR REPLACE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "SET session_replication_role = replica",
)


@pytest.mark.parametrize("role", ["w", "r"])
def test_roles_are_kept_to_their_rights(server, roles, url, role):
    """Neither writer nor reader changes what is stored, or a guard, by any statement of their own."""
    import psycopg

    name = schema_of(url)
    for statement in ATTACKS:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            server.run(statement.replace("{s}", name), role=f"{name}_{role}")
    assert storage.verify(url) == ()


def test_a_guard_that_is_gone_is_a_problem(server, url):
    """The owner can switch guards off: `verify` and `doctor` say so."""
    name = schema_of(made(url))
    assert all(each.good for each in storage.doctor(url) if each.what != "durability")
    server.run(
        f"ALTER TABLE {name}.events DISABLE TRIGGER events_update", f"DROP TRIGGER events_delete ON {name}.events"
    )
    said = [str(each) for each in storage.verify(url)]
    assert said == ["events_update: schema: is switched off", "events_delete: schema: is missing"]
    assert [each.what for each in storage.doctor(url) if not each.good] == ["durability", "guards"]


# -------------------------------------------------------------------------------------- connections


@pytest.mark.sweep(sample=1)
@pytest.mark.parametrize("key", [None, "k"])
def test_a_cut_at_every_message_leaves_all_or_nothing(server, proxy, url, key):
    """LAW-PG-3: wherever the connection is cut, in either direction, an append is there exactly once."""
    from tests.storage.postgres.places import through

    with storage.open_log(through(proxy, made(url)), wait_s=30) as log:
        version = log.append("s", [budget(0)]).version
        for at in count(1):
            body = log.vault("s").commit(b"body %d" % at)
            group = [new(ToolCalled(at, "tool", body), key and f"{key}{at}"), used()]
            with proxy.cut(at, lambda side, kind, payload: kind != b"X") as cut:
                head = log.append("s", group, expected=version, durability=Durability.FULL)
            version += 2
            assert head.version == version and log.vault("t").open(body) == b"body %d" % at
            if not cut.came:
                break
        assert at > 10
        assert [each.version for each in log.read("s")] == list(range(1, version + 1)) and storage.verify(log) == ()


def test_an_answer_that_comes_too_late_appends_nothing(server, url):
    """LAW-PG-3: an event that was not found under the lock cannot come later: its connection is ended."""
    from clawvm_es.storage.postgres import appending

    with storage.open_log(made(url)) as log, storage.open_log(url) as other:
        with other.server.line() as slow:  # a writer whose client is gone
            slow.run("BEGIN ISOLATION LEVEL READ COMMITTED")
            slow.run("SELECT 1")
            mark = appending.Mark("s", 2, b"x" * 32)
            assert appending.landed(log.server, mark, slow.token, ValueError()) is None
            assert server.run(f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{slow.token}'") == []
        assert log.append("s", [budget(2)]).version == 2


def test_connections_that_the_server_ended_are_made_anew(server, url):
    """A restart between two calls costs nothing but time, for reads and for writes."""
    with storage.open_log(made(url)) as log:
        log.append("s", [budget(2)])
        for n in (3, 4):
            server.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'clawvm-es %'"
            )
            if n == 3:
                assert log.heads()[0].version == 2
            assert log.append("s", [budget(n)]).version == n


def test_a_tail_that_was_lost_is_said(server, url):
    """A live log whose stream went back says so, once, and goes on from what is there."""
    with storage.open_log(made(url)) as log:
        for n in range(5):
            log.append("s", [budget(n)])
        server.run("SET session_replication_role = replica", f"DELETE FROM {schema_of(url)}.events WHERE version > 3")
        said = assert_one_line(TailLost, lambda: log.append("s", [budget(9)]))
        assert "tail lost: v6 → v3" in said
        assert log.append("s", [budget(9)], expected=3).version == 4


def test_a_killed_backend_loses_nothing_that_was_full(server, url):
    """LAW-PG-2: after kill −9 of a backend, FULL lost nothing, NORMAL (normal=off) a suffix, which is said."""
    with storage.open_log(f"{made(url)}&normal=off", wait_s=60) as log:
        full = log.append("s", [budget(n) for n in range(3)], durability=Durability.FULL)
        last = max(log.append("s", [budget(n)]).version for n in range(3))
        (pid,) = server.run("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'clawvm-es %' LIMIT 1")[0]
        os.kill(pid, 9)
        lost = None
        try:
            version = log.append("s", [budget(7)], durability=Durability.FULL).version
        except TailLost as error:
            lost = re.search(r"v(\d+) → v(\d+)", str(error))
            version = log.append("s", [budget(7)], durability=Durability.FULL).version
        kept = int(lost[2]) if lost else last
        assert full.version <= kept <= last and version == kept + 1
        assert (lost is None) == (kept == last) and storage.verify(log) == ()


def test_a_notice_wakes_and_the_log_says(server, url):
    """`wait` returns when something was appended, at once where it is there already, and False after its time."""
    with storage.open_log(made(url)) as log, storage.open_log(url) as other:
        assert log.wait(0, 0.0) and not log.wait(1, 0.01)
        late = threading.Thread(target=lambda: other.append("s", [budget(2)]))
        late.start()
        assert log.wait(1, 600)
        late.join()


def test_twenty_writers_make_one_order(server, url):
    """LAW-LOG-1: writers in threads over one log and over their own lose, double and skip nothing."""
    made(url)
    with storage.open_log(url, wait_s=60) as shared:

        def write(number):
            with storage.open_log(url, wait_s=60) as own:
                for n in range(4):
                    (own if number % 2 else shared).append(
                        f"own{number}", [budget(n), used()], durability=Durability.FULL
                    )
                    while True:
                        head = own.head("s")
                        try:
                            own.append("s", [budget(n)], expected=head.version)
                            break
                        except VersionConflict:
                            continue

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [each.seq for each in shared.read_all()] == list(range(1, 1 + 1 + 8 * 4 * 3))
        assert storage.verify(shared) == ()


@pytest.mark.parametrize(
    ("column", "value", "error", "says"),
    [
        ("type", "novelty", UnknownEvent, "novelty"),
        ("data", "{", JournalDamaged, ""),
        ("data", "[]", JournalDamaged, ""),
    ],
)
def test_an_event_that_cannot_be_read_is_named(server, url, column, value, error, says):
    """A type of a newer program, and what is no event: session, version and place in the log."""
    with storage.open_log(url) as log:
        log.append("s", [budget(1), budget(2)])
        changed = f"UPDATE {schema_of(url)}.events SET {column} = '{value}' WHERE seq = 2"
        server.run("SET session_replication_role = replica", changed)
        with pytest.raises(error, match=rf"session s version 2 \(seq 2\).*{says}"):
            list(log.read("s"))
        assert [row.version for row in log.read("s", upto=1)] == [1]


def test_heads_are_right_however_few_are_remembered(server, url, monkeypatch):
    """Heads that were forgotten are asked of the server again; each append goes on from the last."""
    monkeypatch.setattr(postgres_log, "_SPOTS_CACHED", 2)
    with storage.open_log(url) as log:
        for turn in range(1, 4):
            for name in "abcd":
                head = log.append(name, [budget(turn)], turn - 1)
                assert (head.version, log.head(name).hash) == (turn, head.hash)
                assert len(log._spots) <= 4
        assert [head.version for head in log.heads()] == [3] * 4
    assert storage.verify(url) == ()


def test_a_gap_among_the_hashes_is_damage(server, url):
    """Hashes are given for each event in turn, and not beyond one that is missing or has none."""
    with storage.open_log(url) as log:
        log.append("s", [budget(1), budget(2), budget(3)])
        hashes = [row.hash for row in log.read_all()]
        assert list(log.hashes(0, 3)) == hashes and list(log.hashes(1, 2)) == hashes[1:2]
        with pytest.raises(JournalDamaged, match="the log ends at seq 3, before 4"):
            list(log.hashes(0, 4))
        server.run("SET session_replication_role = replica", f"DELETE FROM {schema_of(url)}.events WHERE seq = 2")
        with pytest.raises(JournalDamaged, match="there is no event with seq 2 and a hash"):
            list(log.hashes(0, 3))


def test_a_journal_on_a_server_says_when_it_was_made(server, url):
    """In UTC microseconds of the program that made it, and the same ever after."""
    before = time.time_ns() // 1000
    with storage.open_log(url) as log:
        made_at = log.created_at_us
    assert before <= made_at <= time.time_ns() // 1000
    with storage.open_log(url, read_only=True) as log:
        assert log.created_at_us == made_at
