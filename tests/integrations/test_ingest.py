"""What hooks told and what the transcript says meet in one journal: each thing once, whatever order it came in."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from clawvm_es import Journal
from clawvm_es.errors import JournalError
from clawvm_es.importers.following import follow
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.integrations.answering import answer
from clawvm_es.integrations.doctor import _problems, _spool, examine
from clawvm_es.integrations.harnesses import CLAUDE_CODE
from clawvm_es.integrations.ingest import (
    PROBLEMS,
    SESSIONS,
    Ingested,
    _by_session,
    ingest,
    newest,
    note,
    spool_of,
    take_quietly,
    waiting,
)
from clawvm_es.integrations.install import BLANK
from clawvm_es.integrations.restored import CHARS_MAX, restored
from clawvm_es.integrations.spool import ROOM, ROOM_BYTES
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ToldBy
from clawvm_es.model.pages import PageType
from clawvm_es.observe.marks import directory
from tests.integrations.sessions import Live

RULES = "- You must never push to main.\n"


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    """A session in a folder with rules, whose owner has none in the home."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    found = Live(tmp_path / "j.db", tmp_path / "work")
    (found.work / "CLAUDE.md").write_text(RULES)
    return found


def take(live: Live, answering: Path | None = None) -> str:
    """Take what waits; returns what the harness gets."""
    with Journal.open(live.journal) as journal:
        found = ingest(journal, answering=str(answering) if answering else None)
        assert found.problems == []
        return found.context


def inputs(live: Live) -> list[e.Event]:
    """The inputs of the session, in the order of its log."""
    with Journal.open(live.journal, read_only=True) as journal:
        return [row.data for row in journal.log.read(live.session_id) if row.kind == "input"]


def compactions(live: Live) -> list[e.BoundaryReached]:
    """The compactions that were recorded."""
    reached = [data for data in inputs(live) if isinstance(data, e.BoundaryReached)]
    return [data for data in reached if data.boundary is Boundary.COMPACT]


def begin(live: Live) -> str:
    """A session with a plan, as far as its first stop; returns the row of its last answer."""
    live.hook("SessionStart", source="startup")
    take(live)
    live.user("plan and read")
    live.plan("find the bug", "mend it")
    last = live.answer("done")
    live.hook("Stop")
    return last


def compact(live: Live, *kept: str) -> str:
    """A compaction, as Claude Code does it: its row is written after the hook has answered."""
    live.hook("PreCompact", trigger="manual")
    context = take(live, live.hook("SessionStart", source="compact"))
    live.compacted(*kept, context=context)
    return context


def test_a_session_from_its_start(live: Live) -> None:
    """The rules that no transcript holds come first, from the folder; the last answer is taken when it stops."""
    begin(live)
    assert not take(live)
    found = inputs(live)
    written = [data for data in found if isinstance(data, e.PageWritten)]
    assert (written[0].page_type, written[0].told_by) == (PageType.BOOTSTRAP, ToldBy.FILE)
    assert [page.page_type for page in written[1:]] == [
        *(PageType.CONVERSATION, PageType.CONVERSATION, PageType.PLAN, PageType.PLAN, PageType.CONVERSATION)
    ]
    assert sum(isinstance(data, e.ToolCalled) for data in found) == 2
    assert waiting(spool_of(live.journal)) == []


