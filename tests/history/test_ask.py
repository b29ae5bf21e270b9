"""Asking a log: why, blame, diff, bisect and provenance say what the log holds, no more and no less."""

from itertools import pairwise

import pytest
from hypothesis import given as forall
from hypothesis import settings as limit
from hypothesis import strategies as st

from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.core.tracing import Stop
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.history import diff as diff_module
from clawvm_es.history.bisect import bisect, first_fault
from clawvm_es.history.blame import blame
from clawvm_es.history.diff import diff
from clawvm_es.history.expressions import Seen, question
from clawvm_es.history.page_history import page_history
from clawvm_es.history.places import prompt_at, state_at
from clawvm_es.history.provenance import provenance
from clawvm_es.history.spans import PageSpan, Spans
from clawvm_es.history.why import why
from clawvm_es.journal.lineage import read_back, read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason, FaultType, RedactReason
from clawvm_es.model.pages import ABSENT, LADDER
from tests.engine.conftest import FIELDS
from tests.engine.test_shell import busy

PAGES_OF = diff_module._pages
DECLARED = Settings(fields=FIELDS)


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """A busy session `s`, a fork `f` of it in the middle that nobody touched, and a weak session `w`."""
    path = tmp_path_factory.mktemp("ask") / "j.db"
    with Journal.open(path, seed=1, clock=lambda: 0) as journal:
        with journal.session("s", budget_tokens=500, counter="lines4", settings=DECLARED) as session:
            busy(session)
        with journal.session("w", budget_tokens=500, counter="lines4", policy="retrieval", settings=DECLARED) as weak:
            busy(weak)
        journal.fork("s", "f", at=60).detach() if hasattr(journal, "detach") else journal.fork("s", "f", at=60)
        yield journal


@pytest.fixture(scope="module")
def monkeypatch_module():
    """What is patched for a part of one example."""
    return pytest.MonkeyPatch()


@pytest.fixture(scope="module")
def log(journal):
    """Its log."""
    return journal.log


def turns(log, session_id):
    """The turns of a session whose prompt was assembled."""
    return [row.turn for row in read_session(log, session_id) if isinstance(row.data, e.PromptAssembled)]


# ----------------------------------------------------------------------------------------------- diff


@limit(deadline=None, max_examples=25)
@forall(st.data())
def test_a_diff_looks_at_the_pages_between_only(log, monkeypatch_module, data):
    """Of one session, comparing the pages that events between are about gives what comparing all pages gives."""
    session_id = data.draw(st.sampled_from(["s", "w"]))
    last = log.head(session_id).version
    a, b = (data.draw(st.integers(1, last)) for _ in range(2))
    found = diff(log, (session_id, a), (session_id, b))
    with monkeypatch_module.context() as patched:
        every = lambda one, two, _: PAGES_OF(one, two, one.state.pages.keys() | two.state.pages.keys())  # noqa: E731
        patched.setattr("clawvm_es.history.diff._pages", every)
        assert diff(log, (session_id, a), (session_id, b)) == found


# ------------------------------------------------------------------------------------------------ why


@pytest.mark.parametrize("session_id", ["s", "w", "f"])
def test_why_tells_of_every_turn_what_was_recorded(log, session_id):
    """LAW-WHY-1: at each turn the levels told are those of the state after the recorded assembly."""
    for turn in turns(log, session_id):
        found = why(log, session_id, "p1", turn)
        after = state_at(log, session_id, found.assembled)
        assert not found.differs and found.turn == turn
        assert {c.page_id: LADDER.index(c.after) for c in found.candidates if c.after != "absent"} == after.resident
        assert found.candidates[0].page_id == "p1"
        assert len(found.candidates) == len(state_at(log, session_id, found.began).pages)


def test_why_of_a_missing_page_names_the_event_that_made_it_leave(log):
    """The change told is the last of that page, and its cause the input that led to it."""
    seen = 0
    for turn in turns(log, "s"):
        for candidate in why(log, "s", "p1", turn).candidates:
            found = why(log, "s", candidate.page_id, turn)
            changes = [
                row
                for row in read_session(log, "s", upto=found.assembled)
                if isinstance(row.data, e.RepresentationChanged) and row.data.page_id == candidate.page_id
            ]
            assert (found.changed and found.changed.event.version) == (changes[-1].version if changes else None)
            if candidate.after == "absent" and found.changed is not None:
                seen += 1
                assert (found.changed.after, found.changed.cause.version) == ("absent", changes[-1].cause)
    assert seen > 3


