"""At-least-once delivery: answers get lost, and another process delivers every hook again, in any order.

LAW-SHELL-2 under test: whoever delivers a key again gets its first result, and nothing is recorded twice.
"""

import asyncio
import itertools
import multiprocessing
import os
import random
from collections import Counter

import pytest

from clawvm_es.engine.aio import AsyncSession
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import IdempotencyConflict
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.pages import FULL
from clawvm_es.storage.sqlite import queries
from clawvm_es.storage.sqlite.log import SQLiteLog
from tests.engine.conftest import FIELDS, ticking

SETTINGS = Settings(fields=FIELDS)
ROUNDS = 500
SAMPLE = 12
RULES = "Always answer in metric units."


def hooks(scope="session"):
    """Every hook that takes a key, by its key: what to call with the answers so far, in an order that works."""
    return {
        "rule": lambda s, a: s.write_page("constraint", RULES, key="rule"),
        "said": lambda s, a: s.user_says("hello", key="said"),
        "turn": lambda s, a: s.assemble([a["said"]], 10, key="turn"),
        "model": lambda s, a: s.observe_model("hi", [("read", {"x": 1}), ("read", {"x": 2})], key="model"),
        "one": lambda s, a: s.observe_result(a["model"][0], "result one", key="one"),
        "two": lambda s, a: s.observe_result(a["model"][1], "result two", "error", source="read 2", key="two"),
        "recall": lambda s, a: s.recall("q", ["memory one", "memory two"], key="recall"),
        "ask": lambda s, a: s.recall("q2", lambda query: ["asked"], key="ask"),
        "lines": lambda s, a: s.resolve(a["one"], 1, 1, key="lines"),
        "note": lambda s, a: s.stage("notes", "append", 1, scope=scope, evidence=a["said"], key="note"),
        "fact": lambda s, a: s.stage("facts", "merge", {"a": 1}, evidence=a["rule"], key="fact"),
        "pin": lambda s, a: s.pin(a["one"], "hard", key="pin"),
        "budget": lambda s, a: s.set_budget(700, key="budget"),
        "rewrite": lambda s, a: s.write_page("conversation", "hello again", page_id=a["said"], key="rewrite"),
        "flush": lambda s, a: s.flush(key="flush"),
        "save": lambda s, a: s.save(key="save"),
        "compact": lambda s, a: s.compact(key="compact"),
        "prune": lambda s, a: s.prune([a["two"]], key="prune"),
        "retire": lambda s, a: s.retire(a["two"], key="retire"),
        "reset": lambda s, a: s.reset(key="reset"),
    }


class Lossy:
    """Lets some commits of a journal end without an answer, as if the process had died right after."""

    def __init__(self, log, dice, share):
        self.log, self.dice, self.share, self.lost = log, dice, share, 0
        self._end = log._end
        log._end = self.end

    def end(self, transaction, commit):
        """Commit, and then maybe do not answer."""
        wrote = bool(getattr(transaction, "spots", None))
        self._end(transaction, commit)
        if commit and wrote and self.dice.random() < self.share:
            self.lost += 1
            raise ConnectionResetError("the answer was lost")


def deliver(hook, session, answers):
    """One delivery; None where its answer was lost."""
    try:
        return (hook(session, answers),)
    except ConnectionResetError:
        return None


def play(first, second, session_id, seed, project=None):
    """Deliver every hook through two journals, again and again, in an order that `seed` shuffles; the answers."""
    dice = random.Random(seed)
    options = {"counter": "lines4", "project": project, "settings": SETTINGS}
    handles = []
    for journal in (first, second):
        found = None
        while found is None:
            found = deliver(lambda _, __, j=journal: j.session(session_id, **options), None, None)
        handles.append(found[0])
    assert [handle.state.opened is None for handle in handles] == [False, False]
    answers: dict[str, object] = {}
    known = hooks("project" if project else "session")
    for key, hook in known.items():
        for again in dice.sample(sorted(answers), min(len(answers), dice.randrange(4))):  # late deliveries
            found = deliver(known[again], dice.choice(handles), answers)
            assert found in (None, (answers[again],)), again
        found = None
        while found is None:
            found = deliver(hook, dice.choice(handles), answers)
        answers[key] = found[0]
    return answers


