"""Replay into a journal: sessions that another version of an importer recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from clawvm_es.importers import formats, replay

ROW = {"type": "user", "uuid": "u", "sessionId": "s", "message": {"role": "user", "content": "hello"}}


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> list[str]:
    """A file, and a journal into which an importer of another version recorded it."""
    file, journal = tmp_path / "s.jsonl", tmp_path / "j.db"
    file.write_text(json.dumps(ROW) + "\n")
    arguments = ["replay", str(file), "-j", str(journal), "--counter", "lines4"]
    other = {name: attrs.evolve(row, version=0) for name, row in formats.TABLE.items()}
    with monkeypatch.context() as patched:
        patched.setattr(replay, "TABLE", other)
        assert run(*arguments)[0] == 0
    return arguments


def told(found: tuple[int, str, str]) -> Any:
    """The session in the document of a replay that succeeds."""
    assert found[0] == 0
    (session,) = json.loads(found[1])["sessions"]
    return session


def test_what_another_importer_recorded_is_left_as_it_is(run: Run, recorded: list[str]) -> None:
    """The same file again appends nothing, says who recorded the session, and exits 0, also where it has grown."""
    file = Path(recorded[1])
    file.write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "uuid": "v", "message": {"content": "more"}}) + "\n")
    code, output, _ = run(*recorded)
    assert (code, "session s: recorded by importer 0; --reimport NAME" in output) == (0, True)
    session = told(run(*recorded, "--json"))
    assert (session["appended"], session["recorded_by"]) == (0, 0)


def test_it_can_be_imported_anew_beside_the_first(run: Run, recorded: list[str]) -> None:
    """`--reimport NAME` records the session under another name by today's importer, and again appends nothing."""
    first, second = [told(run(*recorded, "--reimport", "again", "--json")) for _ in range(2)]
    assert (first["session_id"], first["recorded_by"], second["appended"]) == ("again", None, 0)
    assert first["appended"] > 0


def test_other_settings_are_refused_all_the_same(run: Run, recorded: list[str]) -> None:
    """Another budget is another session, whoever recorded the first."""
    assert run(*recorded, "--budget", "99")[0] == 2