def test_why_refuses_what_does_not_exist(log):
    """No such session, turn or page, a page of later, and a shared scope: said in one line."""
    for arguments, says in (
        (("nobody", "p1"), "no session"),
        (("s", "p1", 99), "no turn 99"),
        (("s", "p999"), "no page p999"),
        (("s", "p9", 1), "not written yet"),
        (("s", "p1", None, 2), "no prompt was assembled"),
    ):
        with pytest.raises(UsageError, match=says):
            why(log, *arguments)


def test_why_says_when_other_code_decides_otherwise(log, monkeypatch):
    """Under changed weights the reasons are today's, and the answer says that they are not the recorded ones."""
    from clawvm_es.core import utility

    monkeypatch.setattr(utility, "QUALITY", (0, 900, 910, 920, 1000))
    assert any(why(log, "s", "p1", turn).differs for turn in turns(log, "s"))


# ----------------------------------------------------------------------------------------- provenance


@pytest.mark.parametrize("session_id", ["s", "w", "f"])
def test_the_spans_tile_every_prompt(log, session_id):
    """LAW-PROVENANCE-1: spans follow each other, their texts are the prompt, their tokens its recorded total."""
    for turn in turns(log, session_id):
        shown, spans = provenance(log, session_id, why(log, session_id, "p1", turn).assembled)
        body = shown.text.encode("utf-8", "surrogatepass")
        assert b"".join(body[s.first_byte : s.end_byte] for s in spans) == body
        assert "".join(span.text for span in spans) == shown.text
        for one, after in pairwise(spans):
            assert (one.end_byte, one.end_token) == (after.first_byte, after.first_token)
        assert spans[-1].end_token <= shown.assembled.tokens
        for span in spans:
            if span.origin is not None:
                written = next(read_session(log, session_id, span.origin.written.version - 1)).data
                assert isinstance(written, e.PageWritten) and written.page_id == span.page_id
                assert (span.origin.call is None) == (written.origin.call is None)


def test_an_erased_page_is_shown_as_such():
    """What a later redaction took out of an old prompt is marked, and the spans still tile what is shown."""
    with Journal.open(":memory:") as journal, journal.session("s", budget_tokens=400, counter="lines4") as session:
        session.user_says("a secret of mine")
        session.assemble()
        version = session.state.version
        page = session.state.pages["p1"]
        bodies = tuple(sorted({body for body in page.bodies if body}))
        session.command(e.ContentRedacted(RedactReason.REQUEST, bodies, ("p1",))) if hasattr(
            session, "command"
        ) else None
        shown, spans = provenance(journal.log, "s", version)
        assert "".join(span.text for span in spans) == shown.text
        assert [span.page_id for span in spans if span.page_id] == ["p1"]


# ---------------------------------------------------------------------------------------------- blame


def test_blame_tells_each_committed_version_with_its_evidence(log):
    """LAW-BLAME-1: versions from 1 without a gap, each with its commit, its value and the page it rests on."""
    found = blame(log, "s", "notes")
    assert [value.field_version for value in found.values] == list(range(1, len(found.values) + 1))
    assert [value.text for value in found.values] == [str(n) for n in range(len(found.values))] and found.values
    for value in found.values:
        committed = next(read_session(log, "s", value.settled.version - 1)).data
        assert isinstance(committed, e.UpdateCommitted) and committed.field == "notes"
        assert value.evidence.page.written.version < value.staged.version < value.settled.version


def test_blame_of_a_page_tells_its_contents_and_how_it_was_written_back(log):
    """Each content of a page leads to the event that wrote it; as a field it has its own versions."""
    plan = next(p.page_id for p in state_at(log, "s").pages.values() if p.page_type == "plan")
    found = blame(log, "s", plan)
    written = [r for r in read_session(log, "s") if isinstance(r.data, e.PageWritten) and r.data.page_id == plan]
    assert [c.provenance.written.version for c in found.contents] == [row.version for row in written]
    assert found.contents[0].text.startswith("Goal: x") and found.values[0].text.startswith("Goal: x")
    assert blame(log, "s", plan, found.contents[0].provenance.written.version).values == ()


@limit(deadline=None, max_examples=25)
@forall(st.data())
def test_blame_and_a_page_s_life_read_the_events_about_it_only(log, monkeypatch_module, data):
    """Of a page or a field, at any place, reading by the read models' spans gives what reading everything gives."""
    session_id = data.draw(st.sampled_from(["s", "w", "f"]))
    end = log.head(session_id).version
    at = data.draw(st.none() | st.integers(40, end))
    updates = state_at(log, session_id, at).updates.values()
    fields = {each.facts.field for each in updates if each.field_version or each.reason}
    pages = [*state_at(log, session_id, at).pages]
    subject = data.draw(st.sampled_from([*pages, *sorted(fields)]))
    found = blame(log, session_id, subject, at)
    life = page_history(log, session_id, subject) if subject in pages else None
    with monkeypatch_module.context() as patched:
        patched.setattr(Spans, "page", lambda spans, page_id: PageSpan(1, end, end, end, 99))
        patched.setattr(Spans, "update", lambda spans, number: end)
        assert blame(log, session_id, subject, at) == found
        assert life is None or page_history(log, session_id, subject) == life


