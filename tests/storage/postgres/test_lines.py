"""Connections without a server: which are kept, which are given up, and what errors of the driver mean."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from clawvm_es import errors

psycopg = pytest.importorskip("psycopg")
from psycopg.pq import TransactionStatus  # noqa: E402

from clawvm_es.storage.postgres import appending, erasing, server, waking  # noqa: E402
from clawvm_es.storage.postgres.address import parse  # noqa: E402
from clawvm_es.storage.postgres.server import Line, Server, translate  # noqa: E402

PLACE = "postgresql://ann@db:5433/agents"
ADDRESS = parse(f"{PLACE}?schema=team")


class Db:
    """A connection that remembers what it was told; `fails` is raised by the next statement."""

    def __init__(self, version: int = 150_002) -> None:
        self.closed = self.broken = False
        self.info = SimpleNamespace(server_version=version, transaction_status=TransactionStatus.IDLE)
        self.adapters = SimpleNamespace(register_dumper=lambda *given: self.dumpers.append(given))
        self.dumpers: list[tuple[object, ...]] = []
        self.told: list[tuple[object, ...]] = []
        self.fails: Exception | None = None

    def execute(self, *told: object, **options: object) -> list[tuple[object, ...]]:
        """Remember a statement."""
        self.told.append((*told, *options.items()))
        if self.fails is not None:
            raise self.fails
        if told[0] == b"ROLLBACK":
            self.info.transaction_status = TransactionStatus.IDLE
        return []

    def close(self) -> None:
        """Close it."""
        self.closed = True


@pytest.fixture
def made() -> list[Db]:
    """The connections that `ours` made."""
    return []


@pytest.fixture
def ours(made) -> Server:
    """A server that always lets in."""

    def connect(conninfo: str, **settings: object) -> Db:
        token = settings.pop("application_name")
        assert isinstance(token, str) and len(token) == len("clawvm-es ") + 16
        assert (conninfo, settings) == (
            PLACE,
            {"autocommit": True, "prepare_threshold": None, "client_encoding": "utf8"},
        )
        made.append(Db())
        return made[-1]

    return Server(ADDRESS, 0.1, connect)


def test_a_whole_connection_is_used_again(ours, made) -> None:
    """One after the other over one connection; at once over several, of which four are kept."""
    for _ in range(3):
        with ours.line() as line:
            assert line.address is ADDRESS and line.pid == os.getpid()
    assert len(made) == 1 and len(made[0].dumpers) == 1
    lines = [ours.line() for _ in range(6)]
    for line in lines:
        line.__enter__()
    for line in lines:
        line.__exit__(None, None, None)
    assert [db.closed for db in made] == [False] * 4 + [True] * 2
    ours.close()
    assert all(db.closed for db in made)
    with ours.line():
        assert len(made) == 7


@pytest.mark.parametrize("how", ["closed", "broken"])
def test_a_connection_that_is_gone_is_not_used_again(ours, made, how) -> None:
    """Neither one that broke in use, nor one that broke while nobody used it."""
    with ours.line():
        setattr(made[0], how, True)
    with ours.line():
        assert len(made) == 2
    assert made[0].told == [] and made[0].closed
    setattr(made[1], how, True)
    with ours.line():
        assert len(made) == 3


def test_a_connection_of_the_parent_process_is_left_to_it(ours, made, monkeypatch) -> None:
    """It is kept from being closed here, which would end the parent's."""
    left: list[Line] = []
    monkeypatch.setattr(server, "_LEFT", left)
    with ours.line() as line:
        line.pid = os.getpid() + 1
    with ours.line():
        assert [each.db for each in left] == [made[0]] and not made[0].closed
    assert len(made) == 2


@pytest.mark.parametrize("status", [TransactionStatus.INTRANS, TransactionStatus.INERROR])
def test_a_transaction_that_is_open_is_rolled_back(ours, made, status) -> None:
    """Then the connection is whole again; where that fails it is closed."""
    for fails, closed in ((None, False), (psycopg.OperationalError("gone"), True)):
        with ours.line():
            made[-1].info.transaction_status = status
            made[-1].fails = fails
        assert made[-1].told == [(b"ROLLBACK",)] and made[-1].closed is closed
        made[-1].told.clear()


def test_statements_name_the_schema_and_answers_are_binary() -> None:
    """No values are given as none, so that the driver does not look for places to put them."""
    line = Line(Db(), ADDRESS, "token")
    line.run("SELECT 1 FROM {s}.events")
    line.run("SELECT %s", (7,))
    assert line.db.told == [
        (b"SELECT 1 FROM team.events", None, ("binary", True)),
        (b"SELECT %s", (7,), ("binary", True)),
    ]


