"""What may enter the log, and that whatever entered it can be folded, shown, verified and decided again."""

from __future__ import annotations

import enum
import types
import typing
import unicodedata
from contextlib import suppress

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.core.profiles import CLAWVM, PROFILES
from clawvm_es.core.state import State
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError, NotCanonical, UsageError
from clawvm_es.history.redecide import redecide
from clawvm_es.journal import admission, planning, snapshots
from clawvm_es.journal.codec import encode
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import NewEvent
from clawvm_es.journal.twins import twin
from clawvm_es.limits import ID_CHARS, INTEGER_MAX, TIME_MAX_US, TIME_MIN_US, TOKENS_MAX
from clawvm_es.model import events as e
from clawvm_es.model.bounds import Within
from clawvm_es.model.commands import Command
from clawvm_es.model.pages import Fidelity, Level, PageType, Pin
from clawvm_es.projections import catch_up, projections_problems, rebuild, snapshot
from clawvm_es.projections.tables import TABLES
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.core import opened, page
from clawvm_es.testing.strategies import values

TIMES = st.sampled_from([TIME_MIN_US, -1, 0, 1_780_000_000_000_000, TIME_MAX_US])
NAMES = st.sampled_from(["a", "x" * ID_CHARS, 'q"\\/', "ü☃ 𐍈", "p1", "p0", "p1.2", "scope:x", ""])
TOO_MUCH = st.sampled_from([-INTEGER_MAX, -1, INTEGER_MAX])


# ------------------------------------------------------------------------------- inputs at their limits


