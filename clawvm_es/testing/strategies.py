"""Hypothesis strategies: values of the vocabulary, inputs, pages, and whole sessions.

`values`, `events` and `inputs` generate anything that an event *can* hold, even if no session would accept it;
`sessions` generates sessions that accepted every input.

    from hypothesis import given
    from clawvm_es.testing import sessions

    @given(sessions())
    def test_my_policy_keeps_its_word(session):
        assert session.faults() == []

Needs hypothesis (`pip install hypothesis`), as no other module but `histories` does.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import msgspec

try:
    from hypothesis import strategies as st
except ImportError as error:  # pragma: no cover (the test environment has it)
    raise ImportError("clawvm_es.testing.strategies needs hypothesis: pip install hypothesis") from error

from clawvm_es.core.profiles import CLAWVM, CLAWVM_RANK, LRU
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    Boundary,
    CloseReason,
    Cut,
    Evidence,
    OnPressure,
    Op,
    RecallOutcome,
    RedactReason,
    Resource,
    ResourceClass,
    RetireReason,
    ReturnStatus,
    StagedPage,
    Trigger,
    UpdateFacts,
)
from clawvm_es.model.pages import Author, PageType, Pin
from clawvm_es.model.profile import Profile
from clawvm_es.testing.core import Given, need, opened, page, update

TEXT: Final = st.text(alphabet="abcxyz019_.-", max_size=8)
INTEGERS: Final = st.integers(-INTEGER_MAX, INTEGER_MAX)
_HASH: Final = "0" * 64


# -------------------------------------------------------------------------------------- the vocabulary


def values(hint: Any, integers: st.SearchStrategy[int] = INTEGERS, **named: st.SearchStrategy[Any]) -> Any:
    """All values of a type in an event class; text fields whose names are in `named` take their values from there.

    Fields with a default often have it.
    """
    scalars = {bool: st.booleans(), int: integers, str: TEXT, type(None): st.none()}
    if hint in scalars:
        return scalars[hint]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return st.one_of(*(values(a, integers, **named) for a in arguments))
    if typing.get_origin(hint) is tuple:
        return st.lists(values(arguments[0], integers, **named), max_size=2).map(tuple)
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    hints = typing.get_type_hints(hint)
    names = (
        hint.__struct_fields__ if issubclass(hint, msgspec.Struct) else [field.name for field in attrs.fields(hint)]
    )
    fields = {name: values(hints[name], integers, **named) for name in names}
    for name in fields.keys() & named.keys():
        if hints[name] == str | None:
            fields[name] = st.none() | named[name]
        elif hints[name] is str:
            fields[name] = named[name]
    return st.builds(hint, **fields)


def events() -> st.SearchStrategy[e.Event]:
    """Any event of any type."""
    return st.one_of(*map(values, e.EVENT_TYPES.values()))


def inputs() -> st.SearchStrategy[e.Input]:
    """Any input of any type."""
    return st.one_of(*map(values, e.INPUTS))


def pages(number: int = 1) -> st.SearchStrategy[e.PageWritten]:
    """A `page_written` of page `p<number>`, of any type, author and size."""
    sizes, flags = st.integers(1, 300), st.booleans()
    return st.builds(
        page, st.just(number), st.sampled_from(PageType), sizes, author=st.sampled_from(Author), active=flags
    )


# -------------------------------------------------------------------------------------------- sessions


@st.composite
def sessions(
    draw: st.DrawFn,
    profiles: Sequence[Profile] = (CLAWVM, CLAWVM_RANK, LRU),
    budgets: st.SearchStrategy[int] | None = None,
    max_steps: int = 25,
) -> Given:
    """A session that accepted up to `max_steps` inputs, of every type that a session can accept, in any order."""
    given = Given()
    budget = draw(st.integers(1, 900) if budgets is None else budgets)
    given.when(opened(draw(st.sampled_from(profiles)), budget, draw(st.sampled_from([0, 20])), misfits=3))
    for step in draw(st.lists(st.sampled_from(_STEPS), min_size=1, max_size=max_steps)):
        for data in step(draw, given):
            given.when(data)
    if draw(st.booleans()):
        given.when(e.SessionClosed(CloseReason.ENDED))
    return given


def _write(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    return (draw(pages(len(given.state.pages) + 1)),)


def _turn(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    known = sorted(given.state.pages)
    hints = draw(st.lists(st.sampled_from(known), max_size=2, unique=True)) if known else []
    turn = e.TurnBegan(hints=tuple(hints), fixed_tokens=draw(st.sampled_from([0, 0, 30])))
    return turn, e.PromptRendered("test/1", draw(st.integers(0, 900)), _HASH)


def _respond(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    numbers = (
        draw(st.lists(st.integers(1, len(given.state.pages)), max_size=2, unique=True)) if given.state.pages else ()
    )
    return (e.ModelResponded(needs=(need(*numbers),) if numbers else ()),)


def _call(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    state = given.state
    number = len(state.calls) + 1
    called = e.ToolCalled(
        call=number,
        tool="tool",
        arguments=_HASH,
        signature=draw(st.integers(1, 3)),
        deterministic=draw(st.booleans()),
        resources=() if state.resources else (Resource(ResourceClass.FILE, _HASH),),
        reads=(1,),
        writes=(1,) if draw(st.booleans()) else (),
    )
    return called, e.ToolReturned(call=number, status=draw(st.sampled_from(ReturnStatus)))


def _stage(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    evidence = Evidence(version=draw(st.integers(1, given.state.version + 3)))
    facts = update(op=draw(st.sampled_from(Op)), base_version=draw(st.integers(0, 3)), evidence=evidence)
    return (e.UpdateStaged(len(given.state.updates) + 1, facts),)


def _boundary(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    staged = tuple(
        StagedPage(page_id, UpdateFacts(page_id, Op.SET_WITH_VERSION, _HASH, 1, Evidence(page_id=page_id)))
        for page_id in given.state.dirty
    )
    return (e.BoundaryReached(draw(st.sampled_from(Boundary)), Trigger.CALLER, staged),)


def _cut(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    """A harness tells what it took out of its context, and what it put back."""
    known = sorted(given.state.pages)
    if not known:
        return ()
    left = draw(st.lists(st.sampled_from(known), max_size=3, unique=True))
    returned = [page_id for page_id in known if page_id not in left and draw(st.booleans())]
    kind, boundary = draw(st.sampled_from(_CUTS))
    return (e.BoundaryReached(boundary, Trigger.RECORDED, cut=kind, left=tuple(left), returned=tuple(returned)),)


def _recall(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    return (e.RecallAnswered(given.state.recalls + 1, draw(st.sampled_from(RecallOutcome)), _HASH),)


def _budget(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    return (e.BudgetChanged(draw(st.integers(1, 900))),)


def _resume(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    """End the session and go on with it, maybe under another budget."""
    adopted = e.SettingsAdopted(
        budget_tokens=draw(st.none() | st.integers(1, 900)), on_pressure=draw(st.sampled_from(OnPressure))
    )
    ended = (e.SessionClosed(CloseReason.ENDED), e.SessionReopened())
    return (*ended, adopted) if draw(st.booleans()) else ended


def _on_a_page(draw: st.DrawFn, given: Given) -> Sequence[e.Input]:
    """Rewrite, pin, retire or erase a page."""
    if not given.state.pages:
        return ()
    known = given.state.pages[draw(st.sampled_from(sorted(given.state.pages)))]
    return (
        draw(
            st.one_of(
                st.builds(page, st.just(known.number), st.just(known.page_type), st.integers(1, 300)),
                st.builds(e.PagePinned, st.just(known.page_id), st.sampled_from(Pin)),
                st.just(e.PageRetired(known.page_id, RetireReason.DONE)),
                st.just(e.ContentRedacted(RedactReason.REQUEST, pages=(known.page_id,))),
            )
        ),
    )


_CUTS: Final = (
    (Cut.COMPACT, Boundary.COMPACT),
    (Cut.MICRO, Boundary.PRUNE),
    (Cut.REWIND, Boundary.PRUNE),
    (Cut.CLEAR, Boundary.RESET),
)
_STEPS: Final[tuple[Callable[[st.DrawFn, Given], Sequence[e.Input]], ...]] = (
    *(_write, _write, _turn, _turn, _respond, _call, _call),
    *(_stage, _boundary, _cut, _recall, _budget, _resume, _on_a_page),
)
"""Steps that a session may do next; frequent ones are listed twice."""
