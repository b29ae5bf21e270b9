"""Sessions that page in epochs, through the engine: bytes, idle time, erasures, forks, and what `why` says."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.core.profiles import CLAWVM, CLAWVM_TURN
from clawvm_es.engine.idle import Idle
from clawvm_es.engine.journal import Journal
from clawvm_es.history import prompt_at, redecide, state_at
from clawvm_es.history.provenance import provenance
from clawvm_es.history.redact import Target, redact
from clawvm_es.history.whatif import Setting, events_under, whatif
from clawvm_es.history.why import why
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import EpochTrigger
from clawvm_es.projections import projections_problems, rebuild
from clawvm_es.storage import verify
from clawvm_es.views.words import verdict

SECOND = 1_000_000


@pytest.fixture
def clock():
    """A clock that stands until it is told to move, in seconds."""
    return {"now": 1_000.0}


@pytest.fixture
def journal(tmp_path, clock):
    """A journal under that clock."""
    with Journal.open(tmp_path / "j.db", seed=1, clock=lambda: int(clock["now"] * SECOND)) as opened:
        yield opened


def working(journal, budget=2_000, steps=8, policy=CLAWVM, session_id="s"):
    """A session in the middle of an epoch: a rule, a plan, and results that came one a turn."""
    options = {"policy": policy, "budget_tokens": budget, "counter": "lines4", "on_pressure": "degrade"}
    session = journal.session(session_id, **options)
    session.write_page("constraint", "- Never push to main.")
    session.write_page("plan", "Goal: ship\n1. [ ] build\n2. [ ] test", author="model")
    for number in range(steps):
        session.user_says(f"mark{number} " + "words of it " * 20)
        session.assemble()
        session.observe_model(f"said{number} " + "so it is " * 8)
    return session


def prompts(journal, session_id="s"):
    """The prompts of a session: (what was assembled, the text of the layout, the tail), in order."""
    found = []
    for row in read_session(journal.log, session_id):
        if isinstance(row.data, e.PromptAssembled):
            pieces = prompt_at(journal.log, session_id, row.version).pieces
            texts = [
                "".join(piece.text for piece in pieces if (piece.page_id is None) is line) for line in (False, True)
            ]
            found.append((row.data, *texts))
    return found


def test_without_an_epoch_the_bytes_of_a_layout_are_the_beginning_of_the_next(journal):
    """LAW-EPOCH-1 in bytes: whatever happens in between, rewritten and retired pages included."""
    with working(journal, budget=1_200, steps=14) as session:
        session.write_page("plan", "Goal: ship\n1. [x] build\n2. [ ] test", page_id="p2", author="model")
        session.assemble()
        session.retire("p5")
        session.pin("p9", "hard")
        session.assemble(hints=["p4"])
        text = session.assemble().text
    found = prompts(journal)
    assert len({made.epoch for made, _, _ in found}) > 1
    for (_, before, _), (made, after, _) in itertools.pairwise(found):
        assert after.startswith(before) is (made.trigger is None)
    assert text == "".join(found[-1][1:])
    assert all(prompt_at(journal.log, "s", version + 1).matches for version in turns_of(journal))
    assert verify(journal.log) == ()


def turns_of(journal, session_id="s"):
    """The versions of all assemblies of a session."""
    return [row.version for row in read_session(journal.log, session_id) if isinstance(row.data, e.PromptAssembled)]


def test_spans_tile_a_prompt_that_holds_an_old_copy(journal):
    """LAW-PROVENANCE-1: the copy that was rewritten is a span of its own, with the text that was sent."""
    with working(journal) as session:
        session.write_page("plan", "Goal: rest", page_id="p2", author="model")
        prompt = session.assemble()
    shown, spans = provenance(journal.log, "s")
    assert [span.page_id for span in spans].count("p2") == 2 and shown.assembled.stale_tokens > 0
    assert "".join(span.text for span in spans) == prompt.text
    reserve = 0 if spans[-1].page_id is None else shown.assembled.directory_tokens
    assert spans[-1].end_token == shown.assembled.tokens - reserve
    for one, after in itertools.pairwise(spans):
        assert (one.end_byte, one.end_token) == (after.first_byte, after.first_token)


def test_an_erased_text_leaves_the_layout_and_every_prompt(journal):
    """Also where only an older copy of its page showed it; the next prompt begins an epoch."""
    with working(journal) as session:
        session.write_page("conversation", "quite another text", page_id="p3")
        session.assemble()
    old = next(
        row.data for row in journal.log.read("s") if isinstance(row.data, e.PageWritten) and row.data.page_id == "p3"
    )
    redact(journal.log, Target("s", body=old.levels[0].body), at_us=9 * SECOND)
    state = state_at(journal.log, "s")
    assert not any(entry.page_id == "p3" and entry.content_version == 1 for entry in state.entries.values())
    with journal.session("s") as session:
        text = session.assemble().text
    assert "mark0" not in text and prompts(journal)[-1][0].trigger is EpochTrigger.FORCED
    assert all("mark0" not in prompt_at(journal.log, "s", version).text for version in turns_of(journal))
    assert prompt_at(journal.log, "s", turns_of(journal)[2] + 1).matches is not True
    assert prompt_at(journal.log, "s").matches is True


# -------------------------------------------------------------------------------------------- idle time


@pytest.mark.parametrize(("pause", "told"), [(0, 0), (299.9, 299), (301, 301), (-50, 0)])
def test_idle_seconds_run_from_the_last_answer_to_the_newest_input(journal, clock, pause, told):
    """Whole seconds, never negative, by the times of the envelopes; also for a session that was opened anew."""
    with working(journal, steps=1) as session:
        clock["now"] += pause
        session.user_says("again")
        clock["now"] += 9_999  # the turn begins later: what counts is what came before it
        session.assemble()
    with journal.session("s") as session:
        session.assemble()
    idle = [row.data.idle_s for row in journal.log.read("s") if isinstance(row.data, e.TurnBegan)]
    assert idle == [None, told, max(0, int(pause + 9_999))]


def test_without_a_clock_idle_time_is_not_known(tmp_path):
    """A time of 0 is none: the cache is taken to be warm."""
    with Journal.open(tmp_path / "j.db", seed=1, clock=lambda: 0) as journal, working(journal, steps=3):
        idle = [row.data.idle_s for row in journal.log.read("s") if isinstance(row.data, e.TurnBegan)]
    assert idle == [None, None, None]


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 10**16)), max_size=8))
@settings(max_examples=60)
def test_idle_time_is_that_of_the_last_answer_and_the_last_input(told):
    """Whatever order times have: the last answer counts, and the last input of any kind."""
    idle = Idle(0, 0)
    for answers, at_us in told:
        idle.saw(e.ModelResponded() if answers else e.BudgetChanged(1), at_us)
    answered = [at_us for answers, at_us in told if answers][-1:]
    counted = answered and [at_us < 31_536_000 * SECOND for at_us in (answered[0], told[-1][1])]  # as if in 1970
    known = answered and min(answered[0], told[-1][1]) > 0 and len({*counted}) == 1
    assert idle.seconds() == (max(0, told[-1][1] - answered[0]) // SECOND if known else None)


@pytest.mark.parametrize(
    ("answered", "newest", "seconds"),
    [
        (1, 1, 0),
        (1, 1 + SECOND, 1),
        (2, 1 + SECOND, 0),
        (1, 31_536_000 * SECOND - 1, 31_535_999),  # the last time that is counted
        (31_536_000 * SECOND - 1, 31_536_000 * SECOND, None),
        (31_536_000 * SECOND, 31_536_000 * SECOND + SECOND, 1),  # the first one that is told
        (0, 5, None),
        (5, 0, None),
        (None, 5, None),
        (5, None, None),
        (-1, 5, None),
        (5, -1, None),
    ],
)
def test_idle_time_is_known_between_two_times_of_a_kind(answered, newest, seconds):
    """From the first microsecond on; not where a time is missing, nor between a counted one and a told one."""
    assert Idle(answered, newest).seconds() == seconds


def test_a_turn_delivered_again_is_the_same_whatever_the_time(journal, clock):
    """Neither idle time nor the model's name make other content of it."""
    with working(journal, steps=1) as session:
        first = session.assemble(key="k", fixed="rules", model="one")
        clock["now"] += 5_000
        again = session.assemble(key="k", fixed="rules", model="one")
        assert again.text == first.text
        session.assemble(fixed="other rules", model="one")
        session.assemble(fixed="other rules", model="two")
    made = [made.trigger for made, _, _ in prompts(journal)]
    assert made == [EpochTrigger.FORCED, None, EpochTrigger.FORCED, EpochTrigger.FORCED]