@pytest.mark.parametrize("keeps", [False, True])
def test_five_compactions(live: Live, keeps: bool) -> None:
    """Each gives the plan back once, in marks, without the rules that the harness restores; flat in size."""
    last, contexts = begin(live), []
    for turn in range(5):
        contexts.append(compact(live, *([last] if keeps else [])))
        live.user(f"go on {turn}")
        last = live.answer(f"all right {turn}")
        live.hook("Stop")
        take(live)
    assert [context.count("find the bug") for context in contexts] == [1] * 5
    assert not any("never push" in context for context in contexts)
    assert len({len(context.partition("<clawvm pages")[0]) for context in contexts}) == 1
    assert [told.told_by for told in compactions(live)] == [ToldBy.HOOK] * 5
    shown = [data for data in inputs(live) if isinstance(data, e.RecallAnswered)]
    assert len(shown) == 5 and len({data.pages for data in shown}) == 1
    texts = [data for data in inputs(live) if isinstance(data, e.PageWritten)]
    plans = {page.page_id for page in texts if page.page_type is PageType.PLAN}
    assert len(plans) == 1 and len([page for page in texts if page.page_type is PageType.PLAN]) == 2
    summaries = [page for page in texts if page.page_type is PageType.SUMMARY]
    kept = {page.page_id for page in texts if page.group == 2}
    assert len(summaries) == 5 and kept.isdisjoint(summaries[0].replaces) is keeps


def test_import_of_the_same_transcript_adds_nothing(live: Live) -> None:
    """Whoever reads the file again, by an import or by following, finds all of it in the journal."""
    begin(live)
    compact(live)
    live.user("go on")
    live.answer("all right", ("Read", {"file_path": str(live.work / "a.txt")}, "1\tport 5433\n"))
    live.answer("port 5433 it is")
    live.hook("Stop")
    take(live)
    before = inputs(live)
    with Journal.open(live.journal) as journal:
        for _ in range(2):
            assert (
                sum(each.appended for each in replay(journal, live.transcript, ReplaySettings(as_recorded=True))) == 0
            )
        (live.journal.parent / "j.db.follow").rename(live.journal.parent / "gone")
        assert follow(journal, live.transcript).appended == 0
    assert inputs(live) == before


def test_new_rows_beside_what_hooks_told(live: Live) -> None:
    """Whoever takes the new rows of a live session gives their pages ids that no other page has."""
    begin(live)
    take(live)
    (live.work / "CLAUDE.md").write_text(RULES + "- Only use tabs.\n")
    (live.work / "CLAUDE.local.md").write_text("- Never use sudo.\n")
    live.hook("SessionStart", source="resume")
    take(live)
    live.user("go on")
    live.answer("all right")
    with Journal.open(live.journal) as journal:
        replay(journal, live.transcript, ReplaySettings(as_recorded=True))
    ids = [data.page_id for data in inputs(live) if isinstance(data, e.PageWritten)]
    assert sorted(set(ids), key=lambda page: int(page[1:])) == [f"p{n}" for n in range(1, 9)]
    assert {page for page in ids if ids.count(page) > 1} == {"p1", "p4"}  # the rules and the plan, written again


def test_hooks_that_come_twice(live: Live) -> None:
    """The same events again record nothing, and the harness is given nothing a second time."""
    begin(live)
    take(live)
    live.hook("PreCompact")
    first, again = live.hook("SessionStart", source="compact"), live.hook("SessionStart", source="compact")
    assert take(live, first)
    assert take(live, again) == ""
    before = len(inputs(live))
    third = live.hook("SessionStart", source="compact")
    assert take(live, third) == ""
    assert len(inputs(live)) == before and len(compactions(live)) == 1


def test_a_compaction_whose_row_comes_before_its_hook_is_recorded_once(live: Live) -> None:
    """Codex writes the row first: the hook gives plan and rules back, once, and records no second compaction."""
    begin(live)
    for number in (1, 2):
        live.hook("PreCompact", trigger="auto")
        live.compacted()
        context = take(live, live.hook("SessionStart", source="compact"))
        assert context.count("find the bug") == 1
        assert take(live, live.hook("SessionStart", source="compact")) == ""
        assert [told.told_by for told in compactions(live)] == [None] * number
        live.user("go on")
        live.answer("I go on.")
        live.hook("Stop")


