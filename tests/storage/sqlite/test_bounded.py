"""What an open journal remembers to be fast is bounded, however many sessions and pages it sees."""

from __future__ import annotations

import sqlite3

import pytest

from clawvm_es.core.layout import shown
from clawvm_es.core.profiles import CLAWVM_TURN
from clawvm_es.engine.render import Renderer
from clawvm_es.journal import vault
from clawvm_es.journal.ports import Durability, Expected
from clawvm_es.model.events import ToolCalled
from clawvm_es.storage import open_log
from clawvm_es.storage.sqlite import log as sqlite_log
from clawvm_es.testing.core import Given, page
from clawvm_es.testing.logs import budget, new


def test_heads_of_many_streams_are_forgotten_and_read_again(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that has written to more streams than it remembers goes on with each of them where it stands."""
    monkeypatch.setattr(sqlite_log, "_HEADS_CACHED", 2)
    with open_log(tmp_path / "j.db") as log:
        for turn in range(2):
            for number in range(9):
                head = log.append(f"s{number}", [budget(turn)], Expected.NO_STREAM if turn == 0 else 1)
                assert head.version == turn + 1
                assert len(log._spots) <= 4


def test_who_reads_a_little_of_a_stream_fetches_little(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short range is one statement and nothing else; without an end some rows come first, then whole chunks."""
    with open_log(tmp_path / "j.db") as log:
        log.append("s", [budget(number) for number in range(700)])
        rows, fetched, ask = list(log.read("s")), [], type(log).ask
        monkeypatch.setattr(type(log), "ask", lambda self, *query: fetched.append(query[2:]) or ask(self, *query))
        monkeypatch.setattr(type(log), "head", lambda self, stream: pytest.fail("its head was looked up"))
        for after, upto in ((9, 12), (690, 999), (-3, 2), (700, 701)):
            assert list(log.read("s", after, upto)) == rows[max(0, after) : upto]
        monkeypatch.undo()
        for after, upto in ((10**20, 10**20 + 5), (10**20, 7), (5, 3), (-5, 0)):
            assert list(log.read("s", after, upto)) == []
        monkeypatch.setattr(type(log), "ask", lambda self, *query: fetched.append(query[2:]) or ask(self, *query))
        fetched.clear()
        assert next(log.read("s", 100)) == rows[100] and fetched == [(100, 164)]
        assert list(log.read("s", 100)) == rows[100:] and fetched[1:] == [(100, 164), (164, 700), (676, 700)]


def test_names_of_written_bodies_are_forgotten(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that were written long ago are looked up in the store again, and stored once all the same."""
    monkeypatch.setattr(vault, "_NAMES_CACHED", 3)
    with open_log(tmp_path / "j.db") as log:
        bodies = [b"body %d" % number for number in range(9)]
        for call, body in enumerate([*bodies, *bodies], 1):
            log.append("s", [new(ToolCalled(call, "tool", log.vault("s").commit(body)))])
            assert sum(len(each.names) for each in log._bodies._written.values()) <= 4
        assert log.bodies_kept()[0] == 9


def test_frames_of_pages_that_left_are_forgotten() -> None:
    """A renderer keeps the frames of a prompt and of some before it, not of every page that it ever rendered."""
    given = Given.session(profile=CLAWVM_TURN, budget_tokens=200)
    renderer = Renderer(lambda names: {})
    for number in range(1, 200):
        given.when(page(number, tokens=50))
        given.turn()
        pieces = list(shown(given.state))
        renderer.render(given.state)
        assert len(renderer._framed) <= 4 * len(pieces) + 64


def test_the_disk_is_told_how_to_commit_only_when_that_changes(tmp_path) -> None:
    """One statement for the first commit and one for each that is to be durable otherwise than the one before."""
    told: list[str] = []

    def connect(*args, **options) -> sqlite3.Connection:
        made = sqlite3.connect(*args, **options)
        made.set_trace_callback(told.append)
        return made

    normal, full = Durability.NORMAL, Durability.FULL
    with open_log(tmp_path / "j.db", connect=connect) as log:
        told.clear()
        for number, durability in enumerate((normal, normal, full, full, normal), 1):
            log.append("s", [budget(number)], durability=durability)
    said = [each for each in told if each.startswith("PRAGMA synchronous")]
    assert said == [f"PRAGMA synchronous={each.value}" for each in (normal, full, normal)]
