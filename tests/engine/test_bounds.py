"""Bounds of the durable store are exact: a value of the bound is taken, one byte more is refused with its reason."""

import pytest

from clawvm_es.engine import given
from clawvm_es.engine.hooks import Call, Settings
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import UsageError
from clawvm_es.limits import VALUE_BYTES_MAX
from clawvm_es.model.facts import Op, SchemaVerdict


def test_a_declared_field_takes_a_mebibyte_unless_it_says_otherwise():
    """The bound of a field is the store's own by default."""
    assert FieldSchema() == FieldSchema("any", VALUE_BYTES_MAX) and VALUE_BYTES_MAX == 2**20


@pytest.mark.parametrize("most", [1, 10, VALUE_BYTES_MAX])
@pytest.mark.parametrize(("op", "value"), [(Op.SET_WITH_VERSION, 1), (Op.APPEND, 1), (Op.MERGE, {"a": 1})])
def test_the_size_of_a_value_is_its_bytes_of_json(most, op, value):
    """The verdict on exactly the bound is good, on one byte more it is too large; a wrong type is told first."""
    schema = FieldSchema("any", most)
    assert schema.verdict(op, value, most) is SchemaVerdict.OK
    assert schema.verdict(op, value, most + 1) is SchemaVerdict.TOO_LARGE
    assert FieldSchema("string", most).verdict(op, value, most + 1) is SchemaVerdict.WRONG_TYPE


def test_a_staged_value_is_measured_as_it_is_kept(journal):
    """Ten bytes of canonical JSON fit a field of ten, quotes and escapes included; the eleventh does not."""
    fields = {"short": FieldSchema("string", 10), "list": FieldSchema("array", 10)}
    with journal.session("s", counter="lines4", settings=Settings(fields=fields)) as session:
        session.user_says("x")
        took = {
            value: session.stage("short", "set_with_version", value, evidence="p1", base_version=0).reason
            for value in ("12345678", "123456789", "\u00e9", "\u00e9\u00e9", '1234"67', '1234"678')
        }
        assert took == {
            "12345678": None,
            "123456789": "SCHEMA_INVALID",
            "\u00e9": None,
            "\u00e9\u00e9": "SCHEMA_INVALID",
            '1234"67': None,
            '1234"678': "SCHEMA_INVALID",
        }
        assert session.stage("list", "append", "12345678", evidence="p1").reason is None
        assert session.stage("list", "append", "123456789", evidence="p1").reason == "SCHEMA_INVALID"


@pytest.mark.parametrize(
    ("text", "kept"), [("x" * VALUE_BYTES_MAX, True), ("\u00e9" + "x" * (VALUE_BYTES_MAX - 1), False)]
)
def test_a_dirty_page_is_written_back_up_to_the_bound_in_bytes(journal, text, kept):
    """Both texts have as many characters; a byte more stays dirty, and the report says why."""
    with journal.session("s", budget_tokens=2**21, counter="lines4") as session:
        page = session.write_page("preference", text, author="user")
        report = session.save()
        assert (page in session.state.dirty) is not kept
        assert [(str(found.reason), found.page_id) for found in report.refused] == (
            [] if kept else [("SCHEMA_INVALID", page)]
        )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 38, repr("x" * 38)),
        ("x" * 39, "str"),
        (10**39, str(10**39)),
        (10**40, "int"),
        (True, "True"),
        (1.5, "1.5"),
        (b"x", "bytes"),
        (["x"], "list"),
        (None, "NoneType"),
    ],
)
def test_an_error_shows_values_of_forty_characters(value, shown):
    """A short text or number stands in an error as Python writes it; of anything else the type does."""
    assert given.shown(value) == shown


@pytest.mark.parametrize(
    "calls", ["text", b"bytes", {"tool": {}}, 5, None, [("a",)], [("a", {}, 1)], ["ab"], [{"a", "b"}]]
)
def test_calls_are_a_list_of_pairs(calls):
    """A text, a mapping or a series of anything but pairs is refused, and the error says what is accepted."""
    with pytest.raises(UsageError, match=r"expected a (list of )?\(tool name, arguments\) pair"):
        given.calls(calls)
    assert given.calls([("a", {"x": 1}), ["b", {}]]) == (Call("", "a", {"x": 1}), Call("", "b", {}))


@pytest.mark.parametrize(
    ("least", "value", "good"), [(0, 0, True), (0, -1, False), (1, 1, True), (1, 0, False), (None, -9, True)]
)
def test_an_integer_may_be_the_least_that_is_accepted(least, value, good):
    """One below it is refused with both numbers."""
    if good:
        assert given.integer("tokens", value, least) == value
    else:
        with pytest.raises(UsageError, match=f"tokens: expected at least {least}, got {value}"):
            given.integer("tokens", value, least)


@pytest.mark.parametrize(
    ("count", "first", "last", "found"),
    [
        *((3, 1, None, (1, 3)), (3, 3, 3, (3, 3)), (3, 2, 9, (2, 3)), (3, 3, None, (3, 3)), (0, 1, None, (1, 0))),
        *((0, 1, 1, (1, 0)), (3, 4, None, None), (3, 0, None, None), (3, 2, 1, None), (0, 2, None, None)),
    ],
)
def test_ranges_of_lines_begin_within_the_page(count, first, last, found):
    """Ends past the last line are cut there; a page of no lines has an empty first one."""
    if found is None:
        with pytest.raises(UsageError, match="there are no lines"):
            given.lines("p1", count, first, last)
    else:
        assert given.lines("p1", count, first, last) == found


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        *(("number", 1, True), ("number", 1.5, True), ("number", True, False), ("boolean", True, True)),
        *(
            ("boolean", 1, False),
            ("any", True, True),
            ("any", None, True),
            ("string", "x", True),
            ("string", 1, False),
        ),
        *(("array", [1], True), ("array", {}, False), ("object", {}, True), ("object", [1], False)),
    ],
)
def test_a_value_that_is_set_has_the_declared_kind(kind, value, fits):
    """A boolean is no number, and of any kind is everything."""
    verdict = FieldSchema(kind).verdict(Op.SET_WITH_VERSION, value, 1)
    assert verdict is (SchemaVerdict.OK if fits else SchemaVerdict.WRONG_TYPE)


@pytest.mark.parametrize("value", [[1], "x", 1, None, True])
def test_only_an_object_is_merged(value):
    """Whatever the field is declared as, what has no keys cannot be merged into it."""
    for kind in ("any", "object"):
        assert FieldSchema(kind).verdict(Op.MERGE, value, 1) is SchemaVerdict.WRONG_TYPE
        assert FieldSchema(kind).verdict(Op.MERGE, {"a": value}, 1) is SchemaVerdict.OK


@pytest.mark.parametrize("kind", ["string", "number", "boolean", "array"])
def test_a_kind_without_keys_takes_no_merge_and_one_without_items_no_append(kind):
    """An object is merged into an object, an item appended to an array, and neither to anything else."""
    assert FieldSchema(kind).verdict(Op.MERGE, {"a": 1}, 1) is SchemaVerdict.WRONG_TYPE
    found = FieldSchema(kind).verdict(Op.APPEND, 1, 1)
    assert found is (SchemaVerdict.OK if kind == "array" else SchemaVerdict.WRONG_TYPE)
    assert FieldSchema("object").verdict(Op.APPEND, 1, 1) is SchemaVerdict.WRONG_TYPE
