"""Places of the past: the last version of a turn, found by halving, and the prompt that stood there."""

import random

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.history import end_of_turn, prompt_at, range_of_turn, state_at
from clawvm_es.journal.lineage import read_session


@pytest.fixture(params=["memory", "file"])
def log(request, tmp_path):
    """A session `s` of turns of different lengths, and a fork of it."""
    path = ":memory:" if request.param == "memory" else tmp_path / "j.db"
    with Journal.open(path, clock=lambda: 0) as journal:
        chance = random.Random(1)
        with journal.session("s", budget_tokens=400, counter="lines4") as session:
            session.write_page("bootstrap", "- You must be careful.")
            for turn in range(40):
                session.assemble()
                for each in range(chance.randrange(4)):
                    session.user_says(f"message {turn} {each}")
                if turn % 9 == 0:
                    session.compact()
        with journal.fork("s", "child", at=70) as child:
            child.assemble()
        yield journal.log


@pytest.mark.parametrize("session_id", ["s", "child"])
def test_the_place_of_every_turn_is_that_of_a_search_from_the_first_event(log, session_id):
    """Turn 0 (before the first prompt) counts too; a turn that does not exist is refused."""
    last: dict[int, int] = {}
    for row in read_session(log, session_id):
        last[row.turn] = row.version
    assert {turn: end_of_turn(log, session_id, turn) for turn in last} == last
    for turn, (after, upto) in {turn: range_of_turn(log, session_id, turn) for turn in last}.items():
        rows = list(read_session(log, session_id))
        assert [row.version for row in rows if row.turn == turn] == list(range(after + 1, upto + 1))
    for turn in (-1, max(last) + 1):
        with pytest.raises(UsageError, match=f"no turn {turn}"):
            end_of_turn(log, session_id, turn)
    with pytest.raises(UsageError):
        end_of_turn(log, "nobody", 1)


def test_the_prompt_at_a_version_is_the_last_one_assembled_by_then(log):
    """At each version: which prompt, whether it was rendered by then, and whether the bytes are what was recorded."""
    at = rendered = 0
    for row in read_session(log, "s"):
        if row.type == "prompt_assembled":
            at = row.version
        elif row.type == "prompt_rendered":
            rendered = row.version
        if not at:
            with pytest.raises(UsageError, match="no prompt was assembled"):
                prompt_at(log, "s", row.version)
            continue
        shown = prompt_at(log, "s", row.version)
        assert (shown.version, shown.matches) == (at, True if rendered > at else None)


@pytest.mark.parametrize("version", [0, -1, 10_000])
def test_a_version_that_does_not_exist_is_refused(log, version):
    """The error names the last one there is."""
    with pytest.raises(UsageError, match=f"no version {version}") as caught:
        state_at(log, "s", version)
    assert str(log.head("s").version) in caught.value.hint
