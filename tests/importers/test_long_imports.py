"""Imports of long files that are broken off, or whose file or disk changes meanwhile: nothing is lost or twice."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import limits
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.importers import claude_code, read, streaming
from clawvm_es.importers.importing import find, import_files
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.importers.spool import Spooled
from clawvm_es.journal.lineage import read_session
from clawvm_es.model.events import TurnBegan
from clawvm_es.observe import needs
from clawvm_es.storage import verify
from clawvm_es.storage.sqlite.substrings import Series
from tests.importers.test_streaming import _claude as claude
from tests.importers.test_streaming import _pi as pi
from tests.importers.test_streaming import _words as words
from tests.importers.test_streaming import _written as written

STEPS = 24
Events = list[tuple[str, bytes]]


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Bounds that a short file passes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "STEPS_AT_HAND_BYTES", 1 << 15)
        patch.setattr(limits, "NEED_TEXT_CHARS", 1 << 15)
        patch.setattr(limits, "IMPORT_BATCH", 16)
        yield


def rows() -> Iterator[object]:
    """A session whose last call takes a text from its first result."""
    yield from pi(STEPS, chars=6_000)
    call = {"type": "toolCall", "id": "c", "name": "bash", "arguments": {"command": f"grep {words(0)[:40]}"}}
    said = {"role": "assistant", "content": [call], "usage": {"input": 1, "output": 1}}
    yield {"type": "message", "id": "a", "parentId": f"r{STEPS - 1}", "message": said}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is read line by line."""
    return written(tmp_path / "long.jsonl", rows())


def imported(place: Path, path: Path) -> tuple[str, ...]:
    """Import a file and return the errors."""
    with Journal.open(place, seed=1) as journal:
        return tuple(each.error for each in import_files(journal, find([path]), counter="lines4") if each.error)


def events(place: Path) -> Events:
    """The events of the session, in a journal that is consistent."""
    assert verify(str(place)) == ()
    with Journal.open(place) as journal:
        return [(row.type, row.raw) for row in read_session(journal.log, "s")]


@pytest.fixture(scope="module")
def whole(small: None, tmp_path_factory: pytest.TempPathFactory) -> Events:
    """The events of an import that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    path = written(folder / "long.jsonl", rows())
    assert imported(folder / "whole.db", path) == ()
    return events(folder / "whole.db")


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_an_import_that_is_broken_off_goes_on(
    tmp_path: Path, path: Path, whole: Events, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    """What was committed is a beginning of the whole, and a second import adds the rest, byte for byte."""
    execute, left = Session.execute, [batches]

    def some(session: Session, *of: Any, **by: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return execute(session, *of, **by)

    monkeypatch.setattr(Session, "execute", some)
    place = tmp_path / "j.db"
    with pytest.raises(KeyboardInterrupt):
        imported(place, path)
    monkeypatch.setattr(Session, "execute", execute)
    begun = events(place)
    assert begun == whole[: len(begun)] and bool(begun) is (batches > 0) and len(begun) < len(whole)
    assert imported(place, path) == () and events(place) == whole


def test_a_full_disk_for_searched_texts_is_told_with_its_folder(
    tmp_path: Path, path: Path, whole: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that finds no room ends the import on one line that names the folder; a second one adds the rest."""

    def short() -> Series:
        found = Series()
        found._db.execute("INSERT INTO texts (texts, rank) VALUES ('hashsize', 4096)")  # what waits in memory
        found._db.execute("PRAGMA max_page_count = 80")
        return found

    monkeypatch.setattr(needs, "substrings", short)
    with pytest.raises(OSError, match=r"full; .*TMPDIR") as caught:
        imported(tmp_path / "j.db", path)
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    monkeypatch.undo()
    begun = events(tmp_path / "j.db")
    assert begun == whole[: len(begun)] and begun
    assert imported(tmp_path / "j.db", path) == () and events(tmp_path / "j.db") == whole


def _cut(path: Path) -> None:
    os.truncate(path, 1000)


def _rewritten(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"/w/", b"/v/"))


def _unreadable(path: Path) -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_cut, "was rewritten while it was read"),
        (_rewritten, "was rewritten while it was read"),
        (_unreadable, "line 30: Input/output error"),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path,
    path: Path,
    whole: Events,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    told: str,
) -> None:
    """It is told on one line, nothing of it is recorded, and the files beside it are imported."""
    lines_of, data = streaming.lines_of, path.read_bytes()

    def changing(file: Any) -> Iterator[Any]:
        for line in lines_of(file):
            if line.number == 30 and file.name == str(path):
                change(path)
            yield line

    monkeypatch.setattr(streaming, "lines_of", changing)
    other = written(tmp_path / "z.jsonl", (row if n else {**row, "id": "z"} for n, row in enumerate(pi(1))))
    place = tmp_path / "j.db"
    with Journal.open(place, seed=1) as journal:
        first, second = import_files(journal, find([path, other]), counter="lines4")
        assert first.error == f"{path}: {told}" and first.cause is None
        assert second.sessions == ("z",) and journal.log.head("s") is None
    monkeypatch.undo()
    path.write_bytes(data)
    assert imported(place, path) == () and events(place) == whole


