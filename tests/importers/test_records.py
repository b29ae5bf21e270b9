"""Records: a field is asked for by type, one of another type is as good as missing; times and counts have bounds."""

from __future__ import annotations

import pytest

from clawvm_es.importers.recording import SKIPPED_LINES, Skip, Skips
from clawvm_es.importers.records import BOM, read_lines
from clawvm_es.limits import NESTING_MAX, USAGE_TOKENS_MAX
from clawvm_es.observe.fields import Fields, TooDeep, count_of, instant, parse_json
from clawvm_es.observe.signatures import Lexeme

VALUES = {
    "text": "a",
    "empty": "",
    "number": Lexeme("1.50"),
    "zero": 0,
    "count": 7,
    "negative": -1,
    "true": True,
    "false": False,
    "null": None,
    "list": ["a", 1, {"b": 2}, None],
    "object": {"c": "d"},
    "nothing": {},
}
FIELDS = Fields(VALUES)
OTHERWISE = object()


def table(method, otherwise, **known):
    """Every value asked for by one type: those that have it, all others and a missing one as the default."""
    ask = getattr(FIELDS, method)
    return {name: ask(name) for name in [*VALUES, "missing"]} == {
        name: known.get(name, otherwise) for name in [*VALUES, "missing"]
    }


def test_each_type_is_had_by_its_values_and_by_no_others():
    """One row per question: what has the type is told, the rest is the default."""
    assert table("text", "", text="a")
    assert table("texts", [], list=["a", "", "", ""])
    assert table("is_text", False, text=True, empty=True)
    assert table("is_list", False, list=True)
    odd = dict.fromkeys(("number", "zero", "count", "negative", "true", "false", "object", "nothing"), True)
    assert table("is_odd", False, **odd)
    assert table("flag", False, true=True)
    assert table("count", 0, count=7)
    assert table("fields", Fields(), object=Fields({"c": "d"}))
    assert table("objects", [], list=[Fields(), Fields(), Fields({"b": 2}), Fields()])
    said = {name: [Fields({"type": "text", "text": VALUES[name]})] for name in ("text", "empty")}
    assert table("blocks", [], list=[Fields(), Fields(), Fields({"b": 2}), Fields()], **said)


def test_arguments_that_are_no_object_are_an_input():
    """What a call was given is never lost."""
    assert FIELDS.arguments("object") == {"c": "d"} and FIELDS.arguments("nothing") == {}
    assert FIELDS.arguments("text") == {"input": "a"} and FIELDS.arguments("missing") == {"input": None}


def test_fields_say_what_they_hold():
    """A null is there, and what has no fields is false."""
    assert "null" in FIELDS and "missing" not in FIELDS
    assert FIELDS and not Fields() and not Fields.of(["a"]) and Fields.of({"a": 1})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:01", 1_000_000),
        ("1970-01-01T01:00:00.000002+01:00", 2),
        ("1969-12-31T23:59:59Z", -1_000_000),
        (1, 1000),
        (1_700_000_000_000, 1_700_000_000_000_000),
        (0, 5_000_000),
        (-1, 5_000_000),
        (True, 5_000_000),
        (None, 5_000_000),
        ("yesterday", 5_000_000),
        (Lexeme("1.5"), 5_000_000),
        ("0001-01-01T00:00:00+01:00", 5_000_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59-01:00", 5_000_000),
        (10**15, 5_000_000),
    ],
)
def test_times_are_told_in_microseconds_or_by_line(value, found):
    """ISO 8601 and milliseconds; what is none, or outside of our years, is the line's second after 1970."""
    assert instant(value, 5) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [(0, 0), (1, 1), (USAGE_TOKENS_MAX, USAGE_TOKENS_MAX), (USAGE_TOKENS_MAX + 1, 0), (-1, 0), (True, 0), ("1", 0)],
)
def test_counts_are_bounded(value, found):
    """A count that event data may hold, else none."""
    assert count_of(value) == found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1" * 18, int("1" * 18)),
        ("1" * 19, Lexeme("1" * 19)),
        ("-0", Lexeme("-0")),
        ("1.0", Lexeme("1.0")),
        ("NaN", Lexeme("NaN")),
        ('"a\tb"', "a\tb"),
    ],
)
def test_numbers_keep_what_their_source_wrote(text, value):
    """Small integers are numbers, every other number is its text."""
    found = parse_json(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(("opens", "closes"), ["[]", ('{"a":', "}")])
def test_json_is_bounded_in_depth(opens, closes):
    """The deepest that is taken, and one level more; breadth is no depth."""
    assert parse_json(opens * NESTING_MAX + "1" + closes * NESTING_MAX)
    for depth in (NESTING_MAX + 1, 100_000):
        with pytest.raises(TooDeep):
            parse_json(opens * depth + "1" + closes * depth)
    assert len(parse_json("[" + ",".join(["[]"] * (2 * NESTING_MAX)) + "]")) == 2 * NESTING_MAX


def test_lines_are_records_or_counted_by_reason():
    """Numbers count all lines from 1; blank ones are none; only the last can be cut off."""
    deep = b"[" * (NESTING_MAX + 1) + b"1" + b"]" * (NESTING_MAX + 1)
    data = BOM + b"\n".join(
        [b' {"a": 1} ', b"  ", b"[1]", b"{", b"\xff", deep, b'{"b": "\xed\xa0\x80"}\r', b'{"c": 3']
    )
    records, skipped = read_lines(data)
    assert [(record.line, record.data.raw) for record in records] == [(1, {"a": 1}), (7, {"b": "\ud800"})]
    assert records[0].raw == b' {"a": 1} '
    reasons = [(Skip.NOT_AN_OBJECT, 3), (Skip.NOT_JSON, 4), (Skip.NOT_UTF8, 5), (Skip.TOO_DEEP, 6)]
    wanted = [*reasons, (Skip.TRUNCATED_LINE, 8)]
    assert skipped.counts == {reason: 1 for reason, _ in wanted}
    assert skipped.first_lines() == {str(reason): (line,) for reason, line in wanted}


def test_skips_are_counted_and_their_first_lines_kept():
    """So many lines of each reason, each once and in order; line 0 is none; what others counted is added."""
    skips, others = Skips(), Skips()
    for line in (0, 9, 9, *range(20, 20 + 2 * SKIPPED_LINES)):
        skips.add(Skip.NOT_JSON, line)
    skips.add(Skip.TOO_DEEP, times=3)
    assert skips.counts == {Skip.NOT_JSON: 3 + 2 * SKIPPED_LINES, Skip.TOO_DEEP: 3}
    kept = (9, *range(20, 19 + SKIPPED_LINES))
    assert skips.first_lines() == {str(Skip.NOT_JSON): kept}
    others.add(Skip.NOT_JSON, 1)
    others.add(Skip.NOT_JSON, 9)
    others.update(skips)
    assert others.counts == {Skip.NOT_JSON: 5 + 2 * SKIPPED_LINES, Skip.TOO_DEEP: 3}
    assert others.first_lines() == {str(Skip.NOT_JSON): (1, *kept[:-1])}


def test_first_lines_of_two_parts_are_the_lowest_of_both_in_order():
    """However the parts of a file came, people are told the lines from the top, each once."""
    skips, others = Skips(), Skips()
    for line in (100_000, 70, 8):
        skips.add(Skip.NOT_JSON, line)
    for line in (50_000, 70, 3, 200_000):
        others.add(Skip.NOT_JSON, line)
    skips.update(others)
    assert skips.first_lines() == {str(Skip.NOT_JSON): (3, 8, 70, 50_000, 100_000)}
    assert SKIPPED_LINES == 5