def test_what_if_fills_idle_time_from_the_envelopes(journal, clock):
    """A session whose turns do not say it, as of older schemas, is decided as one whose turns do."""
    with working(journal, steps=6) as session:
        clock["now"] += 4_000
        session.user_says("late " * 200)
        session.assemble()
    rows = tuple(read_session(journal.log, "s"))
    made = list(events_under(rows, Setting(CLAWVM, 2_000), journal.log.vault("s").open))
    triggers = [each.trigger for each in made if isinstance(each, e.PromptAssembled)]
    assert triggers == [made.trigger for made, _, _ in prompts(journal)] and EpochTrigger.COLD in triggers
    found = whatif(journal.log, "s", [Setting(CLAWVM, 2_000), Setting(CLAWVM_TURN, 2_000)])
    assert (found.runs[0].figures, found.runs[0].parted) == (found.recorded.figures, None)
    assert found.runs[1].figures.uncached_tokens > 0


# ----------------------------------------------------------------------------- forks, rebuild, re-decide


def test_what_was_decided_in_epochs_is_decided_again_rebuilt_and_gone_on_from_snapshots(journal):
    """Every decision is the same today, read models rebuild, and the state through snapshots is the folded one."""
    with working(journal, budget=900, steps=60) as session:
        live = session.state.copy()
    rows = list(read_session(journal.log, "s"))
    assert redecide(rows) == sum(row.kind == "decision" for row in rows)
    rebuild(journal.log)
    assert list(projections_problems(journal.log)) == []
    with journal.session("s") as session:
        restored = session.state
        assert list(restored.entries.items()) == list(live.entries.items())
        assert (restored.standing, restored.superseded, restored.sent) == (live.standing, live.superseded, live.sent)
        text = session.assemble().text
    assert text == prompt_at(journal.log, "s").text


