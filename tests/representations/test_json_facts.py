"""The facts of JSON documents: within their aim, and nothing that the document does not say."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from clawvm_es.representations.builders.json_facts import facts
from clawvm_es.representations.builders.json_text import parsed

WORDS = st.one_of(
    st.text(max_size=80), st.from_regex(r"[A-Z]{2}[0-9]{3,6}", fullmatch=True), st.dates().map(str), st.integers()
)
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(st.text(max_size=12), inner, max_size=6)),
    max_leaves=40,
).filter(lambda document: isinstance(document, (dict, list)))
PLAIN = st.recursive(
    st.one_of(st.booleans(), st.from_regex(r"[a-z0-9 ]{0,90}", fullmatch=True), st.integers()),
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(st.sampled_from("abcdef"), inner)),
    max_leaves=40,
).filter(lambda document: isinstance(document, (dict, list)))
"""Documents without characters that are escaped."""
MARK = re.compile(r"… \d+ more|\{\d+ keys\}|\[\d+ items\]|\(\d+ chars\)")


@example({"000": None, "0000000000A": [None, None, None]}, 48)
@given(DOCUMENTS, st.integers(20, 400))
def test_facts_keep_to_their_aim(document: Any, aim: int) -> None:
    """What is written is longer than the aim by a few marks at most, and at least says how much there is."""
    found = facts(parsed(json.dumps(document)), aim)
    assert 0 < len(found) <= aim + 8


@given(DOCUMENTS)
def test_all_facts_are_the_document(document: Any) -> None:
    """With room for everything, nothing is left out or changed."""
    text = json.dumps(document)
    found = facts(parsed(text), 40 * len(text) + 400)
    assert not document or json.loads(found) == document


@given(PLAIN, st.integers(20, 400))
def test_facts_only_leave_out(document: Any, aim: int) -> None:
    """Beside the marks, every text and number in facts stands in the document; clipped ones are the start of one."""
    text = json.dumps(document)
    said = MARK.sub("", facts(parsed(text), aim))
    for piece in re.findall(r'"[a-z0-9 ]*|-?\d+', said):
        assert piece in text


def test_a_value_that_stood_before_comes_after_new_ones() -> None:
    """A repeated identifier says nothing new, so that others are kept before it."""
    document = [{"id": "AB1234", "again": "AB1234"}, {"id": "CD5678", "again": "CD5678"}]
    found = facts(document, 80)
    assert found == '[{"id": "AB1234", … 1 more}, {"id": "CD5678", … 1 more}]'


def test_numbers_keep_their_lexeme() -> None:
    """A number is written as its source writes it."""
    assert facts(parsed('{"a": 1.50e3, "b": 10000000000000000000001}'), 200) == (
        '{"a": 1.50e3, "b": 10000000000000000000001}'
    )
