"""Files shared out among workers, without a server: by this process, which is the only one of `local:1`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es import Journal
from clawvm_es.fleet.executor import Local
from clawvm_es.importers import spreading
from clawvm_es.importers.importing import find, import_files
from tests.importers.bases import CODEX


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sessions of which one is in two files, a file that is none, and one that is empty."""
    made = tmp_path / "sessions"
    made.mkdir()
    for name, session_id in (("a", "s1"), ("b", "s2"), ("c", "s1"), ("d", "s3")):
        rows = [{**CODEX[0], "payload": {**CODEX[0]["payload"], "id": session_id}}, *CODEX[1:]]
        (made / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (made / "bad.jsonl").write_text("no recording\n")
    (made / "e.jsonl").touch()
    return made


def told(journal: str) -> dict[str, list[bytes]]:
    """The hash of each event of each session."""
    with Journal.open(journal, seed=1) as found:
        heads = [head.session_id for head in found.log.heads()]
        return {each: [event.hash for event in found.log.read(each)] for each in heads}


class Backwards:
    """Does the last job first."""

    def as_done(self, function: Any, jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Run jobs; see `Executor`."""
        for place in reversed(range(len(jobs))):
            yield place, function(*jobs[place])


@pytest.mark.parametrize(
    ("executor", "at_least"), [(Local(1), spreading.BYTES_A_JOB), (Backwards(), 1)], ids=["in order", "backwards"]
)
def test_what_is_spread_is_what_is_imported_one_after_the_other(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, executor: Any, at_least: int
) -> None:
    """LAW-FLEET-1: outcomes in the order of files, the same events, and progress up to all bytes, however cut."""
    monkeypatch.setattr(spreading, "BYTES_A_JOB", at_least)
    files = find([folder])
    with Journal.open(tmp_path / "serial.db", seed=1) as journal:
        serial = list(import_files(journal, files, counter="lines4"))
    assert [each.error != "" for each in serial].count(True) == 2
    path, seen = str(tmp_path / "spread.db"), []
    Journal.open(path, seed=1).close()
    options: dict[str, Any] = {"counter": "lines4", "seed": 1, "progress": lambda *given: seen.append(given)}
    found = list(spreading.import_spread(path, files, executor, **options))
    assert [(each.path, each.sessions) for each in found] == [(each.path, each.sessions) for each in serial]
    assert told(path) == told(str(tmp_path / "serial.db"))
    total = sum(each.size for each in files)
    assert seen == sorted(seen) and seen[-1] == (total, total) and {whole for _, whole in seen} == {total}
    assert (len(seen) > 2) is (at_least == 1)


IDS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=3), max_size=9)


@given(IDS)
def test_files_are_in_one_group_if_a_chain_of_sessions_joins_them(ids: list[list[str]]) -> None:
    """Each file is in exactly one, whose files stand in order; groups share no session, and none can be parted."""
    groups = list(spreading._groups(ids))
    assert sorted(place for group in groups for place in group) == list(range(len(ids)))
    held = [{name for place in group for name in ids[place]} for group in groups]
    assert sum(map(len, held)) == len(set().union(*held))
    for group in groups:
        assert group == sorted(group)
        joined, names = {group[0]}, set(ids[group[0]])
        while more := {place for place in group if place not in joined and names & set(ids[place])}:
            joined |= more
            names.update(*(ids[place] for place in more))
        assert joined == set(group)
