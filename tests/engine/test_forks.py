"""Forks: a session that goes on from an event of another, and holds everything up to there."""

import attrs
import pytest

from clawvm_es import limits
from clawvm_es.core.evolve import fold
from clawvm_es.core.profiles import CLAWVM, PAPER_WEIGHTS
from clawvm_es.core.ranking import scored
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.history import prompt_at, redecide, state_at
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal import snapshots
from clawvm_es.journal.lineage import lineage, read_session
from clawvm_es.model.facts import EpochTrigger
from clawvm_es.model.pages import Pin
from clawvm_es.storage import verify


@pytest.fixture
def journal(tmp_path):
    """A journal with a session `parent` of six turns."""
    with Journal.open(tmp_path / "j.db", seed=1, clock=lambda: 0) as journal:
        with journal.session("parent", budget_tokens=400, counter="lines4") as session:
            session.write_page("bootstrap", "- You must be careful.")
            for turn in range(6):
                session.user_says(f"message {turn} " + "words " * 30)
                session.assemble()
                session.observe_model(f"answer {turn}")
        yield journal


def test_an_untouched_fork_holds_what_its_parent_held(journal):
    """LAW-LINEAGE-1: state, prompt and versions of a fork are the parent's up to the fork."""
    parent = state_at(journal.log, "parent", 20)
    with journal.fork("parent", "child", at=20) as child:
        assert child.state.version == 21
        assert child.state.pages == parent.pages and child.state.resident == parent.resident
    assert [row.version for row in read_session(journal.log, "child")] == list(range(1, 22))
    assert prompt_at(journal.log, "child").text == prompt_at(journal.log, "parent", 20).text
    assert verify(journal.log) == ()


def test_a_fork_keeps_the_prefix_while_the_fixed_region_stays_what_it_was(journal):
    """The text decides, not the salt of the stream that keeps it: no epoch begins until the text is another."""
    with journal.session("fixed", counter="lines4") as session:
        session.user_says("hello")
        session.assemble(fixed="system prompt")
    with journal.fork("fixed", "child") as child:
        child.user_says("another way")
        child.assemble(fixed="system prompt")
        child.user_says("and another")
        child.assemble(fixed="another system prompt")
    triggers = [row.data.trigger for row in read_session(journal.log, "child") if row.type == "prompt_assembled"]
    assert triggers == [EpochTrigger.FORCED, None, EpochTrigger.FORCED]


def test_a_fork_goes_on_under_its_own_policy_and_budget(journal):
    """What a fork overrides holds from its first event on, and its decisions are taken again the same."""
    with journal.fork("parent", "child", at=20, policy="lru", budget_tokens=90) as child:
        child.user_says("another way")
        assert child.assemble().tokens <= 90
        child.compact()
    with journal.session("child") as again:
        assert again.state.profile.name == "lru" and again.state.budget_tokens == 90
    assert redecide(read_session(journal.log, "child")) > 0
    assert verify(journal.log) == ()


def test_a_fork_weighs_its_parents_pages_by_its_own_weights(journal):
    """Pages of the parent compete under the policy of the fork, as if they had been written under it."""
    weights = attrs.evolve(PAPER_WEIGHTS, pin_hard=7000)
    with journal.fork("parent", "child", at=20, policy=attrs.evolve(CLAWVM, weights=weights)) as child:
        hard = [page for page in child.state.pages.values() if page.pin is Pin.HARD]
        assert hard and all(scored(child.state, page) >= 7000 for page in hard)
        child.assemble()
    assert state_at(journal.log, "child") == fold(row.data for row in read_session(journal.log, "child"))
    assert redecide(read_session(journal.log, "child")) > 0


def test_a_fork_of_a_fork_reads_through_both(journal):
    """Each stream is read up to where it was forked."""
    with journal.fork("parent", "child", at=20) as child:
        child.user_says("one")
    with journal.fork("child", "grandchild") as grandchild:
        grandchild.user_says("two")
        assert list(grandchild.state.pages) == [f"p{n}" for n in range(1, len(grandchild.state.pages) + 1)]
    assert [(s.stream, s.upto) for s in lineage(journal.log, "grandchild")] == [
        ("parent", 20), ("child", 22), ("grandchild", None),
    ]  # fmt: skip
    assert [(s.stream, s.upto) for s in lineage(journal.log, "grandchild", 5)] == [("parent", 5)]


def test_a_fork_through_snapshots_is_the_fork_without(journal):
    """What a fork records, and the state that it starts from, do not depend on the caches of its parent."""
    with journal.session("parent") as parent:
        for turn in range(2 * limits.SNAPSHOT_EVENTS):
            parent.user_says(f"message {turn} of a longer talk")
    last = journal.log.head("parent").version
    places = (1, last // 2, last)
    plain = [journal.fork("parent", f"plain-{at}", at=at).state for at in places]
    snapshots.rebuild(journal.log)
    assert journal.log.ask(lambda db: db.execute("SELECT count(*) FROM snapshots").fetchone()[0]) > 1
    for at, state in zip(places, plain, strict=True):
        assert journal.fork("parent", f"quick-{at}", at=at).state == state
        first, second = (journal.log.first(f"{kind}-{at}") for kind in ("plain", "quick"))
        assert (first.turn, first.raw, first.prev_hash) == (second.turn, second.raw, second.prev_hash)


@pytest.mark.parametrize(
    ("name", "options"),
    [("child", {"at": 999}), ("child", {"at": 0}), ("parent", {}), ("scope:x", {}), ("child", {"policy": "none"}),
     ("child", {"budget_tokens": 0})],
)  # fmt: skip
def test_what_cannot_be_forked_leaves_the_log_alone(journal, name, options):
    """No such version, a name that is taken or reserved, an unknown policy, no budget: refused, nothing appended."""
    before = journal.log.heads()
    with pytest.raises(UsageError):
        journal.fork("parent", name, **options)
    assert journal.log.heads() == before


def test_a_session_that_is_not_there_cannot_be_forked(journal):
    """It is named, and neither it nor the fork begins."""
    before = journal.log.heads()
    with pytest.raises(UsageError, match="there is no session nobody to fork"):
        journal.fork("nobody", "child")
    assert journal.log.heads() == before


def test_a_fork_is_opened_as_its_parent_was_but_for_what_it_changes(journal):
    """Asked of a journal: policy and budget of the fork where it has its own, else those of its parents."""
    with journal.session("eldest", policy="lru", budget_tokens=500, counter="lines4") as session:
        session.user_says("hello")
        session.assemble()
    journal.fork("eldest", "same").close()
    journal.fork("eldest", "other", policy="clawvm", budget_tokens=300).close()
    journal.fork("other", "third", budget_tokens=200).close()
    found = {name: journal.opened(name) for name in ("eldest", "same", "other", "third")}
    assert {name: (opened.profile.name, opened.budget_tokens) for name, opened in found.items()} == {
        "eldest": ("lru", 500),
        "same": ("lru", 500),
        "other": ("clawvm", 300),
        "third": ("clawvm", 200),
    }
    assert journal.opened("nobody") is None


def test_an_erased_page_reads_as_nothing(journal):
    """Its text is gone, and that is no error."""
    with journal.session("s", counter="lines4") as session:
        page_id = session.user_says("secret")
        assert session.read_page(page_id) == "secret"
        redact(journal.log, Target("s", page_id), at_us=1)
        session.user_says("more")
        assert session.read_page(page_id) == ""
