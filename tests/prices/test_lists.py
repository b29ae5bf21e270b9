"""Price lists: what ships is whole and dated, models find their family, and a profile takes what a list says."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest

from clawvm_es import prices
from clawvm_es.core.profiles import CLAWVM, LRU
from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.prices.lists import relative


@pytest.mark.parametrize("name", prices.NAMES)
def test_each_list_says_where_and_when_its_prices_were_read(name):
    """A list names a page of its provider and a day; its relative prices are within what a profile admits."""
    found = prices.named(name)
    assert found.name == name and found.source.startswith("https://") and found.note
    assert dt.date.fromisoformat(found.date) >= dt.date(2026, 1, 1)
    assert 0 < found.read_price < found.write_price <= 10_000 and found.ttl_s >= 60
    assert found.family(found.reference) is not None


@pytest.mark.parametrize("name", prices.NAMES)
def test_what_is_read_from_a_cache_costs_less_than_what_is_written(name):
    """In every family of every list: read below input, input at or below write."""
    found = prices.named(name)
    for family in found.families:
        read, write = relative(family, found.write)
        assert 0 < read < 1000 <= write, family.name
        assert family.output is not None and family.output > family.input


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-opus-4-5-20251101", "Claude Opus 4.5 to 5"),
        ("claude-opus-5-5", "Claude Opus 5.5"),
        ("claude-opus-4-20250514", "Claude Opus 4 and 4.1"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude Sonnet 3.7 to 4.6"),
        ("openai/gpt-4o-mini-2024-07-18", "GPT-4o mini"),
        ("gpt-5", "GPT-5 and 5.1"),
        ("gpt-5.1-codex", "GPT-5 and 5.1"),
        ("gpt-5.6-luna", "GPT-5.6 Luna"),
        ("gemini-2.5-flash", "Gemini 2.5 Flash"),
    ],
)
def test_a_model_is_priced_as_its_family(model, family):
    """Of the families whose names fit, the one that says most counts; what sellers put before a name does not."""
    found = prices.of_model(model)
    assert found is not None and found[1].name == family


@pytest.mark.parametrize("model", ["haiku", "gpt-7", "llama-4-maverick", ""])
def test_a_model_that_no_list_knows_has_no_price(model):
    """None, never the price of another."""
    assert prices.of_model(model) is None
    assert prices.dollars(prices.Used(1_000_000), model) is None


@pytest.mark.parametrize("shipped", [CLAWVM, LRU], ids=lambda each: each.name)
def test_policies_in_epochs_have_the_prices_of_the_first_list(shipped):
    """The prices that a profile's version holds are those of `anthropic-5m`."""
    assert prices.applied(shipped, prices.NAMES[0]) == shipped


def test_a_profile_takes_the_prices_of_a_list():
    """The three numbers of a list, those of its reference model or of the model that is named."""
    found = prices.applied(CLAWVM, "anthropic-1h")
    assert (found.read_price, found.write_price, found.ttl_s) == (100, 2000, 3600)
    found = prices.applied(CLAWVM, "openai", "gpt-6-sol")
    assert (found.read_price, found.write_price, found.ttl_s) == (100, 1250, 300)


def test_a_name_that_is_no_list_is_refused_with_those_there_are():
    """The error names all lists; a model that a list does not know is refused too."""
    with pytest.raises(UsageError, match="anthropic-5m, anthropic-1h, openai, gemini"):
        prices.named("anthropic")
    with pytest.raises(UsageError, match="do not know the model 'gpt-5'"):
        prices.applied(CLAWVM, "anthropic-5m", "gpt-5")


def test_a_list_of_ones_own_is_read_from_a_file(tmp_path):
    """A JSON file of the same form is named by its path."""
    path = tmp_path / "own.json"
    family = {"name": "Mine", "models": ["mine"], "input": "2", "cache_read": "0.5", "cache_write": "3"}
    row = {"name": "own", "write": "cache_write", "ttl_s": 60, "reference": "mine-1"}
    head = {"provider": "me", "source": "https://example.org", "date": "2026-11-26", "unit": "US dollars"}
    path.write_text(json.dumps(head | {"lists": [row], "families": [family]}))
    found = prices.named(path)
    assert (found.read_price, found.write_price, found.ttl_s) == (250, 1500, 60)
    assert prices.dollars(prices.Used(1_000_000, 500_000), "mine-1", path) == Decimal("1.25")
    assert prices.dollars(prices.Used(output_tokens=1), "mine-1", path) is None  # its output price is not there


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "no json",
        json.dumps({"provider": "a", "source": "", "date": "", "unit": "", "lists": [], "families": []}),
        json.dumps(
            {
                **{"provider": "a", "source": "", "date": "", "unit": ""},
                "lists": [{"name": "a", "write": "cache_write", "ttl_s": 1, "reference": "none"}],
                "families": [],
            }
        ),
    ],
)
def test_a_file_that_holds_no_prices_is_named(tmp_path, content):
    """One line with the path, whatever stands in it instead."""
    path = tmp_path / "own.json"
    path.write_text(content)
    with pytest.raises(UnreadableInput, match=r"own\.json"):
        prices.named(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """The path and the reason."""
    with pytest.raises(UnreadableInput, match=r"none\.json: No such file"):
        prices.named(tmp_path / "none.json")
