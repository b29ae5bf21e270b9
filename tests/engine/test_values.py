"""How two JSON values differ: paths, both values, and lines that a terminal can show."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.engine.values import (
    DEPTH_MAX,
    ERASED,
    NOTHING,
    PREVIEW_CHARS,
    Change,
    changed_values,
    parsed,
    preview,
)
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
        ({"größe": {"连接": 1}}, {"größe": {}}, '["größe"]["连接"]: 1 → nothing'),
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


@pytest.mark.parametrize(
    ("value", "skip", "shown"),
    [
        ("x" * PREVIEW_CHARS, 0, f'"{"x" * PREVIEW_CHARS}"'),
        ("x" * (PREVIEW_CHARS + 1), 0, f'"{"x" * PREVIEW_CHARS}…"'),
        ("abc" + "x" * PREVIEW_CHARS, 3, f'"…{"x" * PREVIEW_CHARS}"'),
        ("abc" + "x" * (PREVIEW_CHARS + 1), 3, f'"…{"x" * PREVIEW_CHARS}…"'),
        ("abcdef", 2, '"…cdef"'),
        (["x" * (PREVIEW_CHARS - 4)], 0, f'["{"x" * (PREVIEW_CHARS - 4)}"]'),
        (["x" * (PREVIEW_CHARS - 3)], 0, f'["{"x" * (PREVIEW_CHARS - 3)}"…'),
        ({"b": 1, "a": "é"}, 0, '{"a": "é", "b": 1}'),
        ("Größe 连接 🙂", 0, '"Größe 连接 🙂"'),
        ("Größe 连接", 3, '"…ße 连接"'),
        (NOTHING, 0, "nothing"),
        (parsed("[1.50]")[0], 0, "1.50"),
    ],
    ids=str,
)
def test_a_preview_is_cut_at_its_length(value, skip, shown):
    """Values of the longest length are whole, longer ones end in an ellipsis; numbers are as they were written."""
    assert preview(value, skip) == shown


def test_json_is_parsed_to_its_depth():
    """Objects and arrays of the deepest nesting are values, one deeper is text; bare values are text."""
    deepest = "[" * (DEPTH_MAX - 1) + "1" + "]" * (DEPTH_MAX - 1)
    assert isinstance(parsed(deepest), list) and parsed(f'[{{"a": {deepest}}}]') == f'[{{"a": {deepest}}}]'
    assert parsed("12") == "12" and parsed(" {}") == " {}" and parsed('{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("was", "now", "lines"),
    [
        ({"a": [1, 2]}, {"a": [1]}, ["a[1]: 2 → nothing"]),
        ({"a": [1]}, {"a": {}}, ["a: [1] → {}"]),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, ["a: 1 → 2", "b: 1 → 2"]),
        ({"a": {"x": 1}, "é": 1}, {"a": {"y": 1}, "é": 2}, ["a.x: 1 → nothing", "a.y: nothing → 1", '["é"]: 1 → 2']),
        ({"a": "1"}, {"a": 1}, ['a: "1" → 1']),
        ({}, {}, []),
        (1, 2, [": 1 → 2"]),
        ("a\nb", "a\nb\nc", [' line 3: nothing → "c"']),
        ({"a": "x" * 60 + "1" + "z" * 60}, {"a": "x" * 60 + "2" + "z" * 60},
         [f'a: "…{"x" * 30}1{"z" * 60}" → "…{"x" * 30}2{"z" * 60}"']),
        ({"a": "x" * 10 + "1" + "z" * 110}, {"a": "x" * 10 + "2"},
         [f'a: "{"x" * 10}1{"z" * 109}…" → "{"x" * 10}2"']),
    ],
    ids=lambda value: "",
)  # fmt: skip
def test_all_changes_are_told_in_order(was, now, lines):
    """Members by name, items by place, other types whole; of long texts what is alike in front is left out."""
    assert [str(change) for change in changed_values(was, now)] == lines
