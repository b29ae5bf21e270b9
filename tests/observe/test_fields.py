"""JSON values asked for by type: one of another type is as good as missing, and bounds are exact."""

from __future__ import annotations

import pytest

from clawvm_es.limits import NESTING_MAX, TIME_MAX_US, TIME_MIN_US, USAGE_TOKENS_MAX
from clawvm_es.observe.fields import Fields, TooDeep, count_of, instant, parse_json, parse_some
from clawvm_es.observe.signatures import Lexeme

VALUES = {
    "text": "x", "empty": "", "list": ["a", 1, None], "object": {"a": "b"}, "yes": True, "no": False, "int": 7,
    "number": Lexeme("1.5"), "null": None,
}  # fmt: skip
GIVEN = Fields(VALUES)


def test_each_question_takes_its_own_type_only() -> None:
    """Asked of every kind of value, each question finds its own and takes all others for missing."""

    def named(question) -> set[str]:
        return {name for name in VALUES if question(name)}

    assert named(GIVEN.text) == {"text"} and GIVEN.text("missing") == ""
    assert named(GIVEN.is_text) == {"text", "empty"}
    assert named(GIVEN.is_list) == named(GIVEN.texts) == named(GIVEN.objects) == {"list"}
    assert named(GIVEN.is_odd) == {"object", "yes", "no", "int", "number"}
    assert named(GIVEN.flag) == {"yes"} and named(GIVEN.count) == {"int"}
    assert named(GIVEN.fields) == {"object"} and named(GIVEN.blocks) == {"text", "empty", "list"}
    assert all(name in GIVEN for name in VALUES) and "missing" not in GIVEN
    assert not Fields() and not Fields.of([1]) and Fields.of({"a": 1}) == Fields({"a": 1})


def test_what_arrays_and_blocks_hold() -> None:
    """Items of another type are empty in their place; a text is one block; other arguments are `input`."""
    assert GIVEN.texts("list") == ["a", "", ""] and GIVEN.objects("list") == [Fields(), Fields(), Fields()]
    assert GIVEN.blocks("text") == [Fields({"type": "text", "text": "x"})]
    assert GIVEN.fields("object").text("a") == "b" and GIVEN.arguments("object") == {"a": "b"}
    assert GIVEN.arguments("text") == {"input": "x"} and GIVEN.arguments("missing") == {"input": None}


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), (1, 1), (-1, 0), (USAGE_TOKENS_MAX, USAGE_TOKENS_MAX), (USAGE_TOKENS_MAX + 1, 0), (True, 0), ("1", 0)],
)
def test_counts_have_a_bound(value, count) -> None:
    """A count from 0 to the bound is itself, anything else is 0."""
    assert count_of(value) == count


@pytest.mark.parametrize(
    ("value", "at_us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:01.000002", 1_000_002),
        ("1970-01-01T01:00:00+01:00", 0),
        ("0001-01-01T00:00:00Z", TIME_MIN_US),
        ("9999-12-31T23:59:59.999999Z", TIME_MAX_US),
        ("0001-01-01T00:00:00+01:00", 5_000_000),
        (1, 1_000),
        (0, 5_000_000),
        (-1, 5_000_000),
        (True, 5_000_000),
        (TIME_MAX_US, 5_000_000),
        (TIME_MAX_US // 1000, TIME_MAX_US // 1000 * 1000),
        (TIME_MAX_US // 1000 + 1, 5_000_000),
        (Lexeme("1970"), 5_000_000),
        (10**8 - 1, (10**8 - 1) * 1_000),
        (10**8, 10**8 * 1_000_000),
        (10**11 - 1, (10**11 - 1) * 1_000_000),
        (10**11, 10**11 * 1_000),
        (Lexeme("1700000000.25"), 1_700_000_000_250_000),
        (Lexeme("1.2.3"), 5_000_000),
        (Lexeme("NaN"), 5_000_000),
        ("soon", 5_000_000),
        (None, 5_000_000),
    ],
)
def test_times_are_iso_or_seconds_or_milliseconds_or_those_of_their_line(value, at_us) -> None:
    """A text or a positive number within the calendar is a time; anything else is that of line 5."""
    assert instant(value, 5) == at_us == Fields({"t": value}).instant("t", 5)


def test_numbers_are_small_integers_or_lexemes() -> None:
    """Integers of up to 18 characters are numbers; longer ones, minus nought and fractions are kept as written."""
    small, large = "9" * 18, "9" * 19
    found = parse_json(f"[{small}, {large}, -0, 0, 1.50, 1e3, -{'9' * 17}, -{'9' * 18}]")
    assert found == [int(small), large, "-0", 0, "1.50", "1e3", -int("9" * 17), "-" + "9" * 18]
    assert [type(each) for each in found] == [int, Lexeme, Lexeme, int, Lexeme, Lexeme, int, Lexeme]


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_nesting_has_a_bound(opens, closes) -> None:
    """The deepest nesting is read, one level more is too deep; many values side by side are not deep."""
    deepest = opens * NESTING_MAX + "1" + closes * NESTING_MAX
    assert parse_json(deepest)
    for deep in (opens + deepest + closes, opens * 100_000 + "1" + closes * 100_000):
        with pytest.raises(TooDeep, match="nested too deep"):
            parse_json(deep)
        with pytest.raises(TooDeep, match="nested too deep"):
            parse_some(deep, 0)
    wide = "[" + ",".join(["[]"] * (NESTING_MAX + 5)) + "]"
    assert len(parse_json(wide)) == NESTING_MAX + 5


@pytest.mark.parametrize("beside", ["[]", "{}", '"["', '"{"'])
def test_depth_is_what_counts_however_much_stands_beside_it(beside) -> None:
    """A value of the greatest depth is read among many others, and one level more is refused among them."""
    others = f"{beside}," * (NESTING_MAX + 5)
    deepest = "[" * (NESTING_MAX - 1) + "1" + "]" * (NESTING_MAX - 1)
    assert len(parse_json(f"[{others}{deepest}]")) == NESTING_MAX + 6
    assert parse_some(f"[{others}{deepest}] ", 0)[1] == len(others) + 2 * NESTING_MAX + 2
    for parse in (parse_json, lambda text: parse_some(text, 0)):
        with pytest.raises(TooDeep, match="nested too deep"):
            parse(f"[{others}[{deepest}]]")