def test_blame_of_a_shared_field_names_the_session_that_wrote_it(tmp_path):
    """A field of a project has one history, told the same from any of its sessions and from the scope itself."""
    with Journal.open(tmp_path / "j.db") as journal:
        for number, name in enumerate(("one", "two")):
            with journal.session(name, project="team", settings=DECLARED) as session:
                page = session.user_says(f"note {number}")
                session.stage("notes", "append", number, scope="project", evidence=page)
                session.stage("nothing", "append", number, evidence=page)
                session.save()
        told = [blame(journal.log, each, "notes").values for each in ("one", "two", "scope:team")]
        assert told[0] == told[1] == told[2]
        assert [(v.session_id, v.field_version, v.scope_version, v.text) for v in told[0]] == [
            ("one", 1, 1, "0"), ("two", 2, 2, "1"),
        ]  # fmt: skip
        assert [value.reason for value in blame(journal.log, "one", "undeclared").rejected] == ["SCHEMA_INVALID"]
        assert blame(journal.log, "one", "notes", journal.log.head("one").version).values == told[0][:1]
        for stream in ("one", "scope:team"):
            with pytest.raises(UsageError, match="no page or field 'poem'"):
                blame(journal.log, stream, "poem")


# ----------------------------------------------------------------------------------------------- diff


def test_a_parent_and_its_untouched_fork_do_not_differ(log):
    """LAW-DIFF-1: nor does a moment from itself, under whichever policy."""
    assert diff(log, ("s", 60), ("f", None)).same
    assert diff(log, ("w", 50), ("w", 50)).same
    assert not diff(log, ("s", 61), ("s", None)).same


@forall(st.data())
@limit(max_examples=15, deadline=None)
def test_the_two_directions_tell_the_same(log, data):
    """LAW-DIFF-1: what a lacks b has, and the other way round; levels told are those of the two states."""
    a, b = (
        (name, data.draw(st.integers(1, log.head(name).version)))
        for name in data.draw(st.tuples(*[st.sampled_from("sw")] * 2))
    )
    there, back = diff(log, a, b), diff(log, b, a)
    assert [p.page_id for p in there.pages] == [p.page_id for p in back.pages]
    assert [(f.field, f.a, f.b) for f in there.store] == [(f.field, f.b, f.a) for f in back.store]
    assert [(s.name, s.a, s.b) for s in there.settings] == [(s.name, s.b, s.a) for s in back.settings]
    assert there.same == back.same
    one, two = state_at(log, *a), state_at(log, *b)
    differ = {
        page_id
        for page_id in one.pages.keys() & two.pages.keys()
        if one.resident.get(page_id, ABSENT) != two.resident.get(page_id, ABSENT)
    }
    assert {p.page_id for p in there.pages if p.only is None and any(c.name == "level" for c in p.changes)} == differ


def test_a_diff_tells_settings_store_and_prompt(log):
    """A fork under another budget, and two moments with a commit and a prompt between them."""
    assert {change.name for change in diff(log, ("s", None), ("w", None)).settings} >= {"policy.name", "policy.rule"}
    found = diff(log, ("s", 5), ("s", None))
    assert found.a.prompt_turn is None or found.a.prompt_turn <= found.b.prompt_turn
    assert ("notes", 0) in {(field.field, field.a_version) for field in found.store}
    assert found.prompt is not None and found.prompt.lines_b > 0
    assert prompt_at(log, "s").levels.keys() >= set(found.prompt.only_b)


# --------------------------------------------------------------------------------------------- bisect


def scan(log, session_id, ask):
    """Whether a question holds, at every version: a plain fold."""
    state, faults, found = State(), 0, [False]
    for row in read_session(log, session_id):
        apply(state, row.data)
        faults += isinstance(row.data, e.FaultObserved)
        found.append(ask(Seen(state, lambda name, now=faults: now)))
    return found