def extreme(draw, hint, state: State, name: str = "", beyond: bool = False):
    """A value of a field's type at one of its limits (or, if `beyond`, past them); pages and ordinals often exist."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated or hint is int:
        within = arguments[1] if arguments else Within(-INTEGER_MAX, INTEGER_MAX)
        return integer(draw, within, state, name, beyond)
    if origin in (typing.Union, types.UnionType):
        return extreme(draw, draw(st.sampled_from(arguments)), state, name, beyond)
    if origin is tuple:
        if name == "levels" and arguments[0] is Level:
            return levels(draw, beyond)
        size = draw(st.integers(1 if name == "holders" else 0, 2))
        return tuple([extreme(draw, arguments[0], state, name, beyond) for _ in range(size)])
    scalars = {bool: st.booleans(), type(None): st.none()}
    if hint in scalars or issubclass(hint, enum.Enum):
        return draw(scalars[hint] if hint in scalars else st.sampled_from(hint))
    if hint is str:
        return text(draw, state, name)
    hints = typing.get_type_hints(hint, include_extras=True)
    its = msgspec.structs.fields(hint) if issubclass(hint, msgspec.Struct) else attrs.fields(hint)
    return hint(**{each.name: extreme(draw, hints[each.name], state, each.name, beyond) for each in its})


def integer(draw, within: Within, state: State, name: str, beyond: bool) -> int:
    """A number at a limit of its field; of calls, updates and resources mostly the next."""
    if beyond and draw(st.booleans()):
        return draw(TOO_MUCH)
    known = {"call": len(state.calls) + 1, "update": len(state.updates) + 1, "reads": 1, "writes": 1}.get(name)
    limits = [within.least, within.least + 1, within.most - 1, within.most]
    return draw(st.sampled_from([*limits, *([known] * 4 if known else ())]))


def text(draw, state: State, name: str) -> str:
    """A name; where a page is named, mostly one that is there, or the next."""
    if name in ("page_id", "hints", "pages", "retrieved"):
        return draw(st.sampled_from([f"p{len(state.pages) + 1}", *([*state.pages] * 3)]) | NAMES)
    return "lines4" if name == "counter" else draw(NAMES)


def levels(draw, beyond: bool) -> tuple[Level, ...]:
    """Levels that fall in fidelity and tokens, from the largest page that may be to none."""
    sizes = draw(st.lists(st.sampled_from([TOKENS_MAX, TOKENS_MAX - 1, 300, 9, 1, 0]), min_size=1, unique=True))
    if beyond:
        sizes[0] = INTEGER_MAX
    kept = [Fidelity.FULL, Fidelity.COMPRESSED, Fidelity.STRUCTURED, Fidelity.POINTER]
    return tuple(
        Level(level, tokens, draw(NAMES), draw(NAMES))
        for level, tokens in zip(kept, sorted(sizes, reverse=True), strict=False)
    )


def session_of(draw, journal: Journal, session_id: str, steps: int) -> int:
    """Give a new session inputs at their limits; how many it took. What it refuses is refused in our own words."""
    shell = journal.resume(session_id, "lines4")
    state = State()
    profile = draw(st.sampled_from([*PROFILES.values()]))
    if draw(st.booleans()):
        weights = extreme(draw, type(profile.weights), state)
        profile = attrs.evolve(profile, weights=weights, top_k=draw(st.sampled_from([0, 1, INTEGER_MAX])))
    budget = draw(st.sampled_from([1, 300, 16_000, TOKENS_MAX]))
    data: e.Input = opened(profile, budget, draw(st.sampled_from([0, 40, TOKENS_MAX])))
    taken = 0
    for number in range(steps + 1):
        command = Command(data, draw(TIMES), draw(NAMES), draw(st.none() | NAMES))
        with suppress(ClawVMError):
            shell.execute(command)
            taken += 1
        cls = draw(st.sampled_from([*e.INPUTS, e.PageWritten, e.TurnBegan, e.ToolCalled]))
        data = extreme(draw, cls, shell.state, beyond=number % 3 == 0)
    return taken


def assert_sound(log, path=None) -> None:
    """Every event of a log folds, projects, verifies, rebuilds and decides again, and nothing in it is odd."""
    notes: list[object] = []
    assert verify(log if path is None else path, note=notes.append) == ()
    assert notes == []
    for head in log.heads():
        if not head.session_id.startswith(e.SCOPE_PREFIX):
            redecide(read_session(log, head.session_id))
    catch_up(log)
    snapshots.catch_up(log)
    with snapshot(log) as view:
        live = {table.name: view.rows(table) for table in TABLES}
    if path is not None:
        assert projections_problems(log) == []
        assert [*snapshots.snapshot_problems(log)] == []
        rebuild(log)
        snapshots.rebuild(log)
        with snapshot(log) as view:
            assert {table.name: view.rows(table) for table in TABLES} == live


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_admitted_inputs_at_their_limits_are_sound_in_memory(data) -> None:
    """LAW-ADMIT-1: whatever a log in memory took, with each field at its limits, folds and is decided again."""
    with MemoryLog() as log:
        journal = Journal(log)
        for name in ("one", "two"):
            session_of(data.draw, journal, name, 8)
        assert_sound(log)


@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_admitted_inputs_at_their_limits_are_sound_in_a_file(tmp_path_factory, data) -> None:
    """LAW-ADMIT-1: the same of a journal on disk, with its read models, snapshots and a rebuild."""
    path = tmp_path_factory.mktemp("limits") / "j.db"
    with open_log(path) as log:
        journal = Journal(log)
        for name in ("one", "two"):
            session_of(data.draw, journal, name, 8)
        assert_sound(log, path)


@pytest.mark.parametrize("at_once", [False, True])
def test_what_an_older_program_took_beyond_all_bounds_is_read(tmp_path, monkeypatch, at_once) -> None:
    """LAW-ADMIT-2: numbers at ±(2**53 - 1) in all sums close neither read models nor snapshots."""
    path = tmp_path / "j.db"
    weights = attrs.evolve(CLAWVM.weights, pin_hard=INTEGER_MAX, boot=INTEGER_MAX, reuse=INTEGER_MAX)
    with monkeypatch.context() as older, open_log(path) as log:
        older.setattr(planning, "admit", encode)
        older.setattr(planning, "check_text", lambda what, value: None)
        data = [opened(attrs.evolve(CLAWVM, weights=weights), INTEGER_MAX, -INTEGER_MAX)]
        for number in range(1, 4):
            level = Level(Fidelity.FULL, INTEGER_MAX, "0", "t")
            data += [replace(page(number, PageType.BOOTSTRAP), levels=(level,)), e.PagePinned(f"p{number}", Pin.HARD)]
        usage = e.ModelResponded((), INTEGER_MAX, INTEGER_MAX, -INTEGER_MAX)
        used = e.PromptAssembled(INTEGER_MAX, INTEGER_MAX, 3, INTEGER_MAX, "0", 0, INTEGER_MAX, INTEGER_MAX)
        data += [e.TurnBegan(fixed_tokens=-INTEGER_MAX), *[usage] * 1100, *[used] * 1100]
        log.append("odd\x1b\0\u202e", [NewEvent(each, 1, 0, "t\n") for each in data])
    notes = []
    assert verify(path, note=notes.append) == ()
    assert {"session_id", "principal", "data.fixed_tokens", "data.cached_tokens"} <= {note.what for note in notes}
    with open_log(path) as log:
        if at_once:
            rebuild(log)
            snapshots.rebuild(log)
        catch_up(log, piece_events=300)
        snapshots.catch_up(log)
        assert (projections_problems(log), [*snapshots.snapshot_problems(log)]) == ([], [])
        with snapshot(log) as view:
            assert view.rows(TABLES[0])[0].tokens > 2**60


# --------------------------------------------------------------------------------------- what is refused


ODD = [
    "a\0",
    "a\x1b[31m",
    "a\n",
    "\x7f",
    "\x85",
    "a\u202eb",
    "\u2066",
    "\u200f",
    "\u061c",
    "\u2028",
    "\ud800",
    "x" * 1001,
]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_ids_are_refused_wherever_they_are_given(odd) -> None:
    """FAULTS A8: sessions, projects, parents, principals and keys hold no character that terminals obey."""
    with Journal.open(":memory:") as journal:
        with pytest.raises(UsageError, match="session id"):
            journal.session(odd)
        for name in ("project", "linked_to", "counter"):
            with pytest.raises(UsageError, match=name):
                journal.session("s", **{name: odd})
        session = journal.session("s", counter="lines4")
        with pytest.raises(UsageError, match="session id"):
            journal.fork("s", odd)
        with pytest.raises(UsageError, match="idempotency key"):
            session.user_says("x", key=odd)
        with pytest.raises(UsageError, match="principal"):
            session.execute(Command(e.BudgetChanged(5), 0, odd))
        assert journal.log.head("s").version == 1
        session.user_says("the session goes on")
        assert_sound(journal.log)


CODES = (*range(0x3000), *range(0xD7FE, 0xE002), *range(0xFE00, 0x10100), 0x1F600, 0xE0001, 0x10FFFF)
"""All characters of the planes' first parts, the surrogates with their neighbours, and a few far ones."""
BIDI = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
MARKS = ("LEFT-TO-RIGHT MARK", "RIGHT-TO-LEFT MARK", "ARABIC LETTER MARK")


