"""Cost in documents: what a provider reported, and our counts of the same session."""

from __future__ import annotations

import json

import pytest

from clawvm_es import views
from clawvm_es.core.profiles import CLAWVM, RECORDED
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.history.figures import figures_of
from clawvm_es.history.harness import harness_figures
from clawvm_es.history.whatif import Setting, whatif
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.prices import NAMES, applied, named
from clawvm_es.projections import snapshot
from clawvm_es.projections.tables import SESSIONS
from clawvm_es.views.costs import spent

ANSWERS = (("claude-opus-4-5", 1_000_000), ("house-model", 500_000), ("claude-opus-4-5", 10), ("<synthetic>", 0))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A recorded session: a question and a call for each answer, of two models, one of which no list knows."""
    rows = []
    for place, (model, tokens) in enumerate(ANSWERS):
        common = {"sessionId": "one", "timestamp": f"2026-03-02T09:0{place}:00Z"}
        words = {"role": "user", "content": f"question {place}: what do {tokens} tokens of {model} cost?"}
        rows.append({"type": "user", "uuid": f"u{place}", "message": words, **common})
        told = {"input_tokens": 0, "cache_read_input_tokens": tokens, "cache_creation_input_tokens": tokens}
        call = {"type": "tool_use", "id": f"t{place}", "name": "Bash", "input": {"command": f"echo {'long ' * 99}"}}
        content = [{"type": "text", "text": f"answer {place}"}, call]
        message = {"id": f"m{place}", "role": "assistant", "model": model, "content": content, "usage": told}
        rows.append({"type": "assistant", "uuid": f"a{place}", "message": message, **common})
    path = tmp_path_factory.mktemp("costs") / "one.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture(scope="module")
def journal(file):
    """A journal that holds the recorded session as its harness had it."""
    with Journal.open("memory:", seed=1) as journal:
        replay(journal, file, ReplaySettings(as_recorded=True))
        yield journal


def test_what_was_reported_is_priced_model_by_model(journal):
    """A model that a list knows in dollars, the other by name; the sum holds the first alone."""
    (one,) = views.sessions(journal.log)["sessions"]
    told = one["cost"]["reported"]
    assert told["unknown"] == ["house-model"]
    opus, house = told["by_model"]
    assert (opus["model"], opus["prices"], house["usd"]) == ("claude-opus-4-5", "anthropic-5m", None)
    assert (opus["cached_tokens"], opus["written_tokens"], opus["answers"]) == (1_000_010, 1_000_010, 2)
    assert told["usd"] == opus["usd"] == round(1.000010 * (0.5 + 6.25), 6)
    assert one["usage"]["written_tokens"] == 1_500_010


def test_a_list_that_is_named_prices_what_was_reported(journal):
    """Writes for an hour cost more; a list of another provider knows neither model."""
    hour = views.sessions(journal.log, prices="anthropic-1h")["sessions"][0]["cost"]
    assert hour["reported"]["usd"] == round(1.000010 * (0.5 + 10), 6)
    assert (hour["counted"]["at"], hour["counted"]["cost"]) == (
        "anthropic-1h",
        hour["counted"]["input_tokens"]["anthropic-1h"],
    )
    other = views.stats(journal.log, prices="gemini")["cost"]
    assert other["reported"]["usd"] is None and len(other["reported"]["unknown"]) == 2


def test_totals_are_those_of_the_sessions(journal):
    """Of one session, `stats` costs what the session does."""
    (one,) = views.sessions(journal.log)["sessions"]
    assert views.stats(journal.log)["cost"] == one["cost"]


def test_the_read_models_cost_what_the_events_do(journal):
    """By our counts, the sums in `sessions` are those of a run over the events, at every list."""
    with snapshot(journal.log) as view:
        (row,) = view.rows(SESSIONS, "one")
    found = figures_of(each.data for each in read_session(journal.log, "one"))
    for name in NAMES:
        assert spent(row).cost(named(name)) == found.spent.cost(named(name)) > 0
    assert (row.epochs, row.turns, found.spent.turns) == (found.epochs, 3, 3)


def test_a_harness_is_compared_by_its_pages_alone(journal):
    """Without arguments the harness's prompts are smaller by what was counted of them; its needs stay."""
    inputs = [each.data for each in read_session(journal.log, "one") if each.kind == "input"]
    whole, pages = figures_of(each.data for each in read_session(journal.log, "one")), harness_figures(inputs)
    arguments = [data.levels[0].tokens for data in inputs if isinstance(data, e.ToolCalled)]
    assert len(arguments) == 3 and min(arguments) > 100
    assert whole.tokens - pages.tokens == 2 * arguments[0] + arguments[1]
    assert (whole.needs, whole.misses) == (pages.needs, pages.misses)


def test_what_if_has_a_budget_and_a_cost(journal):
    """A session that was recorded without a budget is asked about at 128,000 tokens; costs stand at every list."""
    document = views.whatif(journal.log, "one", 0, whatif(journal.log, "one", [Setting(CLAWVM)]), "openai")
    (run,) = document["runs"]
    assert (run["budget"], run["cost"]["at"], document["prices"]["name"]) == (128_000, "openai", "openai")
    assert document["harness"]["tokens"] < document["recorded"]["tokens"]
    assert document["recorded"]["policy"] == RECORDED.name
    json.dumps(document, allow_nan=False)


def test_a_prompt_says_what_it_costs():
    """What the provider holds at its price, the rest at that of writing; None where the policy has no prices."""
    with Journal.open("memory:", seed=1) as journal:
        with journal.session("two", policy=applied(CLAWVM, "anthropic-5m"), budget_tokens=4_000) as session:
            session.user_says("some words to begin with")
            first = session.assemble()
            session.observe_model("yes")
            second = session.assemble()
        with journal.session("three", policy="retrieval", budget_tokens=4_000) as session:
            session.user_says("free of charge")
            assert session.assemble().cost is None
    assert first.cached_tokens == 0 and first.cost == first.tokens * 1250 // 1000
    assert 0 < second.cached_tokens < second.tokens
    uncached = second.tokens - second.cached_tokens
    assert second.cost == (second.cached_tokens * 100 + uncached * 1250) // 1000


def test_a_price_list_that_is_none_is_refused(journal):
    """By name, with those there are."""
    with pytest.raises(UsageError, match="anthropic-5m"):
        views.sessions(journal.log, prices="anthropic")