def test_hooks_that_come_late_or_not_at_all(live: Live) -> None:
    """What the transcript says is enough: a compaction whose hook is taken late is recorded from its row, once."""
    begin(live)
    live.hook("PreCompact")
    live.hook("SessionStart", source="compact")
    live.compacted()
    live.user("go on")
    live.answer("all right")
    live.compacted()
    live.user("further")
    live.answer("good")
    live.hook("SessionEnd", reason="other")
    take(live)
    assert [told.told_by for told in compactions(live)] == [None, None]
    with Journal.open(live.journal) as journal:
        assert journal.session(live.session_id).state.dirty == {}


def test_rows_that_were_not_written_when_the_hook_told(live: Live) -> None:
    """Rows before a compaction that come after its hook was taken leave the context by its row."""
    begin(live)
    take(live)
    take(live, live.hook("SessionStart", source="compact"))
    live.user("typed before it")
    live.compacted()
    live.hook("Stop")
    take(live)
    reached = compactions(live)
    assert [told.told_by for told in reached] == [ToldBy.HOOK, None]
    assert len(reached[1].left) == 1


def test_an_unknown_session_and_a_missing_transcript(live: Live) -> None:
    """Events of a session that nobody has begun, whose transcript is not there, are taken and leave nothing."""
    live.hook("Stop")
    assert take(live) == ""
    with Journal.open(live.journal) as journal:
        assert journal.opened(live.session_id) is None
    assert waiting(spool_of(live.journal)) == []


def test_a_transcript_that_was_rewritten(live: Live) -> None:
    """It is named for the doctor, its session stays as it is, and the other sessions are taken."""
    begin(live)
    take(live)
    before = inputs(live)
    other = Live(live.journal, live.work, "99999999-2222-3333-4444-555555555555")
    begin(other)
    live.transcript.write_text(live.transcript.read_text().replace("plan and read", "something else"))
    live.hook("Stop")
    with Journal.open(live.journal) as journal:
        found = ingest(journal)
    assert len(found.problems) == 1 and "was rewritten at line 1" in found.problems[0]
    assert inputs(live) == before
    assert len(inputs(other)) > 5
    assert "rewritten" in (spool_of(live.journal) / PROBLEMS).read_text()


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("how", sorted(UNREADABLE))
def test_a_transcript_that_cannot_be_read(live: Live, how: str) -> None:
    """The hook ends at once with an empty answer, and the reason is kept; once it can be read, it is taken."""
    live.transcript.unlink(missing_ok=True)
    UNREADABLE[how](live.transcript)
    live.hook("SessionStart", source="startup")
    assert answer(str(live.journal), str(live.hook("PreCompact"))) == ""
    problems = spool_of(live.journal) / PROBLEMS
    assert live.transcript.name in problems.read_text()
    live.transcript.rmdir() if how == "a folder" else live.transcript.unlink()
    begin(live)
    take(live)
    assert any(isinstance(data, e.ToolCalled) for data in inputs(live))


def test_torn_and_foreign_files_of_the_spool(live: Live) -> None:
    """A file that a killed hook left is dropped when it is old, one of an unknown harness at once; others stay."""
    folder = spool_of(live.journal)
    torn, fresh, foreign = (folder / f"{n:020d}-1.json" for n in (1, 2, 3))
    torn.write_text('{"at_us": 1, "harn')
    fresh.write_text("")
    foreign.write_text('{"at_us":1,"harness":"none","event":"Stop","session":"s","size":0,"payload":{}}')
    os.utime(torn, (1, 1))
    live.hook("Stop")
    with Journal.open(live.journal) as journal:
        problems = ingest(journal).problems
    assert len(problems) == 2
    assert waiting(folder) == [fresh.name]


def test_a_session_named_as_a_shared_scope_is_none(live: Live) -> None:
    """It took the stream in which a project's store is; it is told, and the sessions beside it are taken."""
    folder = spool_of(live.journal)
    started = '{"at_us":1,"harness":"claude-code","event":"SessionStart","session":"scope:p","size":-1,"payload":{}}'
    (folder / f"{1:020d}-1.json").write_text(started)
    live.hook("SessionStart", source="startup")
    with Journal.open(live.journal) as journal:
        (problem,) = ingest(journal).problems
        assert "scope:p: scope: names the streams of shared scopes" in problem
        assert [head.session_id for head in journal.log.heads()] == [live.session_id]
    assert waiting(folder) == []