def test_a_file_that_grows_while_it_is_imported_is_read_on_later(
    tmp_path: Path, path: Path, whole: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part that was there is imported; the next import adds what came meanwhile."""
    data = path.read_bytes()
    cut = data.index(b"\n", len(data) // 2) + 1
    path.write_bytes(data[:cut])
    lines_of = streaming.lines_of

    def growing(file: Any) -> Iterator[Any]:
        for line in lines_of(file):
            if line.number == 9 and path.stat().st_size == cut:
                with open(path, "ab") as other:
                    other.write(data[cut:])
            yield line

    monkeypatch.setattr(streaming, "lines_of", growing)
    place = tmp_path / "j.db"
    assert imported(place, path) == ()
    assert len(events(place)) < len(whole)
    assert imported(place, path) == ()
    assert [each for each in events(place) if b'"save"' not in each[1]] == [
        each for each in whole if b'"save"' not in each[1]
    ]


def test_two_sessions_in_a_long_file_are_both_read(tmp_path: Path) -> None:
    """Rows of two sessions that stand between each other give what all bytes at once give."""
    rows = list(claude(STEPS))
    others = [
        json.loads(json.dumps(row).replace('"s"', '"t"').replace('"a', '"b').replace('"r', '"q')) for row in rows
    ]
    path = written(tmp_path / "two.jsonl", (row for pair in zip(rows, others, strict=True) for row in pair))
    found, at_once = read(path), claude_code.FORMAT.parse(path.read_bytes(), str(path))
    assert [each.session_id for each in found] == [each.session_id for each in at_once] and len(found) == 2
    for one, other in zip(found, at_once, strict=True):
        assert isinstance(one.steps, Spooled) and tuple(one.steps) == tuple(other.steps)


def test_a_long_file_that_may_not_be_read_stops_no_other(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a folder it is named with its reason; those before and after it are imported."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    for name in "abc":
        text = path.read_text().replace('"id": "s"', f'"id": "{name}"')
        (folder / f"{name}.jsonl").write_text(text)
    opened = open

    def refusing(file: Any, *of: Any, **by: Any) -> Any:
        if str(file).endswith("b.jsonl"):
            raise PermissionError(13, "Permission denied", file)
        return opened(file, *of, **by)

    monkeypatch.setattr("builtins.open", refusing)
    read_bytes = os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda file, *of, **by: refusing(file) if str(file).endswith("b.jsonl") else read_bytes(file, *of, **by),
    )
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        a, b, c = import_files(journal, find([folder]), counter="lines4")
    assert (a.sessions, c.sessions) == (("a",), ("c",))
    assert b.error.startswith(f"{folder / 'b.jsonl'}: ") and "ermission denied" in b.error and b.cause is None


def test_progress_is_told_for_each_batch_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands that are recorded so far, of as many as are known: of all at the end, and nothing goes back."""
    monkeypatch.setattr(limits, "IMPORT_BATCH", 3)
    said: list[tuple[str, int, int]] = []
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in answers()))
    with Journal.open(":memory:") as journal:
        (found,) = replay(journal, path, progress=lambda *told: said.append(told))
        given = [row for row in journal.log.read(found.session_id) if (row.idempotency_key or "").startswith("i:")]
        *before, last = said
        assert last == (found.session_id, len(given), len(given))
        assert [done for _, done, _ in before] == list(range(3, 3 * len(before) + 1, 3)) and len(before) > 2
        assert {(name, total) for name, _, total in before} == {(found.session_id, 0)}


def test_a_fixed_region_that_is_told_stands_in_every_turn(tmp_path: Path) -> None:
    """Recorded turns have it in place of none, and a budget that is not told grows by it."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in answers()))
    budgets = []
    for fixed in (None, 700):
        with Journal.open(":memory:") as journal:
            (found,) = replay(journal, path, ReplaySettings(fixed_tokens=fixed, counter="lines4"))
            events = [row.data for row in journal.log.read(found.session_id)]
            turns = [data.fixed_tokens for data in events if isinstance(data, TurnBegan)]
            assert turns and set(turns) == {fixed or 0}
            opened = journal.opened(found.session_id)
            assert opened is not None
            budgets.append(opened.budget_tokens)
    assert budgets[1] - budgets[0] == 700


def answers() -> list[dict[str, Any]]:
    """A session of a few answers."""
    return [
        {
            "type": kind,
            "uuid": f"u{number}",
            "sessionId": "s",
            "message": {"id": f"m{number}", "role": kind, "content": f"said {number}"},
        }
        for number in range(8)
        for kind in (("user", "assistant")[number % 2],)
    ]