def test_the_odd_characters_are_those_that_unicode_names_so() -> None:
    """A control, a surrogate, a separator of lines or paragraphs, or one that turns the direction; no other."""
    for code in CODES:
        one = chr(code)
        odd = unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(one) in BIDI
        odd = odd or unicodedata.name(one, "") in MARKS
        assert (admission.odd_text(f"a{one}b") is not None) is odd, hex(code)


@pytest.mark.parametrize("within", ["", "ü", "\\"], ids=["plain", "letters", "escapes"])
def test_an_input_is_odd_where_a_text_in_it_cannot_be_a_name(within: str) -> None:
    """Each character alone in an input of plain letters, and beside others that are escaped or not."""
    beside = (within,) if within else ()
    for code in CODES:
        one = chr(code)
        with suppress(NotCanonical):  # a lone surrogate, which no text of an input may be
            for event in (e.TurnBegan(hints=(one, *beside)), e.ToolCalled(1, one + within, "0")):
                found = admission.oddity(event)
                assert (found is not None) is (admission.odd_text(one) is not None), (hex(code), event)


@pytest.mark.parametrize("length", [*range(ID_CHARS - 40, ID_CHARS + 3), 2 * ID_CHARS])
def test_a_text_of_an_input_is_no_longer_than_a_name(length: int) -> None:
    """The longest name, and each length around it at which the whole input is about as long."""
    found = admission.oddity(e.TurnBegan(hints=("x" * length,)))
    assert (found is not None) is (length > ID_CHARS)