def test_a_session_id_with_control_characters_is_that_of_an_import(live: Live, tmp_path: Path) -> None:
    """It is escaped, before its transcript says anything and afterwards, and an import finds what the hooks told."""
    odd = Live(live.journal, live.work, "a\x01\u202eb\tc")
    begin(odd)
    odd.answer("the port is 5433")
    odd.hook("Stop")
    shown = r"a\x01\u202eb\tc"
    with Journal.open(live.journal) as journal:
        assert ingest(journal).problems == []
        assert [head.session_id for head in journal.log.heads()] == [shown]
        assert any(row.type == "tool_called" or "5433" in str(row) for row in journal.log.read(shown))
        assert newest(spool_of(live.journal), str(live.work)) == shown
    with Journal.open(tmp_path / "other.db") as other:
        replay(other, odd.transcript, ReplaySettings())
        assert [head.session_id for head in other.log.heads()] == [shown]


def _newer(path: Path) -> None:
    Journal.open(path).close()
    data = bytearray(path.read_bytes())
    data[60:64] = (999).to_bytes(4, "big")
    path.write_bytes(data)


BROKEN: dict[str, Callable[[Path], object]] = {
    "damaged": lambda path: path.write_bytes(b"no journal" * 1000),
    "a folder": lambda path: path.mkdir(),
    "newer": _newer,
}


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_a_journal_that_cannot_be_written(live: Live, how: str) -> None:
    """The harness gets an empty answer, the events stay, and the reason is kept for the doctor."""
    BROKEN[how](live.journal)
    event = live.hook("SessionStart", source="compact")
    assert answer(str(live.journal), str(event)) == "{}\n"
    assert answer(str(live.journal), str(live.hook("PreCompact"))) == ""
    assert len(waiting(spool_of(live.journal))) == 2
    assert len((spool_of(live.journal) / PROBLEMS).read_text().splitlines()) == 2


def test_a_journal_that_can_only_be_read(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness gets an empty answer, the event stays and is taken once the journal can be written again."""
    begin(live)
    take(live)
    before = inputs(live)
    event = live.hook("SessionStart", source="compact")
    with monkeypatch.context() as patched:
        may = os.access
        patched.setattr(os, "access", lambda path, mode: mode != os.W_OK and may(path, mode))
        assert answer(str(live.journal), str(event)) == "{}\n"
    assert inputs(live) == before and waiting(spool_of(live.journal)) == [event.name]
    assert "JournalReadOnly" in (spool_of(live.journal) / PROBLEMS).read_text()
    assert answer(str(live.journal), str(event)).count("find the bug") == 1


def test_a_session_without_a_transcript(live: Live) -> None:
    """Hooks that name no file: rules and compactions are recorded from what they tell, each once."""
    live.hook("SessionStart", source="startup", transcript_path="")
    assert take(live) == ""
    for _ in range(2):
        live.hook("PreCompact", transcript_path="")
        assert "stored" in take(live, live.hook("SessionStart", source="compact", transcript_path=""))
    live.hook("SessionEnd", reason="other", transcript_path="")
    take(live)
    assert [told.told_by for told in compactions(live)] == [ToldBy.HOOK] * 2
    pages = [data for data in inputs(live) if isinstance(data, e.PageWritten)]
    assert [(page.page_type, page.told_by) for page in pages] == [(PageType.BOOTSTRAP, ToldBy.FILE)]
    assert waiting(spool_of(live.journal)) == []


def test_a_locked_journal(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer that holds the journal keeps nobody waiting for long, and what was told is taken later."""
    monkeypatch.setattr("clawvm_es.integrations.answering.WAIT_S", 0.0)
    begin(live)
    take(live)
    event = live.hook("SessionStart", source="compact")
    with Journal.open(live.journal) as other, other.log.transaction():
        assert answer(str(live.journal), str(event)) == "{}\n"
    assert answer(str(live.journal), str(event)).count("find the bug") == 1


def test_a_full_disk_is_told_when_it_has_room(live: Live) -> None:
    """No file grows: the harness gets an empty answer, the event stays, and the doctor says it, then and later."""
    (spool_of(live.journal) / ROOM).write_bytes(BLANK)
    begin(live)
    take(live)
    event, limits = live.hook("SessionStart", source="compact"), resource.getrlimit(resource.RLIMIT_FSIZE)
    (spool_of(live.journal) / PROBLEMS).write_text("x" * ROOM_BYTES)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, limits[1]))
    try:
        assert answer(str(live.journal), str(event)) == "{}\n"
        full = [check for check in _spool(spool_of(live.journal)) if not check.ok and "large" in check.detail]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [check.hint for check in full] == ["make room: meanwhile hooks keep nothing"]
    assert "JournalFull" in "".join(check.detail for check in _problems(spool_of(live.journal)))
    assert "JournalFull" not in "".join(check.detail for check in examine(str(live.journal), forget=True))
    assert answer(str(live.journal), str(event)).count("find the bug") == 1


