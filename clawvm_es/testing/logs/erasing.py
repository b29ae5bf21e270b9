"""The laws of erasure: an erased text is left nowhere, and an unfinished erasure stays pending."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager

from clawvm_es.engine.journal import Journal
from clawvm_es.history.redact import Redaction, Target, redact
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.ports import (
    Capability,
    Durability,
    Erasure,
    EventLog,
    SnapshotRow,
    erasing,
    models_of,
    snapshots_of,
    texts_of,
)
from clawvm_es.model.events import ContentRedacted, ToolCalled
from clawvm_es.model.facts import RedactReason
from clawvm_es.projections import catch_up, snapshot
from clawvm_es.projections.tables import MODELS, TABLES
from clawvm_es.testing.fakes import FakeClock
from clawvm_es.testing.logs.place import AT_US, Place, check_whole, need, needs, new

CANARY = "canary yellowhammer-4711-quetzalcoatl-0815"
WORD = "yellowhammer"


class ErasureLaws:
    """Contract of a log that erases."""

    def test_an_erased_body_is_gone_with_its_salt(self, log: EventLog) -> None:
        """A transaction removes the erased bodies with their salts, and nothing of other sessions."""
        needs(log, Capability.ERASE)
        names = {key: log.vault(key).commit(b"shared") for key in ("a", "b")}
        alone = log.vault("a").commit(CANARY.encode())
        sealed = log.vault("a").seal(b"sealed")
        log.append("a", [new(ToolCalled(1, "tool", names["a"])), new(ToolCalled(2, "tool", alone, sealed))])
        log.append("b", [new(ToolCalled(1, "tool", names["b"]))])
        assert log.holders(names["b"]) == (("a", names["a"]), ("b", names["b"]))
        assert log.holders(sealed) == (("a", sealed),)
        with log.transaction(Durability.FULL) as transaction:
            erased = (names["a"], alone, sealed)
            transaction.append("a", [new(ContentRedacted(RedactReason.REQUEST, erased))])
            gone = transaction.erase(erased, ["a"])
        assert [each.body for each in gone] == [CANARY.encode()]
        for name in erased:
            assert (log.stored(name), log.holders(name), log.vault("a").open(name)) == (None, (), None)
        assert log.vault("b").open(names["b"]) == b"shared"
        assert log.holders(names["b"]) == (("b", names["b"]),)
        assert (log.bodies_kept(), log.bodies_kept("a")) == ((1, 6), (0, 0))
        _check_outcome(log, erasing(log, "redact").scrub([each.body for each in gone]))
        assert erasing(log, "redact").pending_erasures() == ()
        assert log.vault("a").commit(b"shared") != names["a"]

    def test_an_erasure_that_is_rolled_back_erased_nothing(self, log: EventLog) -> None:
        """LAW-LOG-2: bodies go with the transaction, or not at all."""
        import pytest

        needs(log, Capability.ERASE)
        name = log.vault("s").commit(b"body")
        log.append("s", [new(ToolCalled(1, "tool", name))])
        with pytest.raises(ZeroDivisionError), log.transaction() as transaction:
            transaction.append("s", [new(ContentRedacted(RedactReason.REQUEST, (name,)))])
            transaction.erase([name])
            raise ZeroDivisionError
        assert log.vault("s").open(name) == b"body"
        assert erasing(log, "redact").pending_erasures() == ()

    def test_redact_leaves_no_trace(self, place: Place) -> None:
        """LAW-ERASE-1: `erased` means gone: from bodies, snapshots, read models, text index and files."""
        with _session(place) as log:
            status = _redact(log).status
            _check_status(place, log, status)
            _check_outcome(log, status)
            _check_gone(log)
        if place.kept:
            with place.open() as log:
                _check_gone(log)
        assert place.holds is None or not place.holds(WORD.encode())

    def test_a_reader_in_the_way_leaves_it_pending(self, place: Place) -> None:
        """LAW-ERASE-1: while a reader keeps an older state, the answer is `pending` until the trace is gone."""
        with _session(place) as log:
            store = models_of(log, MODELS)
            if store is None:
                _check_status(place, log, _redact(log).status)
                return
            with store.reading() as reader:
                reader.last_seq()
                _check_status(place, log, _redact(log).status)
            erasing(log, "redact").scrub()
            assert erasing(log, "redact").pending_erasures() == ()
            _check_status(place, log, Erasure.ERASED)
            _check_gone(log)

    def test_a_pending_erasure_is_finished_by_the_next_open(self, place: Place) -> None:
        """LAW-ERASE-1: a log that ended before its files were scrubbed is scrubbed when it is opened again."""
        need(place.kept, "keeps nothing")
        with place.open() as log:
            needs(log, Capability.ERASE)
            name = log.vault("s").commit(CANARY.encode())
            log.append("s", [new(ToolCalled(1, "tool", name))])
            with log.transaction(Durability.FULL) as transaction:
                transaction.append("s", [new(ContentRedacted(RedactReason.REQUEST, (name,)))])
                transaction.erase([name], ["s"])
        with place.open() as log:
            assert erasing(log, "redact").pending_erasures() == ()
            _check_status(place, log, Erasure.ERASED)

    def test_snapshots_of_an_erased_stream_are_gone(self, log: EventLog) -> None:
        """Snapshots of a stream go in the transaction that erases."""
        needs(log, Capability.ERASE)
        needs(log, Capability.SNAPSHOTS)
        store = snapshots_of(log)
        assert store is not None
        name = log.vault("s").commit(b"body")
        head = log.append("s", [new(ToolCalled(1, "tool", name))])
        with log.transaction() as transaction:
            writer = store.within(transaction)
            snapshot_id, node = writer.next_ids()
            row = SnapshotRow(snapshot_id, "s", 1, head.hash, "contract", None, node, 1, CANARY.encode())
            writer.insert(row, [(node, CANARY.encode())])
        with log.transaction() as transaction:
            transaction.append("s", [new(ContentRedacted(RedactReason.REQUEST, (name,)))])
            transaction.erase([name], ["s"])
        assert store.before("s", 9, "contract") is None
        assert (list(store.rows()), dict(store.nodes([node]))) == ([], {})


@contextmanager
def _session(place: Place) -> Iterator[EventLog]:
    """A log with a session that says the canary in a message and in a page, and caches of it."""
    with place.open() as log:
        needs(log, Capability.ERASE)
        journal = Journal(log, clock=FakeClock())
        with journal.session("s", counter="lines4") as session:
            session.user_says(CANARY)
            session.write_page("constraint", f"- Keep the {CANARY}.")
            session.user_says("what stays")
            session.assemble()
        catch_up(log)
        assert _found(log) != frozenset()
        yield log
        check_whole(log)


def _check_outcome(log: EventLog, status: str) -> None:
    """Check that an erasure with nothing in its way is done, or that the copies are named that are out of reach."""
    copies = tuple(erasing(log, "redact").known_copies())
    assert status == (Erasure.REMOVED if copies else Erasure.ERASED)


def _redact(log: EventLog) -> Redaction:
    """Erase the canary from all sessions."""
    target = Target(matches=lambda text: CANARY in text)
    return redact(log, target, at_us=AT_US, everywhere=True)


def _found(log: EventLog) -> Container[str]:
    """The commitments to texts that hold the canary's word, by the index or by a scan."""
    index = texts_of(log)
    if index is not None:
        return index.holding([(WORD,)])
    names = (name for each in log.read_all() for name in named_commitments(each.raw))
    return frozenset(name for name in names if WORD.encode() in ((log.stored(name) or (b"", b""))[1] or b""))


