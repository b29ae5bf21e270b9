"""URLs of journals in PostgreSQL: what libpq is given, and what is ours. No server is asked."""

from __future__ import annotations

import pytest

from clawvm_es.errors import JournalUnreachable, UsageError

psycopg = pytest.importorskip("psycopg")
from clawvm_es.storage.postgres.address import Address, parse  # noqa: E402
from clawvm_es.storage.postgres.appending import milliseconds  # noqa: E402
from clawvm_es.storage.postgres.server import Server  # noqa: E402

PLACE = "postgresql://ann@db:5433/agents"
READ = {
    PLACE: Address(PLACE, "clawvm", True, PLACE),
    f"{PLACE}?schema=team": Address(PLACE, "team", True, f"{PLACE}?schema=team"),
    f"{PLACE}?normal=off": Address(PLACE, "clawvm", False, f"{PLACE}?normal=off"),
    f"{PLACE}?normal=on&schema=_a1": Address(PLACE, "_a1", True, f"{PLACE}?normal=on&schema=_a1"),
    f"{PLACE}?sslmode=require&schema=x&connect_timeout=3": Address(
        f"{PLACE}?sslmode=require&connect_timeout=3",
        "x",
        True,
        f"{PLACE}?sslmode=require&schema=x&connect_timeout=3",
    ),
    f"{PLACE}?schema=x&sslmode=require": Address(
        f"{PLACE}?sslmode=require", "x", True, f"{PLACE}?schema=x&sslmode=require"
    ),
    f"{PLACE}?schema={'x' * 41}": Address(PLACE, "x" * 41, True, f"{PLACE}?schema={'x' * 41}"),
}


@pytest.mark.parametrize("url", READ)
def test_what_is_ours_is_taken_out_of_a_url(url: str) -> None:
    """The schema and whether a `normal` commit waits; all else is libpq's, in its order."""
    assert parse(url) == READ[url]


def test_only_the_patient_wait_for_a_server() -> None:
    """A server that is not there is asked once, and until the time is up by those who say that they wait."""
    tries = []

    def connect(conninfo: str, **settings: object) -> None:
        tries.append(conninfo)
        raise psycopg.OperationalError("connection refused")

    server = Server(parse(PLACE), 0.15, connect)
    for ask, waits in (
        (server.fresh, False),
        (lambda: server.line().__enter__(), False),
        (lambda: server.fresh(patient=True), True),
        (lambda: server.line(patient=True).__enter__(), True),
    ):
        tries.clear()
        with pytest.raises(JournalUnreachable):
            ask()
        assert (len(tries) > 1) == waits


def test_no_password_is_shown() -> None:
    """It goes to libpq, and stands neither in the place that people see nor in the repr."""
    found = parse("postgresql://ann:hunter2@db/agents?schema=x")
    assert "hunter2" in found.conninfo
    assert "hunter2" not in f"{found.place} {found!r}"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("schema=", "names no schema here"),
        ("schema=Team", "names no schema here"),
        ("schema=1a", "names no schema here"),
        ("schema=a-b", "names no schema here"),
        ("schema=pg_catalog", "names no schema here"),
        (f"schema={'x' * 42}", "names no schema here"),
        ("normal=maybe", "normal='maybe': expected on or off"),
        ("normal=", "normal='': expected on or off"),
    ],
)
def test_what_names_nothing_is_refused(query: str, says: str) -> None:
    """A schema that would need quotes, or is the server's own, and another word than on and off."""
    with pytest.raises(UsageError, match=says):
        parse(f"{PLACE}?{query}")


def test_programs_of_all_versions_take_the_same_lock() -> None:
    """Lock and channel follow from the schema alone, so that an older program and a newer one take turns."""
    one, two = parse(f"{PLACE}?schema=team"), parse("postgresql://bob@db/agents?schema=team&normal=off")
    assert one.lock_key == two.lock_key == 1_132_184_355_938_372_488 and one.channel == two.channel == "team_news"
    assert parse(PLACE).lock_key != one.lock_key
    assert 0 <= one.lock_key < 1 << 63


def test_a_wait_is_told_to_the_server_in_milliseconds() -> None:
    """Never as 0, which it takes for no limit at all, and never above what it can count."""
    waits = {0: 1, 0.0004: 1, 0.25: 250, 10: 10_000, 1e12: 2_147_483_647}
    assert {wait: milliseconds(wait) for wait in waits} == waits
