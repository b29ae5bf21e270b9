"""Contract suites for a harness's own clocks, token counters, tools and memory backends.

Subclass one in your tests and define the fixtures that its docstring names:

    class TestMyMemory(MemoryBackendContract):
        @pytest.fixture
        def backend(self): return MyMemory(["the user is in Lisbon"])

        @pytest.fixture
        def known(self): return "Where is the user?"

`EventLogContract` in `testing.logs` is the contract of event logs. pytest is needed only to run a contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import ToolFailed
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import RecallAnswered
from clawvm_es.model.facts import RecallOutcome
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.tools import Tool, effects
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.testing.journals import live_session, memory_journal


class ClockContract:
    """Contract of a journal's clock; fixture `clock`."""

    def test_it_tells_whole_microseconds_of_our_time(self, clock: Callable[[], int]) -> None:
        """A time is an integer that event data can hold, after 1970."""
        now = clock()
        assert type(now) is int
        assert 0 < now <= INTEGER_MAX

    def test_it_does_not_run_back(self, clock: Callable[[], int]) -> None:
        """Successive readings of the clock never go backwards."""
        times = [clock() for _ in range(100)]
        assert times == sorted(times)


class TokenCounterContract:
    """Contract of a token counter; fixture `counter`."""

    TEXTS = (
        '<page id="p1" type="plan">\nGoal: ship\n</page>\n',
        "<page>\n日本 😀 \ud800 é\n\n\n</page>\n",
        "<page>\n" + "word " * 500 + "\n</page>\n",
        "<directory 12/>\n",
    )
    """Framed texts: they begin with `<` and end with a newline."""

    def test_counts_are_whole_and_the_same_again(self, counter: TokenCounter) -> None:
        """The same text always has the same count, no count is negative, and the empty text counts 0."""
        for text in self.TEXTS:
            count = counter.count(text)
            assert type(count) is int
            assert count == counter.count(text) > 0
        assert counter.count("") == 0

    def test_counts_of_framed_texts_add_up(self, counter: TokenCounter) -> None:
        """LAW-COUNT-1: a prompt costs what its pages cost."""
        for first in self.TEXTS:
            for second in self.TEXTS:
                assert counter.count(first + second) == counter.count(first) + counter.count(second)

    def test_it_has_a_name(self, counter: TokenCounter) -> None:
        """The name that is recorded with a session."""
        assert counter.name


class ToolContract:
    """Contract of a declared tool whose results may be served again.

    Fixtures: `tool`; `arguments`, a call that the tool can make; `change`, a function that changes what the call
    reads.
    """

    def test_the_same_call_gives_the_same_text(self, tool: Tool, arguments: Mapping[str, Any]) -> None:
        """It is deterministic, and its results are texts."""
        assert tool.deterministic
        assert tool.run is not None
        text = tool.run(**arguments)
        assert isinstance(text, str)
        assert tool.run(**arguments) == text

    def test_it_tells_what_it_reads(self, tool: Tool, arguments: Mapping[str, Any]) -> None:
        """A call has a resource key for each thing that the tool declares to read."""
        done = effects(tool, ToolUse(1, tool.name, arguments))
        assert done.deterministic and len(done.reads) == len(tool.reads) > 0

    def test_its_validator_sees_a_change(
        self, tool: Tool, arguments: Mapping[str, Any], change: Callable[[], object]
    ) -> None:
        """The validator's fingerprint stays the same until `change` is called, and differs afterwards."""
        assert tool.validator is not None
        before = tool.validator(arguments)
        assert before == tool.validator(arguments) is not None
        change()
        assert tool.validator(arguments) != before

    def test_a_session_serves_its_result_until_that_changes(
        self, tool: Tool, arguments: Mapping[str, Any], change: Callable[[], object]
    ) -> None:
        """A second call runs nothing; after a change it runs again."""
        with live_session(settings=Settings(tools=[tool])) as session:
            first = session.tool(tool.name, arguments)
            again = session.tool(tool.name, arguments)
            assert (first.served, again.served, again.text) == (False, True, first.text)
            change()
            assert not session.tool(tool.name, arguments).served

    def test_a_call_that_it_cannot_make_is_a_recorded_failure(self, tool: Tool) -> None:
        """A call without its arguments raises `ToolFailed` or the tool's own error, and leaves nothing in flight."""
        import pytest

        with live_session(settings=Settings(tools=[tool])) as session:
            with pytest.raises((ToolFailed, TypeError, LookupError)):
                session.tool(tool.name, {})
            assert session.in_flight == ()


class MemoryBackendContract:
    """Contract of a memory backend; fixtures `backend`, and `known`, a query that it can answer."""

    UNKNOWN = "qzx vvv 0xdeadbeef"
    """A query that no backend should have an answer to."""

    def test_an_answer_is_a_series_of_texts(self, backend: Callable[[str], Iterable[str]], known: str) -> None:
        """A session finds pages for a known query, and none for an unknown one; both outcomes are recorded."""
        with memory_journal() as journal, live_session(journal=journal) as session:
            assert session.recall(known, backend)
            assert session.recall(self.UNKNOWN, backend) == ()
            assert _outcomes(journal, session) == [RecallOutcome.OK, RecallOutcome.NO_MATCH]

    def test_the_same_query_has_the_same_answer(self, backend: Callable[[str], Iterable[str]], known: str) -> None:
        """The backend gives the same answer to the same query."""
        assert list(backend(known)) == list(backend(known))


def _outcomes(journal: Journal, session: Session) -> list[RecallOutcome]:
    rows = journal.log.read(session.session_id)
    return [row.data.outcome for row in rows if isinstance(row.data, RecallAnswered)]
