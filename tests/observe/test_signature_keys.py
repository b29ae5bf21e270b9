"""Signature keys: canonical JSON of normalised arguments, numbers by their lexeme."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.errors import NotCanonical
from clawvm_es.observe.fields import parse_json
from clawvm_es.observe.signatures import Lexeme, canonical, signature_key
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.tables import CLAUDE_CODE_TOOLS
from clawvm_es.observe.tools import UNKNOWN_TOOL, normalised

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_canonical_is_json_with_sorted_keys(value: object) -> None:
    """LAW-SIGNATURE-1: without fractions, canonical text is what the standard library writes."""
    assert canonical(value) == json.dumps(value, sort_keys=True, separators=(",", ":"))


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_numbers_keep_their_lexeme(number: str) -> None:
    """LAW-SIGNATURE-1: a number is written as its source wrote it, whatever its size."""
    assert canonical(parse_json(f'{{"n":{number}}}')) == f'{{"n":{number}}}'


def test_what_json_cannot_express_is_refused() -> None:
    """Sets, objects with other keys than strings and endless nesting are refused, not guessed."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ({1, 2}, {1: 2}, deep):
        with pytest.raises(NotCanonical):
            canonical(value)


def key(name: str, cwd: str = "/w", **arguments: object) -> str:
    """The signature key of a Claude Code call."""
    tool = CLAUDE_CODE_TOOLS.get(name, UNKNOWN_TOOL)
    return signature_key(name, normalised(tool, ToolUse(1, name, arguments, cwd)))


def test_normalisation_of_claude_code() -> None:
    """description, timeout and run_in_background do not count; defaults and absolute paths are filled in."""
    assert key("Bash", command="ls", description="List", timeout=5) == key(
        "Bash", command="ls", run_in_background=True
    )
    assert key("Read", file_path="/w/a") == key("Read", file_path="./a", offset=1, limit=2000)
    assert key("Grep", pattern="x") == key("Grep", pattern="x", path="/w", output_mode="files_with_matches")
    assert key("Read", file_path="a") != key("Read", file_path="a", offset=2)
    assert key("Read", file_path="a", limit=Lexeme("1.0")) != key("Read", file_path="a", limit=1)
    assert key("Bash", command="ls") != key("Bash", cwd="/elsewhere", command="ls")
    assert key("mcp__x", description="a") != key("mcp__x", description="b")
