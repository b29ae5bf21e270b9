"""Following: many processes, other writers of the same session, and files that were rewritten."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal, limits
from clawvm_es.errors import UsageError, VersionConflict
from clawvm_es.files import FOLLOWED
from clawvm_es.importers import follow, read_bytes
from clawvm_es.importers.following import AS_RECORDED, Follower
from clawvm_es.importers.given import Differs, Given
from clawvm_es.importers.kept import Place
from clawvm_es.importers.recording import RecordedStep
from clawvm_es.importers.replay import LIVE, ReplaySettings, replay, target
from clawvm_es.model.commands import Command
from clawvm_es.model.events import BoundaryReached
from clawvm_es.model.facts import Boundary, Trigger
from tests.importers.followed import CLAUDE, PI, as_lines, claude, imported, inputs, result


def test_many_processes(tmp_path: Path, live: Path) -> None:
    """Several processes that follow one file at once record it once."""
    live.write_bytes(as_lines(CLAUDE))
    command = [
        sys.executable,
        "-m",
        "clawvm_es",
        "follow",
        str(live),
        "-j",
        str(tmp_path / "j.db"),
        "--final",
        "--counter",
        "lines4",
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(3)]
    assert [(each.communicate()[0], each.returncode)[1] for each in running] == [0, 0, 0]
    whole = imported(tmp_path, as_lines(CLAUDE))
    with Journal.open(tmp_path / "j.db") as journal:
        assert {name: [said[:4] for said in all_said] for name, all_said in inputs(journal).items()} == {
            name: [said[:4] for said in all_said] for name, all_said in whole.items()
        }


def test_two_writers_meet(tmp_path: Path, live: Path) -> None:
    """A handle that another one overtook goes on: what it gives again is what was recorded, under other salts."""
    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as other:
        with Follower(one, [live]) as first, Follower(other, [live]) as second:
            for number in range(1, len(CLAUDE) + 1):
                live.write_bytes(as_lines(CLAUDE[:number]))
                for each in (first, second) if number % 3 else (second,):
                    assert not each.once().refused
        follow(one, live, final=True)
        found = {name: [said[0] for said in all_said] for name, all_said in inputs(one).items()}
    whole = imported(tmp_path, as_lines(CLAUDE))
    assert found == {name: [said[0] for said in all_said] for name, all_said in whole.items()}


def test_two_writers_begin_a_session_at_once(tmp_path: Path) -> None:
    """Both look before either begins: the second one finds the folder of the first under another salt."""
    recording, *_ = read_bytes(as_lines(CLAUDE), "live")
    names = {recording.session_id: recording.session_id}
    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as other:
        found = [(each, target(each, recording, names, AS_RECORDED)) for each in (one, other)]
        for each, into in found:
            with Given.open(each, recording, into, AS_RECORDED, Place("claude_code", None)) as given:
                given.give(recording.steps, Place("claude_code", None))
        assert len(inputs(one)) == 1


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "no cache"])
def test_rewritten_files_change_nothing(tmp_path: Path, live: Path, journal: Journal, cached: bool) -> None:
    """LAW-FOLLOW-2: a file that says something else, or ends too early, is refused by line; a new name takes it."""
    changed = [*CLAUDE]
    changed[3] = claude(3, "user", result("t1", "gamma = 3"))
    for rows, line in ((changed, 4), ([claude(0, "user", "Another."), *CLAUDE[1:]], 1), (CLAUDE[:4], 5)):
        live.write_bytes(as_lines(CLAUDE))
        follow(journal, live)
        before = inputs(journal)
        live.write_bytes(as_lines(rows))
        if not cached:
            for kept in (tmp_path / f"j.db{FOLLOWED}").iterdir():
                kept.unlink()
        with pytest.raises(UsageError, match=f"this file was rewritten at line {line}"):
            follow(journal, live)
        assert inputs(journal) == before
    beside = follow(journal, live, ReplaySettings(name="again", as_recorded=True), final=True)
    assert beside.appended and {each.session_id for each in beside.taken} == {"again"}


def test_a_file_that_grows_while_it_is_read_is_not_taken_for_a_cut_one(live: Path, journal: Journal) -> None:
    """Another process has recorded more than this one has read: the next pass reads the rest, nothing is refused."""
    live.write_bytes(as_lines(CLAUDE))
    follow(journal, live)
    before = inputs(journal)

    class Growing(Follower):
        grown = False

        def _drain(self, *given: Any, **named: Any) -> None:
            if not self.grown:
                live.write_bytes(as_lines(CLAUDE))
            self.grown = True
            super()._drain(*given, **named)

    live.write_bytes(as_lines(CLAUDE[:4]))
    with Growing(journal, [live]) as follower:
        assert not follower.once().refused
        assert not follower.once().refused and follower.once().unchanged == 1
    assert inputs(journal) == before


def test_a_file_with_another_session_in_its_place(live: Path, journal: Journal) -> None:
    """A path that another session's file takes gives that session; the first is left as it is."""
    live.write_bytes(as_lines(CLAUDE))
    follow(journal, live)
    before = inputs(journal)["s1"]
    live.write_bytes(as_lines(PI))
    assert follow(journal, live, final=True).appended
    assert inputs(journal)["s1"] == before and "s2" in inputs(journal)


