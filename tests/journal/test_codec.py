"""Canonical JSON of event data."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import typing
from types import MappingProxyType

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.core.profiles import CLAWVM, CLAWVM_PAPER, RETRIEVAL
from clawvm_es.errors import JournalDamaged, NotCanonical, UnknownEvent
from clawvm_es.journal.codec import (
    COMMITMENT_FIELDS,
    check_canonical,
    decode,
    encode,
    named_commitments,
)
from clawvm_es.journal.upcasters import UPCASTERS, upcast
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import (
    EVENT_TYPES,
    INPUTS,
    BudgetChanged,
    FaultObserved,
    PageRetired,
    SessionForked,
    SessionOpened,
    ToolCalled,
)
from clawvm_es.model.facts import FaultReason, FaultType
from clawvm_es.testing.strategies import values

EVENTS = st.one_of(*(values(cls) for cls in EVENT_TYPES.values()))


@given(EVENTS)
def test_round_trip(event) -> None:
    """LAW-CODEC-2: every event decodes to an equal one."""
    assert decode(event.TYPE, event.SCHEMA_VERSION, encode(event)) == event


@given(EVENTS)
def test_bytes_are_canonical(event) -> None:
    """LAW-CODEC-1: the bytes are those of RFC 8785 on this subset (sorted keys, no blanks, UTF-8)."""
    raw = encode(event)
    assert raw == json.dumps(json.loads(raw), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    check_canonical(raw, event)


def written(value):
    """What JSON should hold for a value: no field that is at its default, at any depth."""
    if isinstance(value, msgspec.Struct):
        cells = [(field, getattr(value, field.name)) for field in msgspec.structs.fields(type(value))]
        return {field.name: written(cell) for field, cell in cells if cell != field.default}
    if attrs.has(type(value)):
        return {field.name: written(getattr(value, field.name)) for field in attrs.fields(type(value))}
    return [written(item) for item in value] if isinstance(value, tuple) else value


@given(EVENTS)
def test_defaults_are_omitted_at_every_depth(event) -> None:
    """LAW-CODEC-1: data holds exactly the fields whose value is not their default."""
    assert json.loads(encode(event)) == written(event)


def another(value):
    """An equal value that is another object, where there can be one."""
    if isinstance(value, tuple):
        return tuple([another(item) for item in value])
    if isinstance(value, str):
        return "".join(list(str(value)))
    return value


def renewed(value):
    """The same event, made of other objects: fields at their default hold what equals it and is not it."""
    if isinstance(value, msgspec.Struct):
        return type(value)(*(renewed(getattr(value, name)) for name in value.__struct_fields__))
    if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        return tuple([renewed(item) for item in value])
    return another(value)


@given(EVENTS)
def test_defaults_are_told_by_equality(event) -> None:
    """LAW-CODEC-1: what equals a default is omitted, be it that object or another, in every event at every depth."""
    assert encode(renewed(event)) == encode(event)
    assert json.loads(encode(renewed(event))) == written(event)


@pytest.mark.parametrize("cls", EVENT_TYPES.values(), ids=lambda cls: cls.TYPE)
@settings(max_examples=10)
@given(data=st.data())
def test_events_are_frozen_small_and_pickled(cls, data) -> None:
    """Every event class is a frozen Struct whose instances hash, compare and pickle by value."""
    config = cls.__struct_config__
    assert (config.frozen, config.omit_defaults, config.gc) == (True, True, False)
    event = data.draw(values(cls))
    other = pickle.loads(pickle.dumps(event))
    assert other == event and hash(other) == hash(event) and repr(other) == repr(event)
    assert other != 0


@pytest.mark.parametrize(
    ("event", "where"),
    [
        (BudgetChanged(INTEGER_MAX + 1), r"budget_changed\.budget_tokens"),
        (BudgetChanged(-INTEGER_MAX - 1), r"budget_changed\.budget_tokens"),
        (BudgetChanged(2**70), "budget_changed"),
        (BudgetChanged(1.5), r"budget_changed\.budget_tokens"),
        (BudgetChanged(1e300), r"budget_changed\.budget_tokens"),
        (BudgetChanged(float("nan")), r"budget_changed\.budget_tokens"),
        (BudgetChanged(None), r"budget_changed\.budget_tokens"),
        (FaultObserved(FaultType.REFETCH, FaultReason.RERUN, evidence=(1, 2**60)), r"fault_observed\.evidence\[1\]"),
        (FaultObserved(FaultType.REFETCH, FaultReason.RERUN, evidence=(1.0,)), r"fault_observed\.evidence\[0\]"),
        (PageRetired("\ud800", "done"), "page_retired"),
        (PageRetired(object(), "done"), "page_retired"),
        (
            SessionOpened(attrs.evolve(CLAWVM, weights=attrs.evolve(CLAWVM.weights, boot=0.5)), 1, "c", 1),
            r"session_opened\.profile\.weights\.boot",
        ),
    ],
)
def test_what_is_not_canonical_is_refused_with_its_path(event, where) -> None:
    """Floats, None, large integers and what is no text are refused, and the message says where they stand."""
    with pytest.raises(NotCanonical, match=where):
        encode(event)


def test_the_bounds_are_exact() -> None:
    """The largest and smallest integers that JSON readers keep exact are allowed."""
    for number in (INTEGER_MAX, -INTEGER_MAX):
        assert decode("budget_changed", 1, encode(BudgetChanged(number))) == BudgetChanged(number)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"budget_tokens": 1}',
        b'{"budget_tokens":1,"budget_tokens":1}',
        b'{"budget_tokens":1,"more":2}',
        b'{"budget_tokens":1} ',
    ],
)
def test_other_spellings_are_not_canonical(raw) -> None:
    """What decodes to the event but is spelt otherwise is found, with the byte where it begins to differ."""
    with pytest.raises(NotCanonical, match="from byte 1"):
        check_canonical(raw, decode("budget_changed", 1, raw))


def test_the_first_byte_that_is_not_canonical_is_named() -> None:
    """The place is that of the first difference, also where one spelling is the beginning of the other."""
    for raw, at in ((b'{"budget_tokens": 1}', 17), (b'{"budget_tokens":1} ', 19)):
        with pytest.raises(NotCanonical, match=rf"from byte {at} on: {raw[at : at + 40]!r}"):
            check_canonical(raw, BudgetChanged(1))


def test_unknown_events_are_named() -> None:
    """A type or a schema version that this program does not know is an `UnknownEvent` that says which and where."""
    with pytest.raises(UnknownEvent, match="row 5: unknown event type 'page_eaten'"):
        decode("page_eaten", 1, b"{}", where="row 5")
    with pytest.raises(UnknownEvent, match=r"unknown schema version 2 of budget_changed \(known: 1\)"):
        decode("budget_changed", 2, b"{}")


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"budget_tokens":"1"}', b"{}", b'{"budget_tokens":1', b"\xff", b"[" * 100_000]
)
def test_damaged_data_is_named(raw) -> None:
    """Bytes that are no data of their type raise `JournalDamaged`."""
    with pytest.raises(JournalDamaged, match="data is no budget_changed version 1"):
        decode("budget_changed", 1, raw)


def test_upcasters_lead_old_data_to_the_present_class() -> None:
    """Old versions go through each step in order; a missing step is an unknown version."""
    steps = MappingProxyType(
        {
            ("budget_changed", -1): lambda data: {"tokens": data["t"] * 10},
            ("budget_changed", 0): lambda data: {"budget_tokens": data["tokens"] + 1},
        }
    )
    assert decode("budget_changed", -1, b'{"t":4}', upcasters=steps) == BudgetChanged(41)
    assert decode("budget_changed", 0, b'{"tokens":4}', upcasters=steps) == BudgetChanged(5)
    assert decode("budget_changed", 1, b'{"budget_tokens":4}', upcasters=steps) == BudgetChanged(4)
    with pytest.raises(UnknownEvent, match="schema version -2"):
        decode("budget_changed", -2, b"{}", upcasters=steps)


def text_fields(cls) -> set[str]:
    """The names of all text fields in a class and the classes it is made of."""
    found = set()
    for name, hint in typing.get_type_hints(cls).items():
        if typing.get_origin(hint) is typing.ClassVar:
            continue
        for part in (hint, *typing.get_args(hint)):
            if part is str:
                found.add(name)
            elif attrs.has(part) or (isinstance(part, type) and issubclass(part, msgspec.Struct)):
                found |= text_fields(part)
    return found


def test_every_text_field_is_a_commitment_or_known_to_be_none() -> None:
    """Whoever adds a text field to an input has to say whether it holds a commitment."""
    others = {
        "builder",
        "commitments",
        "counter",
        "field",
        "format",
        "hash",
        "hints",
        "left",
        "linked_to",
        "page_id",
        "pages",
    }
    others |= {
        "parent",
        "parent_hash",
        "project",
        "replaces",
        "renderer",
        "retrieved",
        "returned",
        "scope",
        "served_by",
        "session_id",
        "tool",
    }
    names = set().union(*(text_fields(cls) for cls in INPUTS))
    assert names - others == COMMITMENT_FIELDS


COMMITMENTS = dict.fromkeys(COMMITMENT_FIELDS, st.text("0123456789abcdef", min_size=64, max_size=64))
COMMITTED = st.one_of(*(values(cls, **COMMITMENTS) for cls in INPUTS))


@settings(max_examples=30)
@given(COMMITTED)
def test_named_commitments_are_those_in_commitment_fields(event) -> None:
    """All commitments of an input are found, in order; what merely looks like one, in other fields, is not."""

    def found(value) -> list[str]:
        if isinstance(value, dict):
            return [
                text
                for key in sorted(value)
                for text in ([value[key]] if key in COMMITMENT_FIELDS else found(value[key]))
            ]
        return [text for item in value for text in found(item)] if isinstance(value, list) else []

    raw = encode(event)
    assert named_commitments(raw) == found(msgspec.json.decode(raw))


def test_data_that_only_lacks_newer_fields_is_read_as_it_is() -> None:
    """Version 1 of a tool call and of a fork mean what their newer fields' defaults say; their bytes stay theirs."""
    raw = b'{"arguments":"0","call":3,"served_from":7,"tool":"look"}'
    assert decode("tool_called", 1, raw) == ToolCalled(3, "look", "0", served_from=7)
    assert upcast("tool_called", 1, {"call": 3}, 2, UPCASTERS) == {"call": 3}
    fork = decode("session_forked", 1, b'{"parent":"p","parent_hash":"ab","parent_version":2}')
    assert fork == SessionForked("p", 2, "ab", allow_new_calls=False)
    with pytest.raises(UnknownEvent, match="unknown schema version 0"):
        decode("tool_called", 0, raw)


