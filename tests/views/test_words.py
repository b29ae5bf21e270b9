"""Reasons in words: each is said, in one reading, and the browser says the same."""

import re
from importlib.resources import files

import pytest

from clawvm_es.core.tracing import Kept, Stop
from clawvm_es.model.facts import ChangeReason, EpochTrigger
from clawvm_es.views import words

KEPT = (*Kept, *set(ChangeReason) & set(words._BY))


@pytest.mark.parametrize("trigger", EpochTrigger)
def test_the_browser_says_as_the_command_why_an_epoch_began(trigger):
    """The two tables of reasons hold the same words."""
    script = (files("clawvm_es.web") / "static" / "words.js").read_text()
    table = re.search(r"export const TRIGGERS = \{(.*?)\n\};", script, re.DOTALL)[1]
    quote = "['\"]"
    assert re.search(rf"{trigger}: {quote}{re.escape(words._EPOCHS[trigger])}{quote}", table)


def test_reasons_are_said_without_words_of_the_program():
    """No reason is a bare name of the trace, or takes `by` before it; each kind of standing has one."""
    said = [words._BY[each] for each in KEPT] + list(words._PLAIN.values())
    assert set(words._BY) >= set(Kept) and not [each for each in said if each.startswith("by ") or "_" in each]
    assert not [each for each in said if re.search(r"\b(misfit|rent|surplus|stop)\b", each)]


@pytest.mark.parametrize(("refusals", "pages"), [(1, "1 page did"), (2, "2 pages did")])
def test_one_page_is_one(refusals, pages):
    """A count stands beside the word that it asks for."""

    class Its:
        """A candidate that choosing did not reach, and its account."""

        after, steps, wanted, rest, entry, floor, by, stop = "absent", (), 20, 3, 0, None, None, Stop.NOT_REACHED

    Its.refusals = refusals
    assert words.standing(Its, Its) == f"not reached: takes 20 tokens; choosing had ended after {pages} not fit"