def test_a_session_that_another_process_began_under_other_settings_is_no_one_s_to_go_on_with(tmp_path: Path) -> None:
    """Both look before either begins: the second one finds another budget under the key of the opening."""
    recording, *_ = read_bytes(as_lines(CLAUDE), "live")
    names = {recording.session_id: recording.session_id}
    place = Place("claude_code", None)
    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as other:
        settings = [ReplaySettings(budget_tokens=budget, counter="lines4") for budget in (4000, 5000)]
        targets = [target(one, recording, names, each) for each in settings]
        Given.open(one, recording, targets[0], settings[0], place).close()
        head = one.log.head(recording.session_id)
        with pytest.raises(Differs) as told:
            Given.open(other, recording, targets[1], settings[1], Place("claude_code", None))
        assert (told.value.session_id, told.value.step, told.value.line) == (recording.session_id, None, 1)
        assert (told.value.recorded_id, told.value.linked) == (recording.session_id, False)
        assert one.log.head(recording.session_id) == head and place.given == {recording.session_id: 1}


def test_an_aside_that_is_told_less_of_records_nothing(live: Path, journal: Journal) -> None:
    """Beside a session that stands there whole; both stay as they were."""
    aside = {"isSidechain": True, "agentId": "a1"}
    said = (("user", "Aside."), ("assistant", [{"type": "text", "text": "Yes."}]), ("user", "Go on."))
    rows = [*CLAUDE, *({**claude(second, *each), **aside} for second, each in enumerate(said, 7))]
    live.write_bytes(as_lines(rows))
    follow(journal, live, final=True)
    before = inputs(journal)
    assert len(before) == 2
    live.write_bytes(as_lines(rows[:-2]))
    assert not follow(journal, live, final=True).appended
    assert inputs(journal) == before


def test_a_session_that_others_also_write_is_taken_from_where_its_file_was_left(live: Path, journal: Journal) -> None:
    """An import of a session that hooks report adds what its file has more, tells of it, and adds nothing twice."""
    live.write_bytes(as_lines(CLAUDE[:4]))
    follow(journal, live, final=True)
    with journal.session("s1") as session:
        session.execute(Command(BoundaryReached(Boundary.SAVE, Trigger.CALLER), 1, idempotency_key=LIVE))
    live.write_bytes(as_lines(CLAUDE))
    taken = {each.session_id: each.appended for each in replay(journal, live, AS_RECORDED)}
    assert taken.keys() == {"s1", "s1/agent-a1"} and all(taken.values())
    calls = [data for _, kind, _, _, data in inputs(journal)["s1"] if kind == "tool_called"]
    assert len(calls) == 3
    assert not sum(each.appended for each in replay(journal, live, AS_RECORDED, again=True))


@pytest.mark.parametrize("times", [0, 1, limits.RETRIES - 1, limits.RETRIES])
def test_steps_that_another_writer_overtakes_are_made_again_so_many_times(
    tmp_path: Path, live: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Each time they are observed on what the session then is; a writer that is always faster is an error at last."""
    give, tried = Given._give_new, list[int]()

    def overtaken(given: Given, steps: Sequence[RecordedStep], place: Place) -> int:
        tried.append(given.number)
        if len(tried) <= times:
            raise VersionConflict("session s1: another writer was faster")
        return give(given, steps, place)

    monkeypatch.setattr(Given, "_give_new", overtaken)
    live.write_bytes(as_lines(CLAUDE[:6]))
    if times < limits.RETRIES:
        follow(journal, live, final=True)
        monkeypatch.setattr(Given, "_give_new", give)
        assert inputs(journal) == imported(tmp_path, live.read_bytes())
    else:
        with pytest.raises(VersionConflict):
            follow(journal, live, final=True)
        assert len(tried) == limits.RETRIES


def test_what_others_write_between_two_looks_is_known_at_the_next(tmp_path: Path, live: Path) -> None:
    """A follower that stays open records what one that is opened anew each time records."""
    found = []
    for stays in (True, False):
        with (
            Journal.open(tmp_path / f"{stays}.db", seed=1, clock=lambda: 5) as journal,
            Follower(journal, [live]) as follower,
        ):
            for number in range(3, len(CLAUDE) + 1):
                live.write_bytes(as_lines(CLAUDE[:number]))
                assert not (follower.once() if stays else follow(journal, live)).refused
                journal.session("s1").user_says(f"beside it {number}", key=f"beside {number}")
            follow(journal, live, final=True)
            found.append(inputs(journal))
            assert len(journal.session("s1").state.pages) > len(CLAUDE)
    assert found[0] == found[1]
