"""Rows that were stored without the hash before them get it back: from the row read before, or from the file."""

from __future__ import annotations

import pytest

from clawvm_es.storage.sqlite import queries


def row(session_id: str, version: int, prev: bytes = b"") -> tuple:
    """A row of an event, with the hash that `told` gives its place."""
    return (version, session_id, version, *range(3, 12), prev, told(session_id, version))


def told(session_id: str, version: int) -> bytes:
    """The hash of the event at a place."""
    return f"{session_id}{version}".encode()


@pytest.mark.parametrize(
    ("places", "asked"),
    [
        ([], []),
        ([("a", 1)], [("a", 0)]),
        ([("a", 1), ("a", 2), ("a", 3)], [("a", 0)]),
        ([("a", 5), ("a", 6), ("a", 8), ("a", 9)], [("a", 4), ("a", 7)]),
        ([("a", 2), ("b", 2), ("a", 3), ("b", 3), ("a", 4)], [("a", 1), ("b", 1)]),
        ([("a", 2), ("b", 3), ("a", 4)], [("a", 1), ("b", 2), ("a", 3)]),
    ],
)
def test_the_file_is_asked_only_about_rows_that_were_not_read(monkeypatch, places, asked) -> None:
    """Of neighbours of one stream, each is the answer for the next one, whatever streams stand between."""
    questions: list[tuple[str, int]] = []

    def hash_at(_: object, session_id: str, version: int) -> bytes:
        questions.append((session_id, version))
        return told(session_id, version)

    monkeypatch.setattr(queries, "hash_at", hash_at)
    found = queries._chained(None, [row(*place) for place in places])
    assert found == [row(name, version, told(name, version - 1)) for name, version in places]
    assert questions == asked


def test_a_hash_that_is_stored_or_unknown_stays(monkeypatch) -> None:
    """A first row keeps what it has; where the row before is gone there is none."""
    monkeypatch.setattr(queries, "hash_at", lambda *_: None)
    assert queries._chained(None, [row("a", 1, bytes(32)), row("a", 2), row("b", 7)]) == [
        row("a", 1, bytes(32)),
        row("a", 2, told("a", 1)),
        row("b", 7),
    ]
