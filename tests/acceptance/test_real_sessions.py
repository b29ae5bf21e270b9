"""Time travel over every recorded Claude Code session: prompts, page tables and decisions at real size."""

import json
import random

import pytest

from clawvm_es.core.evolve import fold
from clawvm_es.engine.journal import Journal
from clawvm_es.history import end_of_turn, prompt_at, state_at
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model.pages import ABSENT, LADDER
from clawvm_es.storage import open_log
from tests.acceptance.user import in_shell

pytestmark = [
    pytest.mark.sweep(of="recorded Claude Code sessions", sample=3),
    pytest.mark.parametrize("journal", range(17), indirect=True),
]


@pytest.fixture(scope="module")
def journal(traces, tmp_path_factory, request):
    """A journal of the sessions of one file under a budget of 16,000 tokens."""
    path = tmp_path_factory.mktemp("real") / "j.db"
    with Journal.open(path) as journal:
        file = sorted((traces / "claude_code").glob("*.jsonl"))[request.param]
        replay(journal, file, ReplaySettings(budget_tokens=16_000))
    return path


@pytest.fixture
def log(journal):
    """That journal, for reading."""
    with open_log(journal, read_only=True) as log:
        yield log


def test_the_prompt_of_every_turn_is_what_was_committed_to(log):
    """Rendered again from the bodies, each prompt has the bytes that its session recorded a commitment to."""
    turns = 0
    for head in log.heads():
        for turn in range(1, state_at(log, head.session_id).turn + 1):
            shown = prompt_at(log, head.session_id, end_of_turn(log, head.session_id, turn))
            assert shown.matches and shown.turn == turn, (head.session_id, turn)
            turns += 1
    assert turns > 0


def test_page_tables_at_random_versions_equal_folds_from_zero(journal, log):
    """At any version the state equals a fold from the first event, and the page table says the same."""
    dice = random.Random(20)
    heads = log.heads()
    for number in range(20):
        head = dice.choice(heads)
        version = dice.randint(1, head.version)
        folded = fold(row.data for row in read_session(log, head.session_id, upto=version))
        assert state_at(log, head.session_id, version) == folded, (head.session_id, version)
        if number % 10 == 0:
            ran = in_shell("pages", journal, "-s", head.session_id, "--at", version, "--json")
            rows = {row["page_id"]: row for row in ran.json["pages"]}
            assert rows.keys() == folded.pages.keys()
            for page_id, page in folded.pages.items():
                rank = folded.resident.get(page_id, ABSENT)
                told = (LADDER[rank], page.tokens[rank], page.content_version, page.pin, page.dirty)
                row = rows[page_id]
                assert told == (row["level"], row["tokens"], row["content_version"], row["pin"], row["dirty"])


def test_verify_takes_every_decision_again_the_same(journal):
    """Chains, bodies, read models and all decisions of all sessions."""
    ran = in_shell("verify", journal, "--redecide", "--json")
    assert ran.code == 0 and json.loads(ran.out)["redecided"] > 0
