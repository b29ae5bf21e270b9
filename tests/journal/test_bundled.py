"""Lines of bundles: an event whose cells do not fit its hash, or whose kind is another, is no event of a bundle."""

from __future__ import annotations

import base64

import msgspec
import pytest

from clawvm_es.errors import UnreadableInput
from clawvm_es.journal import bundled
from clawvm_es.journal.chain import row_hash
from clawvm_es.model.events import BudgetChanged, PageUsed, ToolCalled
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import new, used


@pytest.fixture(scope="module")
def lines() -> list[bundled.Line]:
    """The lines of an input with a key and a decision with a cause."""
    with MemoryLog() as log:
        log.append("s", [new(ToolCalled(1, "tool", log.vault("s").commit(b"body")), "key"), used("p1")])
        return [line_of(row) for row in log.read("s")]


def line_of(row) -> bundled.Line:
    """The line of a row, all cells as they are."""
    data, prev_hash, hash_ = row.raw.decode(), row.prev_hash.hex(), row.hash.hex()
    return bundled.Line("event", *row[:11], data, prev_hash, hash_)


def test_a_line_comes_back_as_its_row(lines) -> None:
    """Inputs and decisions, with their data decoded."""
    for line in lines:
        row = bundled.row_of(line, "b: line 2")
        assert line_of(row) == line and line.type == row.data.TYPE


CHANGES = {
    "session_id": "t", "version": 7, "turn": 7, "kind": "odd", "at": 7, "principal": "someone", "cause": 9,
    "idempotency_key": "other", "prev_hash": "11" * 32, "hash": "11" * 32,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_cell_that_does_not_fit_the_hash_is_named_by_its_event(lines, name) -> None:
    """A change of any cell, and of the hash itself."""
    for line in lines:
        changed = msgspec.structs.replace(line, **{name: CHANGES[name]})
        with pytest.raises(UnreadableInput, match=r"b: line 2: \$.hash: is not that of event") as caught:
            bundled.row_of(changed, "b: line 2")
        assert caught.value.hint == bundled.AGAIN


def test_a_kind_that_its_type_has_not_is_refused_under_a_hash_that_fits(lines) -> None:
    """An input that calls itself a decision would change what a session's state is folded from."""
    for line, kind in zip(lines, ("decision", "input"), strict=True):
        row = bundled.row_of(line, "b")._replace(kind=kind)
        forged = line_of(row._replace(hash=row_hash(row)))
        with pytest.raises(UnreadableInput, match="is not that of event"):
            bundled.row_of(forged, "b")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prev_hash": "no hex"}, "b: line 2: non-hexadecimal"),
        ({"hash": "0"}, "b: line 2: "),
        ({"prev_hash": "11"}, r"\$.hash: is not that"),
        ({"data": "{}"}, "line 2"),
        ({"data": "{"}, "line 2"),
        ({"type": "dreamt"}, "dreamt"),
        ({"schema_version": 99}, "line 2"),
        ({"version": 1 << 64}, "b: line 2: "),
    ],
)
def test_a_line_that_cannot_be_a_row_is_one_readable_error(lines, change, says) -> None:
    """Texts that are no hex, data that no event has, and numbers too large to be hashed; each says what to do."""
    with pytest.raises(UnreadableInput, match=says) as caught:
        bundled.row_of(msgspec.structs.replace(lines[0], **change), "b: line 2")
    assert bool(caught.value.hint) and (caught.value.hint == bundled.AGAIN) == ("may have" not in caught.value.hint)
    assert ("may have" in caught.value.hint) == ("type" in change or "schema_version" in change)


@pytest.mark.parametrize("body", [None, b"", b"body\0\xff"])
def test_a_body_comes_back_as_it_was(body) -> None:
    """A salt alone is kept without one."""
    text = None if body is None else base64.b64encode(body).decode()
    line = bundled.Commitment("commitment", "name", "00ff", text)
    assert bundled.body_of(msgspec.json.encode(line), "b", 3) == ("name", b"\0\xff", body)


@pytest.mark.parametrize(
    "fields", [("commitment", "n", "0g", None), ("commitment", "n", "00", "=!"), ("commitment", "n", "00", "YQ")]
)
def test_a_body_that_is_no_base64_is_refused(fields) -> None:
    """Also one with characters that a lenient reader would skip."""
    with pytest.raises(UnreadableInput, match="b: line 3: ") as caught:
        bundled.body_of(msgspec.json.encode(bundled.Commitment(*fields)), "b", 3)
    assert caught.value.hint == bundled.AGAIN


def test_the_header_tells_a_newer_version_from_a_broken_one() -> None:
    """The version that is known is read, a higher one asks for an upgrade, and what is no number is broken."""
    first = {"line": "header", "format": bundled.FORMAT, "version": 1, "journal_id": "j", "streams": []}
    assert bundled.header_of(msgspec.json.encode(first), "b").version == bundled.VERSION == 1
    for version, hint in ((2, "upgrade clawvm-es"), ("2", bundled.AGAIN), (None, bundled.AGAIN)):
        with pytest.raises(UnreadableInput, match=r"b: line 1: ") as caught:
            bundled.header_of(msgspec.json.encode(first | {"version": version}), "b")
        assert caught.value.hint == hint


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"a":"\xff"}', b"[" * 100_000])
def test_a_line_that_is_no_object_is_one_readable_error(raw) -> None:
    """Cut, of another shape, no UTF-8, or nested without end."""
    with pytest.raises(UnreadableInput, match="b: line 9: "):
        bundled.fields_of(raw, "b", 9)
    assert bundled.fields_of(b'{"a":1}', "b", 9) == {"a": 1}


def test_the_first_bytes_tell_events_and_bodies_apart() -> None:
    """Keys are sorted, so that a line's first key is that of its kind."""
    assert (bundled.EVENT, bundled.COMMITMENT) == (b'{"at":', b'{"body":')
    assert BudgetChanged.TYPE != PageUsed.TYPE


def test_a_field_that_no_line_has_is_refused(lines) -> None:
    """In the header, in what it lists, in an event and in a body: a later version would say that it is later."""
    listed = bundled.Listed("s", 1, 2)
    header = bundled.Header("header", bundled.FORMAT, 1, "j", [listed])
    good = [
        (header, lambda raw: bundled.header_of(raw, "b")),
        (lines[0], lambda raw: bundled.line_of(raw, "b", 1)),
        (bundled.Commitment("commitment", "n", "00", None), lambda raw: bundled.body_of(raw, "b", 1)),
    ]
    for line, read in good:
        fields = msgspec.to_builtins(line)
        assert read(msgspec.json.encode(fields))
        with pytest.raises(UnreadableInput, match="unknown field"):
            read(msgspec.json.encode(fields | {"odd": 1}))
    fields = msgspec.to_builtins(header)
    with pytest.raises(UnreadableInput, match="unknown field"):
        bundled.header_of(msgspec.json.encode(fields | {"streams": [fields["streams"][0] | {"odd": 1}]}), "b")
    for first, fits in ((bundled.INTEGER_MAX, True), (-bundled.INTEGER_MAX, True), (bundled.INTEGER_MAX + 1, False)):
        raw = msgspec.json.encode(fields | {"streams": [fields["streams"][0] | {"first": first}]})
        if fits:
            assert bundled.header_of(raw, "b").streams[0].first == first
        else:
            with pytest.raises(UnreadableInput, match="first"):
                bundled.header_of(raw, "b")