def test_an_answer_of_one_cell_is_its_value(monkeypatch) -> None:
    """Of no row there is none; where exactly one is asked for, none and two are mistakes."""
    line = Line(Db(), ADDRESS, "token")
    for rows, first in (([], None), ([(3,)], 3), ([(0,), (4,)], 0)):
        monkeypatch.setattr(line.db, "execute", lambda *_, rows=rows, **__: iter(rows))
        assert line.value_or_none("SELECT 1") == first
        if len(rows) == 1:
            assert line.value("SELECT 1") == first
        else:
            with pytest.raises(ValueError, match="values to unpack"):
                line.value("SELECT 1")


@pytest.mark.parametrize(("version", "good"), [(129_999, False), (130_000, True), (160_004, True)])
def test_a_server_that_is_too_old_is_refused(version, good) -> None:
    """By its version and that of the oldest that a journal works with; the connection is closed."""
    db = Db(version)
    asked = Server(ADDRESS, 0.1, lambda *_, **__: db)
    if good:
        assert asked.fresh().db is db and not db.closed
        return
    with pytest.raises(errors.UsageError, match="the server is PostgreSQL 12") as caught:
        asked.fresh()
    assert caught.value.hint == "a journal needs 13 or newer" and db.closed


@pytest.mark.parametrize(
    ("said", "tries"),
    [
        ("connection refused", 2),
        ("FATAL: role does not exist", 1),
        ("FATAL: the database system is starting up", 2),
        ("FATAL: the database system is in recovery mode", 2),
    ],
)
def test_only_a_server_that_may_come_is_waited_for(monkeypatch, said, tries) -> None:
    """One that is there and says no is asked once; another is asked again after a pause."""
    pauses: list[float] = []
    monkeypatch.setattr(server.time, "sleep", pauses.append)
    asked: list[str] = []

    def connect(conninfo: str, **_: object) -> Db:
        asked.append(conninfo)
        if len(asked) < 2:
            raise psycopg.OperationalError(said)
        return Db()

    waiting = Server(ADDRESS, 60, connect)
    if tries == 1:
        with pytest.raises(errors.JournalUnreachable):
            waiting.fresh(patient=True)
    else:
        waiting.fresh(patient=True)
    assert (len(asked), len(pauses)) == (tries, tries - 1)


def test_a_url_that_libpq_does_not_read_is_wrong_usage() -> None:
    """Its error may hold the password, so that it is not passed on."""

    def connect(*_: object, **__: object) -> Db:
        raise psycopg.ProgrammingError("missing = after hunter2")

    with pytest.raises(errors.UsageError, match="is no URL that libpq reads") as caught:
        Server(ADDRESS, 0.1, connect).fresh()
    assert "hunter2" not in f"{caught.value}" and caught.value.__cause__ is None


