"""Findings of `pg doctor` about a server and a role: each is good or not, and says what is so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from clawvm_es.errors import ClawVMError, JournalTooNew, JournalUnreachable

pytest.importorskip("psycopg")
from clawvm_es.storage.postgres import administration

GOOD = {
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "archive_mode": "off",
}
READ_ONLY = "default_transaction_read_only is on for this role, database or server"
KEPT = "a full commit is on the server's disk"
LOST = "off: a power cut may take back what was acknowledged"


@pytest.mark.parametrize(
    ("standby", "other", "writes", "isolation"),
    [
        (False, {}, (True, "the server takes them"), "read committed"),
        (True, {}, (False, "the server is a standby: name the primary to write"), "read committed"),
        (False, {"default_transaction_read_only": "on"}, (False, READ_ONLY), "read committed"),
        (
            False,
            {"default_transaction_isolation": "serializable"},
            (True, "the server takes them"),
            "read committed, not serializable",
        ),
    ],
    ids=["good", "standby", "read only", "isolation"],
)
def test_findings_about_writes(standby, other, writes, isolation):
    """A standby and a role that only reads take none; another isolation level is overruled."""
    found = [(each.what, each.good, each.detail) for each in administration._writes(standby, {**GOOD, **other})]
    assert found == [("writes", *writes), ("isolation", True, isolation)]


@pytest.mark.parametrize(
    ("standbys", "other", "durable", "copies"),
    [
        (0, {}, (True, KEPT), "none known"),
        (0, {"fsync": "off"}, (False, f"fsync {LOST}"), "none known"),
        (0, {"full_page_writes": "off"}, (False, f"full_page_writes {LOST}"), "none known"),
        (
            0,
            {"synchronous_commit": "off", "fsync": "off"},
            (False, f"fsync, synchronous_commit {LOST}"),
            "none known",
        ),
        (2, {}, (True, KEPT), "archive_mode=off, 2 standbys: they keep texts that redact removes"),
        (0, {"archive_mode": "on"}, (True, KEPT), "archive_mode=on, 0 standbys: they keep texts that redact removes"),
    ],
    ids=["good", "fsync", "pages", "two", "standbys", "archive"],
)
def test_findings_about_the_disk(standbys, other, durable, copies):
    """What a power cut may take back, and who keeps copies of what is erased."""
    found = [(each.what, each.good, each.detail) for each in administration._disk({**GOOD, **other}, standbys)]
    assert found == [("durability", *durable), ("copies", True, copies)]


def test_findings_about_texts_and_pools():
    """An encoding that holds less than UTF-8 is bad; a pool is told of."""
    good, bad = administration._encoding("UTF8"), administration._encoding("LATIN1")
    assert (good.what, good.good, good.detail) == ("encoding", True, "UTF8")
    assert (bad.good, bad.detail) == (False, "LATIN1: make a database with ENCODING 'UTF8'")
    pools = [administration._pool(direct) for direct in (True, False)]
    assert [(each.what, each.good) for each in pools] == [("connection", True)] * 2
    assert [each.detail for each in pools] == [
        "direct",
        "a pool stands between; in transaction mode no notice wakes a reader",
    ]


def raising(error: ClawVMError):
    """A function that refuses."""

    def refuse(*_: object) -> object:
        raise error

    return refuse


def test_a_server_that_is_not_reached_is_one_finding():
    """Nothing else can be looked at, and no error is raised."""
    (found,) = administration.doctor(SimpleNamespace(line=raising(JournalUnreachable("db: refused"))))
    assert (found.what, found.good, found.detail) == ("connection", False, "db: refused")


def test_a_journal_that_cannot_be_used_is_one_finding(monkeypatch):
    """Its refusal is told, and nothing of its role and guards."""
    monkeypatch.setattr(administration.opening, "find", raising(JournalTooNew("it has format 99")))
    (found,) = administration._journal(SimpleNamespace(), "ann")
    assert (found.what, found.good, found.detail) == ("journal", False, "it has format 99")