def check(journal, session_id, answers, scope="session"):
    """Each key and each text stands in the log once, both handles say the same, and the fold is the log."""
    rows = list(journal.log.read(session_id))
    keys = Counter(row.idempotency_key for row in rows if row.idempotency_key is not None)
    assert set(keys.values()) == {1}
    assert {key.partition(":")[0] for key in keys} == set(answers)
    counts = Counter(row.type for row in rows)
    assert (counts["tool_called"], counts["tool_returned"], counts["turn_began"]) == (2, 2, 1)
    assert (counts["update_staged"], counts["update_committed"]) == (2, 3)  # and the rule
    vault = journal.log.vault(session_id)
    texts = Counter(vault.open(row.data.levels[0].body) for row in rows if isinstance(row.data, e.PageWritten))
    assert set(texts.values()) == {1}
    assert len(texts) == 9
    with journal.session(session_id, settings=SETTINGS) as fresh:
        assert fresh.state.version == rows[-1].version
        assert fresh.value("notes", scope) == [1]
        for page in fresh.state.pages.values():
            assert fresh.read_page(page.page_id).encode() == vault.open(page.bodies[FULL])


def rounds(tmp_path, seeds):
    """Play rounds of two journals on one file; how many answers were lost in all."""
    lost = 0
    with Journal.open(tmp_path / "j.db", clock=ticking()) as one, Journal.open(tmp_path / "j.db") as two:
        for seed in seeds:
            sides = [Lossy(journal.log, random.Random(f"{seed} {n}"), 0.2) for n, journal in enumerate((one, two))]
            project = f"team{seed}" if seed % 3 == 0 else None
            try:
                answers = play(one, two, f"s{seed}", seed, project)
            finally:
                for side in sides:
                    lost += side.lost
                    side.log._end = side._end
            check(one, f"s{seed}", answers, "project" if project else "session")
        assert one.log.path == two.log.path and isinstance(one.log, SQLiteLog)
    return lost


def test_redelivered_hooks_give_first_results_and_record_nothing_twice(tmp_path):
    """Two journals on one file, every hook, shuffled redeliveries, one answer in five lost after its commit."""
    assert rounds(tmp_path, range(SAMPLE)) > SAMPLE


@pytest.mark.sweep
def test_every_hook_over_500_rounds(tmp_path):
    """The same over 500 seeds."""
    assert rounds(tmp_path, range(ROUNDS)) > ROUNDS


def _deliver_all(path, seed, dies_at):
    """A process that delivers all hooks from the start, and dies right after its commit number `dies_at`."""
    with Journal.open(path) as journal:
        commits, end = itertools.count(1), journal.log._end

        def dying(transaction, commit):
            wrote = bool(getattr(transaction, "spots", None))
            end(transaction, commit)
            if commit and wrote and next(commits) == dies_at:
                os._exit(3)

        journal.log._end = dying
        session, answers = journal.session("s", counter="lines4", settings=SETTINGS), {}
        for key, hook in hooks().items():
            answers[key] = hook(session, answers)
    os._exit(0)


@pytest.mark.parametrize("seed", range(2))
def test_processes_that_die_after_their_commit_are_taken_over(tmp_path, seed):
    """Each process delivers the whole session anew and dies a few commits later; the last one ends."""
    dice, path, codes = random.Random(seed), str(tmp_path / "j.db"), []
    while not codes or codes[-1] != 0:
        child = multiprocessing.get_context("spawn").Process(
            target=_deliver_all, args=(path, seed, dice.randrange(8, 16))
        )
        child.start()
        child.join()
        codes.append(child.exitcode)
        assert codes[-1] in (0, 3)
    assert len(codes) > 1
    with Journal.open(path) as journal:
        check(journal, "s", hooks())