STATES = {
    "55P03": errors.JournalBusy, "57014": errors.JournalBusy, "40P01": errors.JournalBusy,
    "25006": errors.JournalReadOnly, "0A000": errors.JournalReadOnly, "42501": errors.JournalReadOnly,
    "53100": errors.JournalFull, "53200": errors.JournalFull, "53300": errors.JournalFull,
    "54000": errors.JournalFull,
    "58030": errors.DiskFailed, "3F000": errors.NotAJournal, "42P01": errors.NotAJournal, "42883": errors.NotAJournal,
    "XX001": errors.JournalDamaged, "XX002": errors.JournalDamaged, "22P02": errors.UsageError,
    "08006": errors.JournalUnreachable, "28P01": errors.JournalUnreachable, "57P01": errors.JournalUnreachable,
    "57P03": errors.JournalUnreachable, "3D000": errors.JournalError, "42601": errors.JournalError,
    "40001": errors.JournalError, "23505": errors.JournalError,
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_each_state_of_sql_has_one_error(state) -> None:
    """Its first line, the place without the password, and what to do where anything can be done."""
    found = translate(psycopg.errors.lookup(state)("  said so \nDETAIL: more"), ADDRESS)
    assert type(found) is STATES[state]
    assert found.message == f"{ADDRESS.place}: said so"
    assert bool(found.hint) == (state[:2] in ("08", "28", "57") or state in server._CLASSES)


def test_an_error_without_a_state_is_one_of_the_connection_or_of_the_driver() -> None:
    """Without words its type is told."""
    assert type(translate(psycopg.OperationalError("gone"), ADDRESS)) is errors.JournalUnreachable
    assert type(translate(psycopg.InterfaceError("odd"), ADDRESS)) is errors.JournalError
    assert translate(psycopg.OperationalError(), ADDRESS).message == f"{ADDRESS.place}: OperationalError"


@pytest.mark.parametrize(
    ("row", "places"),
    [
        (("off", 0, 0, 0), []),
        (("on", 0, 0, 0), ["the archive of that log (archive_mode=on)"]),
        (("always", 0, 0, 0), ["the archive of that log (archive_mode=always)"]),
        (("off", 1, 0, 0), ["1 standbys and 0 replication slots"]),
        (("off", 0, 2, 0), ["0 standbys and 2 replication slots"]),
        (("off", 0, 0, 3), ["3 logical publications"]),
        (
            ("on", 1, 2, 3),
            [
                "the archive of that log (archive_mode=on)",
                "1 standbys and 2 replication slots",
                "3 logical publications",
            ],
        ),
    ],
)
def test_who_may_keep_what_was_erased_is_named(row, places) -> None:
    """What every server keeps, then the archive, the standbys and those that are told of changes."""
    always = ("dead rows in the server's files", "the server's write-ahead log")
    asked = SimpleNamespace(run=lambda _: [row])
    assert erasing.known_copies(asked) == (*always, *places, "backups and dumps, if there are any")


@pytest.mark.parametrize(("gone", "ends"), [(0, True), (2, True), (9, False)])
def test_the_other_end_of_a_connection_is_ended_before_its_outcome_is_told(monkeypatch, gone, ends) -> None:
    """LAW-PG-3: it is asked until nothing of it is left, and no longer than others are waited for."""
    now = [0.0]
    monkeypatch.setattr(appending.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(appending.time, "sleep", lambda pause: now.__setitem__(0, now[0] + 1))
    answers = [[(True,)]] * gone
    asked: list[object] = []

    class Asked(Server):
        """A server that answers from a list."""

        def line(self, patient: bool = False):
            """A connection that is not there."""
            from contextlib import nullcontext

            def run(_: str, values: object) -> SimpleNamespace:
                asked.append(values)
                return SimpleNamespace(fetchall=lambda: answers.pop() if answers else [])

            return nullcontext(SimpleNamespace(run=run))

    waiting = Asked(ADDRESS, 4, lambda: None)
    if ends:
        appending._end(waiting, "token")
        assert asked == [("token",)] * (gone + 1)
    else:
        with pytest.raises(errors.JournalBusy, match="does not end the connection"):
            appending._end(waiting, "token")
        assert len(asked) == 6


@pytest.mark.parametrize(
    "error", [errors.JournalUnreachable("gone"), errors.JournalBusy("held")], ids=["gone", "held"]
)
def test_an_outcome_that_cannot_be_found_out_is_told_as_unknown(error) -> None:
    """LAW-PG-3: with its session and version, what hindered, and what to do; what cut it off is its cause."""

    class Away(Server):
        """A server that lets nobody in."""

        def line(self, patient: bool = False):
            """Refuse."""
            assert patient
            raise error

    cut = psycopg.OperationalError("cut")
    with pytest.raises(errors.OutcomeUnknown, match=f"version 7 of s was appended is not known: {error}") as caught:
        appending.landed(Away(ADDRESS, 0.1, lambda: None), appending.Mark("s", 7, b"hash"), "token", cut)
    assert caught.value.__cause__ is cut and "same idempotency key" in caught.value.hint
    assert str(caught.value).startswith(ADDRESS.place)


@pytest.mark.parametrize(("error", "broken", "cut"), [
    (psycopg.OperationalError(), True, True), (psycopg.OperationalError(), False, False), (ValueError(), True, False),
])  # fmt: skip
def test_an_outcome_is_unknown_only_where_the_connection_is_gone(error, broken, cut) -> None:
    """Another error, or one over a connection that stands, says that nothing was done."""
    assert appending.cut_off(SimpleNamespace(broken=broken), error) is cut


@pytest.mark.parametrize(
    ("tails", "timeout_s", "found", "waits"),
    [([4], 0, True, []), ([3], 0, False, []), ([3, 4], 5, True, [2.0]), ([3, 3, 3, 3], 5, False, [2.0, 2.0, 1.0])],
)
def test_a_wait_ends_with_the_event_or_with_its_time(monkeypatch, tails, timeout_s, found, waits) -> None:
    """The log is looked at first, after each notice, and at least every two seconds."""
    now, asked = [100.0], []
    monkeypatch.setattr(waking.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(waking.queries, "tail", lambda _: tails.pop(0))

    def notifies(timeout: float, stop_after: int) -> list[object]:
        assert stop_after == 1
        asked.append(timeout)
        now[0] += timeout
        return []

    db = Db()
    db.notifies = notifies
    assert waking.wait(Server(ADDRESS, 1, lambda *_, **__: db), 3, timeout_s) is found
    assert asked == waits and db.closed and db.told == [(b"LISTEN team_news",)]
