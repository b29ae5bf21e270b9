"""How two JSON values differ: paths, both values, and lines that a terminal can show."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.engine.values import ERASED, NOTHING, Change, changed_values, parsed, preview
from clawvm_es.observe.signatures import canonical
from clawvm_es.representations.visible import visible

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_values_differ_where_their_canonical_text_does(was, now):
    """No change is told of equal values, one at least of others, and the two directions tell the same."""
    there, back = list(changed_values(was, now)), list(changed_values(now, was))
    assert (canonical(was) == canonical(now)) == (there == [])
    assert [(each.path, each.was, each.now) for each in there] == [(each.path, each.now, each.was) for each in back]


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        ({"args": {"line": 9}}, {"args": {"line": 999}}, "args.line: 9 → 999"),
        ({"edits": [{}, {}, {"line": 9}]}, {"edits": [{}, {}, {"line": 1}]}, "edits[2].line: 9 → 1"),
        ({"a b": 1}, {}, '["a b"]: 1 → nothing'),
        ({"a": True}, {"a": 1}, "a: true → 1"),
        ({"a": None}, {}, "a: null → nothing"),
        ({"a": "x\ny"}, {"a": "x\nz"}, 'a line 2: "y" → "z"'),
        ({"a": "x"}, {"a": "x\nz"}, 'a line 2: nothing → "z"'),
        ({"a": "x"}, {"a": ERASED}, 'a: "x" → (erased)'),
        ({"a": "\x1b[2J"}, {"a": "\u202e"}, 'a: "\\u001b[2J" → "\\u202e"'),
        ({"a": "x" * 500 + "1"}, {"a": "x" * 500 + "2"}, f'a: "…{"x" * 30}1" → "…{"x" * 30}2"'),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_change_is_one_line_with_path_and_both_values(was, now, says):
    """Long texts are cut to where they differ, control characters are escaped, what is missing is said."""
    (change,) = changed_values(was, now)
    assert str(change) == says and "\n" not in says


@given(st.text())
def test_a_preview_shows_only_what_can_be_printed(text):
    """Whatever a text holds, its preview is one printable line."""
    for line in (preview(text), str(Change("a", text, NOTHING))):
        assert visible(line) == line and len(line.splitlines()) == 1


@pytest.mark.parametrize("text", ["plain", "{not json", "[" * 100_000, "[" * 200 + "]" * 200, "[" + "9" * 5000 + "]"])
def test_text_that_is_no_json_stays_text(text):
    """Broken JSON, nesting beyond the interpreter's limit, and numbers beyond its digits are compared as text."""
    assert parsed(text) is text


def test_numbers_are_as_they_were_written():
    """`1`, `1.0` and the text `"1.0"` are three values."""
    written = [parsed(f'{{"a": {each}}}') for each in ("1", "1.0", '"1.0"')]
    assert all(list(changed_values(one, two)) for one in written for two in written if one is not two)
    assert json.loads(preview(written[1]["a"])) == 1.0


@pytest.mark.parametrize("more", [1, 40])
def test_a_long_text_that_goes_on_shows_where(more):
    """Of two long texts of which one begins the other, the end is shown."""
    (change,) = changed_values({"a": "x" * 500}, {"a": "x" * 500 + "y" * more})
    was, now = change.shown
    assert was == f'"…{"x" * 30}"' and now == f'"…{"x" * 30}{"y" * more}"'