QUESTIONS = [
    "absent(p2)", "resident(p4)", "turn >= 3", "version == 40", "faults > 0", "dirty > 0 and turn > 2",
    "page.p2.level < structured", "store.notes >= 2", "fill > 900", "page.p1.type == bootstrap and not resident(p1)",
    "not (turn < 4) or page['p3'].tokens > 10000", "page.p2.level == full", "-1 > 0", "1 < turn < 3", "closed",
]  # fmt: skip


@pytest.mark.parametrize("text", QUESTIONS)
@pytest.mark.parametrize("session_id", ["s", "w"])
def test_bisect_finds_what_a_scan_finds(log, session_id, text):
    """LAW-BISECT-1, LAW-BISECT-2: exactly the first event if all are asked, else one where it begins to hold."""
    ask = question(text)
    holds = scan(log, session_id, ask)
    begins = [v for v in range(1, len(holds)) if holds[v] and not holds[v - 1]]
    every = bisect(log, session_id, ask)
    assert every.every and (every.first and every.first.version) == (begins[0] if begins else None)
    assert every.monotone == (len(begins) <= 1 and (not begins or all(holds[begins[0] :])))
    searched = bisect(log, session_id, ask, linear=False)
    assert searched.first is None or searched.first.version in begins
    if every.monotone and begins:
        assert searched.first == every.first and searched.monotone
        assert searched.before is None or searched.before.version == begins[0] - 1


def test_absent_becomes_true_where_a_page_left(log):
    """LAW-EXPR-2: the event found for a page that was shown is the change that took it out of the prompt."""
    left = next(
        row
        for row in read_session(log, "s")
        if isinstance(row.data, e.RepresentationChanged) and row.data.after == "absent"
    )
    found = bisect(log, "s", question(f"absent({left.data.page_id})"))
    assert found.first == left
    shown = left.data.reason is ChangeReason.BOUNDARY  # then the prompt of that turn still had it
    told = why(log, "s", left.data.page_id, left.turn)
    assert told.changed.event.version <= told.assembled
    assert shown or (told.changed.event.version == left.version and told.page.stop is not Stop.TOP)


def test_the_first_fault_of_a_type_and_page(log):
    """Faults are found by type, and by page; none of another type is taken for one."""
    faults = [row for row in read_session(log, "w") if isinstance(row.data, e.FaultObserved)]
    for fault in FaultType:
        of_type = [row for row in faults if row.data.fault is fault]
        assert first_fault(log, "w", fault).first == (of_type[0] if of_type else None)
    last = faults[-1]
    found = first_fault(log, "w", last.data.fault, last.data.page_id, good=last.version - 1).first
    assert found == last


@pytest.mark.parametrize(("good", "bad"), [(5, 5), (9, 3), (-1, 4), (0, 10**6)])
def test_a_range_that_does_not_exist_is_refused(log, good, bad):
    """Versions in the wrong order, or beyond the session."""
    with pytest.raises(UsageError):
        bisect(log, "s", question("turn > 1"), good, bad)


def test_a_good_version_at_which_it_holds_is_refused(log):
    """`good` promises that it does not hold there."""
    with pytest.raises(UsageError, match="already"):
        bisect(log, "s", question("turn > 0"), good=log.head("s").version - 1)


@pytest.mark.parametrize(
    "text",
    [
        "", "turn", "turn >", "page.p1 > 3", "turn > full", "__import__('os')", "lambda: 1", "page.p1.foo == 1",
        "page.p1.type > evidence", "nobody == 3", "page.p1.type == 'poem'", "turn == 1.5", "[turn]", "turn in (1, 2)",
        "page.p1.__class__ == 1", "resident(p1, p2)", "(" * 500 + "turn > 1" + ")" * 500, "x" * 5000, "turn > 1\x00",
        "resident(1)", "store['a'].b > 1", "dirty and closed", "not turn",
    ],
)  # fmt: skip
def test_what_is_not_in_the_language_is_refused(text):
    """Each with a `UsageError`, and nothing of it is run."""
    with pytest.raises(UsageError):
        question(text)


def test_of_a_page_that_is_not_written_nothing_holds():
    """LAW-EXPR-1: whatever is asked about it."""
    seen = Seen(State(), lambda name: 0)
    for text in (
        "page.p1.level < full",
        "page.p1.level == absent",
        "absent(p1)",
        "page.p1.version != 3",
        "known(p1)",
    ):
        assert not question(text)(seen)


def test_reading_back_is_reading_forward_reversed(log):
    """Through the parents of a fork too, and from any version."""
    for session_id, most in (("s", 333), ("f", 61), ("s", 1)):
        upto = min(most, log.head(session_id).version)
        assert list(read_back(log, session_id, upto)) == list(read_session(log, session_id, upto=upto))[::-1]