def test_a_key_with_other_content_is_refused_whoever_sends_it(tmp_path):
    """A second handle that never saw the first delivery refuses other content under its key, and stays usable."""
    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as two:
        a, b = (journal.session("s", counter="lines4") for journal in (one, two))
        assert a.state.version == b.state.version
        a.user_says("one", key="k")
        with pytest.raises(IdempotencyConflict, match="'k'"):
            b.user_says("other", key="k")
        assert b.user_says("next", key="l") == "p2"
        with pytest.raises(IdempotencyConflict, match="'l'"):
            a.recall("q", ["x"], key="l")


def test_appended_counts_what_is_new_now(tmp_path):
    """A batch of which another handle recorded a part says how much was appended by this call."""
    from clawvm_es.model.commands import Command

    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as two:
        a, b = (journal.session("s", counter="lines4") for journal in (one, two))
        assert a.state.version == b.state.version
        batch = [Command(e.BudgetChanged(tokens), 1, "harness", f"k{tokens}") for tokens in (1, 2, 3)]
        assert a.execute(*batch[:2]).appended == 2
        assert b.execute(*batch[:2]).appended == 0
        assert b.state.version == a.state.version
        outcome = b.execute(*batch)
        assert (outcome.appended, len(outcome.events)) == (1, 3)
        assert a.execute(*batch).appended == 0
        assert a.state.budget_tokens == b.state.budget_tokens == 3


def test_a_key_that_comes_twice_in_one_batch_is_recorded_once(tmp_path):
    """The second gets what the first gave, with its decisions; other content under the key refuses the batch."""
    from clawvm_es.model.commands import Command

    one, two, other = (
        Command(e.BudgetChanged(tokens), 1, "harness", key) for tokens, key in ((1, "k1"), (2, "k2"), (3, "k2"))
    )
    turn = Command(e.TurnBegan(()), 1, "harness", "turn")
    with Journal.open(tmp_path / "j.db") as journal:
        session = journal.session("s", counter="lines4")
        outcome = session.execute(one, turn, two, two, turn)
        decided = outcome.events[1:4]
        assert decided[0] == turn.data and outcome.events[-5:] == (two.data, two.data, *decided)
        assert outcome.appended == session.state.version - 1 == len({*outcome.events})
        with pytest.raises(IdempotencyConflict, match="'k2'"):
            session.execute(one, two, other)
        assert session.state.budget_tokens == 2


def test_async_twins_deliver_again_too(tmp_path):
    """Both handles behind event loops: first results, concurrently."""

    async def run(a, b):
        keys = [f"k{n}" for n in range(6)]
        said = [session.user_says(key, key=key) for key in keys for session in (a, b)]
        found = await asyncio.gather(*said)
        return [(found[n], found[n + 1]) for n in range(0, len(found), 2)]

    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as two:
        sessions = [AsyncSession(journal.session("s", counter="lines4")) for journal in (one, two)]
        pairs = asyncio.run(run(*sessions))
        assert all(first == again for first, again in pairs)
        assert len({first for first, _ in pairs}) == 6
        assert len(sessions[0].sync.state.pages) == 6


def test_a_recording_is_delivered_again_without_reading_the_rest(tmp_path):
    """Finding out that a key is known reads its own events only, whatever follows it in the stream."""
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        session = journal.session("s", counter="lines4")
        for number in range(300):
            session.user_says(f"message {number}", key=f"k{number}")
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        session, read = journal.session("s", counter="lines4"), []
        last = session.state.version
        chained = queries._chained

        def counted(db, rows):
            read.append(len(rows))
            return chained(db, rows)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(queries, "_chained", counted)
            for number in range(300):
                session.user_says(f"message {number}", key=f"k{number}")
        assert session.state.version == last
        assert max(read) <= 2
        assert sum(read) <= 4 * 300


def test_an_empty_key_is_a_key(tmp_path):
    """No hook takes one, but a command may: delivered again, here and by another process, it records nothing."""
    path, command = tmp_path / "j.db", Command(e.BudgetChanged(900), 1, "harness", idempotency_key="")
    appended = []
    for _ in range(2):
        with Journal.open(path) as journal:
            session = journal.session("s", counter="lines4")
            appended += [session.execute(command).appended for _ in range(2)]
    assert appended == [1, 0, 0, 0]
