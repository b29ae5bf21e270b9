"""Async twins: each takes what its sync method takes, with the same defaults, and passes all of it on."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from clawvm_es.engine.aio import AsyncJournal, AsyncSession
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import ToolFailed, UsageError
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.observe.tools import Tool
from tests.engine.conftest import FIELDS


def public(kind):
    """The public methods and properties of a class and of the parts that it is made of."""
    return {
        name: member
        for part in reversed(kind.__mro__[:-1])
        for name, member in vars(part).items()
        if name[0] != "_" and (inspect.isfunction(member) or isinstance(member, property))
    }


NAMES = sorted(name for name, member in public(Session).items() if inspect.isfunction(member))
OF_JOURNAL = sorted(name for name, member in public(Journal).items() if inspect.isfunction(member))


def parameters(method):
    """Parameter → its kind and default, without `self`; `**options` stands for those that it does not name."""
    found = dict(list(inspect.signature(method).parameters.items())[1:])
    return {name: (given.kind, given.default) for name, given in found.items() if given.kind is not given.VAR_KEYWORD}


def test_a_twin_has_every_method_and_property_of_a_session() -> None:
    """What is new in a session is new in its twin: methods as coroutines, properties as properties."""
    twins = public(AsyncSession)
    assert twins.keys() == public(Session).keys()
    for name, member in public(Session).items():
        if isinstance(member, property):
            assert isinstance(twins[name], property)
        else:
            assert inspect.iscoroutinefunction(twins[name])
        assert twins[name].__doc__
    assert {
        name for name in OF_JOURNAL if not inspect.iscoroutinefunction(getattr(AsyncJournal, name, None))
    } == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_has_the_parameters_and_the_defaults_of_its_method(name) -> None:
    """In the same places, of the same kinds."""
    assert parameters(getattr(AsyncSession, name)) == parameters(getattr(Session, name))


class Recorder:
    """A session whose methods only note what they are called with."""

    def __init__(self):
        self.bound = None

    def __getattr__(self, name):
        def note(*args, **options):
            self.bound = inspect.signature(getattr(Session, name)).bind(self, *args, **options)
            self.bound.apply_defaults()
            return name

        return note


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("tool", "execute")])
def test_a_twin_passes_on_what_it_is_given(name) -> None:
    """Every argument arrives under its own name; those that are left out arrive as the method's own defaults."""
    twin, method = AsyncSession(Recorder()), inspect.signature(getattr(Session, name))
    names = list(parameters(getattr(Session, name)))
    needed = [key for key in names if method.parameters[key].default is inspect.Parameter.empty]
    for given in (names, needed):
        returned = asyncio.run(getattr(twin, name)(**{key: f"the {key}" for key in given}))
        assert returned == name
        wanted = {key: f"the {key}" if key in given else method.parameters[key].default for key in names}
        assert {key: twin.sync.bound.arguments[key] for key in names} == wanted


def test_tools_run_on_the_loop_or_beside_it(tmp_path) -> None:
    """A coroutine is awaited, a function runs in a thread, and what either raises is recorded as a failure."""

    async def later(x):
        await asyncio.sleep(0)
        return f"later {x}"

    async def broken(x):
        raise ValueError(x)

    async def run():
        async with await AsyncJournal.open(tmp_path / "j.db") as journal:
            session = await journal.session("s", counter="lines4", settings=Settings(fields=FIELDS))
            runs = (later, lambda x: f"now {x}", lambda x: later(f"{x}"))
            texts = [(await session.tool("a", {"x": 1}, run)).text for run in runs]
            with pytest.raises(ToolFailed, match="ValueError: 1"):
                await session.tool("a", {"x": 1}, broken)
            return texts, [call.returned.status for call in session.state.calls.values()]

    ok, error = ReturnStatus.OK, ReturnStatus.ERROR
    assert asyncio.run(run()) == (["later 1", "now 1", "later 1"], [ok, ok, ok, error])


def test_a_declared_tool_runs_without_being_named_again(tmp_path) -> None:
    """Its own function runs where none is passed, on the loop or beside it; one that is passed comes first."""

    async def later(x):
        return f"later {x}"

    async def run():
        tools = [Tool("slow", later), Tool("quick", lambda x: f"now {x}")]
        async with await AsyncJournal.open(tmp_path / "j.db") as journal:
            session = await journal.session("s", counter="lines4", settings=Settings(tools=tools))
            texts = [(await session.tool(name, {"x": 1})).text for name in ("slow", "quick")]
            texts.append((await session.tool("quick", {"x": 1}, lambda x: "passed")).text)
            with pytest.raises(UsageError, match="nothing to run"):
                await session.tool("unknown", {"x": 1})
            return texts, sum(row.type == "tool_called" for row in journal.sync.log.read("s"))

    assert asyncio.run(run()) == (["later 1", "now 1", "passed"], 3)


def test_a_journal_s_twin_opens_forks_and_closes(tmp_path) -> None:
    """The twin's block closes the journal, so that nobody can read on; a fork is a twin too, and one resumed."""

    async def run():
        async with await AsyncJournal.open(tmp_path / "j.db") as journal:
            async with await journal.session("s", counter="lines4") as session:
                await session.user_says("hello")
            async with await journal.fork("s", "t") as fork:
                assert isinstance(fork, AsyncSession)
                await fork.user_says("again")
            resumed = await journal.resume("t", "lines4", reopens=True)
            assert isinstance(resumed, AsyncSession) and len(resumed.state.pages) == 2
        return journal.sync

    closed = asyncio.run(run())
    with pytest.raises(Exception, match="closed"):
        closed.session("u")
    with Journal.open(tmp_path / "j.db") as journal:
        assert [len(journal.session(name).state.pages) for name in ("s", "t")] == [1, 2]


PROPERTIES = sorted(name for name, member in public(Session).items() if isinstance(member, property))


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_twin_shows_what_its_session_shows(session, name) -> None:
    """Each property of a twin is its session's own: id, state, head, fill, and what is in flight."""
    session.user_says("a few words")
    session.assemble()
    found, shown = getattr(AsyncSession(session), name), getattr(session, name)
    assert found == shown and found is not None
    assert session.fill_permille == session.state.fill_permille > 0


def test_a_journal_s_twin_answers_as_the_journal_does(journal, session) -> None:
    """Sessions, how one was opened, and what waits to be brought on."""
    session.user_says("hello")
    twin = AsyncJournal(journal)
    assert asyncio.run(twin.opened(session.session_id)) == journal.opened(session.session_id) is not None
    assert asyncio.run(twin.sessions()) == journal.sessions()
