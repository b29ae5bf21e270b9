"""Fakes for a session's environment; each passes the contract suite of the real thing.

>>> clock = FakeClock(start_us=10, step_us=5)
>>> clock(), clock()
(10, 15)

>>> memory = FakeMemory(["the user is in Lisbon"])
>>> memory("Where is the user?"), memory("zzz")
(['the user is in Lisbon'], [])

>>> shelf = FakeTool("read", {"a.py": "print()"})
>>> shelf.tool.run(path="a.py"), shelf.ran
('print()', ['a.py'])

The fake log is `MemoryLog`, the fake counter `counter("lines4")`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import attrs

from clawvm_es.observe.tools import Tool

START_US: Final = 1_700_000_000_000_000
"""Start of fake clocks, unless told otherwise: in November 2023."""


@attrs.define
class FakeClock:
    """A clock in UTC microseconds that advances by `step_us` at each reading, and not otherwise."""

    start_us: int = START_US
    step_us: int = 1
    looks: int = 0

    def __call__(self) -> int:
        """The time now."""
        now = self.start_us + self.looks * self.step_us
        self.looks += 1
        return now

    def advance(self, by_us: int) -> None:
        """Advance the clock."""
        if by_us < 0:
            raise ValueError(f"a clock does not run back by {-by_us}")
        self.start_us += by_us


@attrs.define
class FakeMemory:
    """A memory backend over some texts: it returns those that share a word of four or more letters with the query.

    Set `error` to an exception that it should raise instead (`PermissionError()` is a denial). `asked` lists the
    queries.
    """

    texts: list[str] = attrs.field(factory=list, converter=list)
    error: Exception | None = None
    asked: list[str] = attrs.field(factory=list)

    def __call__(self, query: str) -> list[str]:
        """The texts that answer a query."""
        self.asked.append(query)
        if self.error is not None:
            raise self.error
        wanted = _words(query)
        return [text for text in self.texts if wanted & _words(text)]


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip(".,:;?!\"'()").lower() for word in text.split() if len(word) > 3)


class FakeTool:
    """A deterministic tool that reads one of several named texts, as a file reader reads files.

    Declare `fake.tool`. `fake.put(name, text)` changes a text, so that stored results no longer hold. `fake.ran`
    lists the names for which it ran. An unknown name raises `FileNotFoundError`.
    """

    def __init__(self, name: str, texts: Mapping[str, str], argument: str = "path") -> None:
        self.texts = dict(texts)
        self.ran: list[str] = []
        self._argument = argument
        self.tool: Final = Tool(
            name, self._run, deterministic=True, reads=(f"file:{{{argument}}}",), validator=self._validator
        )

    def put(self, name: str, text: str) -> None:
        """Change a text, or add one."""
        self.texts[name] = text

    def _run(self, **arguments: str) -> str:
        name = arguments[self._argument]
        self.ran.append(name)
        if name not in self.texts:
            raise FileNotFoundError(name)
        return self.texts[name]

    def _validator(self, arguments: Mapping[str, Any]) -> str | None:
        text = self.texts.get(arguments[self._argument])
        return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