def _check_status(place: Place, log: EventLog, status: str) -> None:
    """Check that an erasure that is called finished is, and that one that is not is said to be pending."""
    pending = erasing(log, "redact").pending_erasures()
    if status == Erasure.ERASED:
        assert pending == ()
        assert place.holds is None or not place.holds(WORD.encode()), "LAW-ERASE-1: a trace of what is called erased"
    elif status == Erasure.REMOVED:
        assert pending == () and erasing(log, "redact").known_copies(), "LAW-ERASE-1: copies that nobody names"
    else:
        assert status == Erasure.PENDING and pending != ()


def _check_gone(log: EventLog) -> None:
    """Check that nothing that can be read through the log holds the canary, and that it says what was erased."""
    assert _found(log) == frozenset()
    stored = (log.stored(name) for each in log.read_all() for name in named_commitments(each.raw))
    assert not any(CANARY.encode() in (found[1] or b"") for found in stored if found is not None)
    with snapshot(log) as models:
        assert not any(CANARY in str(row) for table in TABLES for row in models.rows(table))
    index, store = texts_of(log), snapshots_of(log)
    if index is not None:
        assert (index.stray(), index.problems()) == (0, [])
    if store is not None:
        assert not any(CANARY.encode() in row.head for row in store.rows())
    assert any(isinstance(each.data, ContentRedacted) for each in log.read_all())