@pytest.mark.parametrize("odd", [5, None, b"s", ["s"]], ids=ascii)
def test_an_id_is_text(odd) -> None:
    """Another type than text is named as such."""
    with Journal.open(":memory:") as journal, pytest.raises(UsageError, match="session id: expected text, got"):
        journal.session(odd)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (e.TurnBegan(fixed_tokens=-1), r"turn_began\.fixed_tokens: expected `int` >= 0"),
        (e.BudgetChanged(TOKENS_MAX + 1), r"budget_changed\.budget_tokens: expected `int` <= 2147483647"),
        (e.ModelResponded(output_tokens=2**40), r"model_responded\.output_tokens: expected `int` <= "),
        (replace(page(1), levels=(Level(Fidelity.FULL, 2**31, "0", "t"),)), r"page_written\.levels\[0\]\.tokens"),
        (e.TurnBegan(hints=("p1\u202e",)), r"turn_began\.hints\[0\]: .*U\+202E"),
        (e.ToolCalled(0, "t", "0"), r"tool_called\.call: expected `int` >= 1"),
        (e.ToolCalled(1, "t\n", "0"), r"tool_called\.tool: .*U\+000A"),
    ],
)
def test_inputs_beyond_their_bounds_are_refused_with_their_path(data, where) -> None:
    """LAW-ADMIT-1: engine and log refuse them alike, in one line, and append nothing."""
    with Journal.open(":memory:") as journal:
        session = journal.session("s", counter="lines4")
        with pytest.raises(UsageError, match=where) as refused:
            session.execute(Command(data, 0))
        assert "\n" not in str(refused.value)
        with pytest.raises(UsageError, match=where):
            journal.log.append("s", [NewEvent(data, 0, 0, "t")])
        assert journal.log.head("s").version == 1


@pytest.mark.parametrize("at_us", [TIME_MIN_US - 1, TIME_MAX_US + 1, 2**70, 1.5, True, None])
def test_a_time_outside_the_calendar_is_refused(at_us) -> None:
    """A clock or a command that gives no time that a calendar holds is refused by engine and log."""
    with Journal.open(":memory:") as journal:
        session = journal.session("s", counter="lines4")
        with pytest.raises(UsageError, match="budget_changed: at: "):
            session.execute(Command(e.BudgetChanged(9), at_us))
        with pytest.raises(UsageError, match="budget_changed: at: "):
            journal.log.append("s", [NewEvent(e.BudgetChanged(9), 0, at_us, "t")])


@pytest.mark.parametrize("cls", e.INPUTS, ids=lambda cls: cls.TYPE)
@settings(max_examples=10)
@given(data=st.data())
def test_twins_take_what_their_classes_hold(cls, data) -> None:
    """A twin that is not bounded decodes whatever its class encodes."""
    event = data.draw(values(cls))
    msgspec.json.decode(encode(event), type=twin(cls, False))
    assert admission.structure(msgspec.json.decode(encode(cls_min(cls, event))), cls) is not None


def cls_min(cls, event):
    """The event with every number of it at 1, which all bounds allow."""

    def tame(value):
        if isinstance(value, msgspec.Struct):
            return type(value)(*(tame(getattr(value, name)) for name in value.__struct_fields__))
        if attrs.has(type(value)):
            return type(value)(*(tame(getattr(value, field.name)) for field in attrs.fields(type(value))))
        if isinstance(value, tuple):
            return tuple([tame(item) for item in value])
        return 1 if type(value) is int else value

    return tame(event)
