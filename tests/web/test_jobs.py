"""Questions that take long: one at a time, with progress, ended by silence, answered once."""

from __future__ import annotations

import threading

import pytest

from clawvm_es import views
from clawvm_es.history import bisect as search
from clawvm_es.history.expressions import question
from clawvm_es.history.levels import levels
from clawvm_es.history.whatif import recorded_setting, settings, whatif
from clawvm_es.journal.lineage import read_session
from clawvm_es.web import jobs
from clawvm_es.web.answers import Asked
from clawvm_es.web.jobs import PATIENCE_S, Ended, Jobs, Long
from tests.waiting import until
from tests.web.test_answers import as_json, told


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch):
    """One request waits until a question is done, so that no clock decides."""
    monkeypatch.setattr(jobs, "WAIT_S", 60)


def test_a_what_if_is_what_the_verb_prints_and_a_map(client, journal):
    """The figures are those of `clawvm whatif --json`, and the map has the shape of the recorded one."""
    found = told(client.get("/api/s/s/whatif?budget=200"))
    with views.opened(journal) as log:
        base = recorded_setting(read_session(log, "s")).profile
        whole = views.whatif(log, "s", 0, whatif(log, "s", settings(base, budgets=(200,))))
    map_ = found.pop("map")
    (run,) = as_json(whole).pop("runs")
    assert found.pop("run") == run
    assert found == {name: value for name, value in as_json(whole).items() if name != "runs"}
    recorded = told(client.get("/api/s/s/map"))
    assert map_.keys() - {"key"} == recorded.keys()
    assert map_["budget_tokens"] == 200 and map_["turns"] == recorded["turns"]
    numbers = {page[0]: page[1] for page in recorded["pages"]}
    assert all(numbers.get(page[0], page[1]) == page[1] for page in map_["pages"])


def test_what_if_nothing_were_other_is_the_recorded_map(client):
    """LAW-WHATIF-1, seen: under the recorded settings the runs are the recorded ones."""
    map_, recorded = client.get("/api/s/s/whatif?budget=700").json["map"], client.get("/api/s/s/map").json
    for name in ("runs", "from", "to", "turns", "pages"):
        assert map_[name] == recorded[name]


def test_a_what_if_is_seen_in_parts(client):
    """A window and bins are of the same run, which is decided once."""
    whole = client.get("/api/s/s/whatif?budget=300&policy=lru").json["map"]
    part = client.get("/api/s/s/whatif?budget=300&policy=lru&from=3&to=4").json["map"]
    assert (part["from"], part["to"]) == (3, 4)
    assert part["rows"] == whole["rows"][2:4]
    bins = client.get("/api/s/s/whatif?budget=300&policy=lru&bins=2").json["map"]
    assert [row[:2] for row in bins["bins"]] == [[1, 3], [4, 6]]


def test_kept_levels_are_those_of_the_recorded_run(journal):
    """`whatif(keep="levels")` under the recorded settings gives `levels()` but for versions."""
    with views.opened(journal) as log:
        base = recorded_setting(read_session(log, "s"))
        found = whatif(log, "s", (base,), keep="levels").runs[0].levels
        assert found is not None
        assert found.runs == levels(log, "s").runs
        assert whatif(log, "s", (base,)).runs[0].levels is None


def test_a_bisection_is_what_the_verb_prints(client, journal):
    """With the turn whose prompt showed it first."""
    found = told(client.get("/api/s/s/bisect?q=absent(p2)&good=t1"))
    with views.opened(journal) as log:
        good = views.version_at(log, "s", None, 1)
        bisection = search.bisect(log, "s", question("absent(p2)"), good, None)
        whole = as_json(views.bisect(log, journal, bisection, "absent(p2)"))
    assert found.pop("turn") == bisection.prompt_turn
    assert found == whole


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("whatif", "no setting differs from the recorded ones"),
        ("whatif?policy=nothing", "unknown policy 'nothing'"),
        ("whatif?budget=0", "budget='0': must be a whole number from 1"),
        ("whatif?weight=boot", "weight='boot': must be NAME=VALUE, a whole number"),
        ("whatif?weight=nothing=1", "there is no weight 'nothing'"),
        ("bisect", "q= is missing"),
        ("bisect?q=absent(", None),
        ("bisect?q=absent(p2)&good=t6&bad=t2", None),
    ],
)
def test_a_wrong_question_is_told_at_once(client, address, error):
    """One line, before anything is worked out, or when the work finds it."""
    got = client.get(f"/api/s/s/{address}")
    assert got.status == 400
    assert error is None or got.json["error"] == error


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def slow(journal, monkeypatch):
    """Jobs with a question that goes on when it is told to, and the means to ask it."""
    monkeypatch.setattr(jobs, "WAIT_S", 0.01)
    clock, go_on, met = Clock(), threading.Semaphore(0), threading.Semaphore(0)
    ends = []

    def find(log, session_id, settings, progress):
        try:
            for step in range(1, 4):
                met.release()
                go_on.acquire()
                progress(step, 3)
        except Ended:
            ends.append(settings)
            raise
        return settings

    asked = Jobs(journal, clock)
    question_ = Long(lambda log, s, ask: ask.query["n"], find, lambda log, s, ask, found: {"found": found})

    def ask(number):
        return asked.ask(question_, Asked(journal, {"session": "s"}, {"n": number}))

    return ask, clock, go_on, met, ends


def until_done(ask, number):
    """The answer, asked for again until it is there."""
    while "progress" in (got := ask(number)):
        pass
    return got


def test_progress_is_told_and_the_answer_kept(slow):
    """The same question goes on where it is; answered, it is not worked on again."""
    ask, _, go_on, met, _ = slow
    assert ask("1")["progress"] == [0, 0]
    met.acquire()
    go_on.release()
    met.acquire()
    assert ask("1")["progress"] == [1, 3]
    go_on.release(2)
    assert until_done(ask, "1")["found"] == "1"
    assert ask("1")["found"] == "1"  # nothing lets it go on now


def test_another_question_ends_the_one_before(slow):
    """One is worked on at a time."""
    ask, _, go_on, met, ends = slow
    ask("1")
    met.acquire()
    ask("2")
    met.acquire()
    go_on.release(6)
    assert until_done(ask, "2")["found"] == "2"
    until(lambda: ends == ["1"], "the end of the question before")


def test_silence_ends_a_question(slow):
    """Who stopped asking waits no more; asking again begins anew."""
    ask, clock, go_on, met, ends = slow
    ask("1")
    met.acquire()
    clock.now += PATIENCE_S + 1
    go_on.release()
    until(lambda: ends, "the end of a question that nobody asks any more")
    go_on.release(3)
    assert until_done(ask, "1")["found"] == "1"