def test_a_fork_inside_an_assembly_goes_on_from_the_layout_of_its_parent(journal):
    """Wherever it cuts the assembly, the fork's first prompt begins with the parent's last whole one."""
    with working(journal, steps=5):
        pass
    rows = [row for row in journal.log.read("s") if row.turn == 5]
    began = next(row for row in rows if isinstance(row.data, e.TurnBegan))
    done = next(row for row in rows if isinstance(row.data, e.PromptAssembled))
    before = prompts(journal)[3][1]
    for at in range(began.version, done.version):
        with journal.fork("s", f"f{at}", at=at) as fork:
            text = fork.assemble().text
        assert text.startswith(before)
        assert prompts(journal, f"f{at}")[-1][0].entries == done.data.entries


# ------------------------------------------------------------------------------------------------- why


KINDS = ("kept since", "left it out", "appended", "new, or asked for again")


def test_why_between_epochs_tells_of_the_epoch_that_weighed_the_page(journal):
    """Which one, at what place in its order, what was left for it; and what came since, when."""
    with working(journal, budget=900, steps=30):
        pass
    last = [made for made, _, _ in prompts(journal)]
    turn = next(at for at in range(len(last), 1, -1) if last[at - 1].trigger is None and last[at - 2].trigger is None)
    said = {}
    for page in why(journal.log, "s", "p1", turn).candidates:
        found = why(journal.log, "s", page.page_id, turn)
        assert not found.differs and found.since.epoch == found.epoch and found.trigger is None
        assert last[found.since.turn - 1].trigger is found.since.trigger
        words = verdict(found)
        kind = next(word for word in (*KINDS, "") if word in words)
        said.setdefault(kind, []).append(words)
    assert "" not in said and len(said) == 4
    began = f"epoch {found.since.epoch} at turn {found.since.turn} (the budget was full) "
    assert found.since.trigger is EpochTrigger.HIGH and all(began in words for words in said["kept since"])
    assert any(f", as number {rank} of the " in words for words in said["kept since"] for rank in range(1, 99))
    asked = re.compile(
        r" left it out: a step to full took \d+ tokens, and \d+ were left; pages are chosen again when the budget "
    )
    assert any(asked.search(words) for words in said["left it out"])
    assert all(words.endswith(" % so far)") for words in said["left it out"])


def test_why_at_an_epoch_names_its_trigger(journal):
    """What the epoch itself decided is told as ever."""
    with working(journal, steps=2):
        pass
    found = why(journal.log, "s", "p1", 1)
    assert (found.epoch, found.trigger, found.since) == (1, EpochTrigger.FORCED, None)
    assert ", where epoch 1 began (the first prompt): " in verdict(found)
    assert found.account.arrivals > 0