def test_policies_of_before_had_scoring_and_no_thresholds() -> None:
    """An older opening or fork is read as one under the same policy, as it is named today; its bytes stay theirs."""
    weights = b'{"boot":1000,"cost":400,"pin_hard":2000,"pin_soft":600,"plan":800,"recency":600,"scope":300}'
    old = b'{"capabilities":[%b],"name":"%b","order":"density","rule":"%b","top_k":%d,"version":1,"weights":%b}'
    names = b'"floors","boundary_floors","staging","resolution","validity","recall_outcome","prefetch"'
    opening = b'{"budget_tokens":9,"counter":"c","decider_version":1,"profile":%b}'
    opened = decode("session_opened", 1, opening % (old % (names, b"clawvm", b"hull", 0, weights)))
    assert opened == SessionOpened(attrs.evolve(CLAWVM_PAPER, name="clawvm"), 9, "c", 1)
    fork = b'{"parent":"p","parent_hash":"ab","parent_version":2,"profile":%b}'
    forked = decode("session_forked", 2, fork % (old % (b"", b"retrieval", b"retrieval", 8, weights)))
    assert forked == SessionForked("p", 2, "ab", RETRIEVAL)
    with pytest.raises(JournalDamaged):
        decode("session_opened", 1, opening % b'{"name":"x"}')
    with pytest.raises(JournalDamaged):
        decode("session_opened", 1, b'{"profile":3}')


def test_what_checks_and_reads_an_event_is_made_with_the_first_of_its_class() -> None:
    """A program meets few of the classes, so that an import of the engine makes nothing for any."""
    code = """import sys
from clawvm_es.engine.journal import Journal
from clawvm_es.journal import admission, codec
from clawvm_es.journal.twins import twin
print([len(made) for made in (admission._BOUNDED, codec._CHECKS, codec._DECODERS, codec._OMITTED)])
print(twin.cache_info().currsize, "clawvm_es.prices" in sys.modules)"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.splitlines() == ["[0, 0, 0, 0]", "0 False"]