def test_what_is_told_on_a_full_disk_stays(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event whose inputs could not be written is not deleted."""
    begin(live)

    def full(*_: object, **__: object) -> None:
        raise JournalError(f"{live.journal}: the disk is full")

    monkeypatch.setattr("clawvm_es.engine.shell.Shell._append", full)
    with Journal.open(live.journal) as journal, pytest.raises(JournalError):
        ingest(journal)
    assert len(waiting(spool_of(live.journal))) == 1


def test_verbs_take_what_waits(live: Live, run_verb: Callable[..., str]) -> None:
    """A verb that reads the journal sees what the hooks told before it."""
    begin(live)
    take(live)
    live.user("go on")
    live.answer("all right")
    live.hook("Stop")
    assert '"turns": 3' in run_verb("sessions", str(live.journal), "--json")
    assert waiting(spool_of(live.journal)) == []


def test_taking_quietly_raises_nothing(live: Live) -> None:
    """What is wrong with the journal is said by the verb itself, and kept."""
    live.journal.write_bytes(b"no journal")
    live.hook("Stop")
    take_quietly(str(live.journal))
    assert "NotAJournal" in (spool_of(live.journal) / PROBLEMS).read_text()


def test_what_is_given_back_is_bounded(live: Live) -> None:
    """However many pages are pinned, the text stays below what harnesses cut, and the directory stands at its end."""
    begin(live)
    take(live)
    with Journal.open(live.journal) as journal, journal.session(live.session_id) as session:
        for number in range(60):
            page = session.write_page("evidence", f"result {number}\n" * 50)
            session.pin(page, "soft")
        rule = session.write_page("constraint", "Never use sudo.")
        text = restored(journal, session, CLAUDE_CODE)
        assert len(text) <= CHARS_MAX
        assert text.endswith(directory(len(session.state.pages)))
        assert text.index("Never use sudo") < text.index("find the bug") < text.index("result 0")
        session.retire(rule)
        assert "Never use sudo" not in restored(journal, session, CLAUDE_CODE)


def test_problems_are_bounded(tmp_path: Path) -> None:
    """Old problems make room for new ones."""
    for number in range(400):
        note(tmp_path, f"{number} " + "x" * 1000)
    kept = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert kept < 3 << 16
    assert "399 x" in (tmp_path / PROBLEMS).read_text()


def test_a_pipe_in_the_spool_is_not_waited_for(tmp_path):
    """Nothing in the folder makes a hook wait: what is no file holds no event, no session and no problem."""
    for name in (PROBLEMS, SESSIONS, f"{1:020}-1.json"):
        os.mkfifo(tmp_path / name)
    assert not note(tmp_path, "a problem")
    assert newest(tmp_path, "/srv") is None
    found = Ingested()
    assert _by_session(tmp_path, found) == {}
