"""The fakes and the real things pass the same contracts."""

from __future__ import annotations

import pytest

from clawvm_es.engine.retriever import Retriever
from clawvm_es.engine.session import now_us
from clawvm_es.observe.declared import file_reader
from clawvm_es.representations.counter import counter
from clawvm_es.testing import (
    ClockContract,
    FakeClock,
    FakeMemory,
    FakeTool,
    MemoryBackendContract,
    TokenCounterContract,
    ToolContract,
)


class TestClocks(ClockContract):
    """The clock of live sessions, and the fake one."""

    @pytest.fixture(params=[now_us, FakeClock()], ids=["live", "fake"])
    def clock(self, request):
        """A clock."""
        return request.param


class TestCounters(TokenCounterContract):
    """The default tokenizer, and the stand-in."""

    @pytest.fixture(params=["o200k_base", "lines4"])
    def counter(self, request):
        """A counter."""
        return counter(request.param)


class TestFileReader(ToolContract):
    """The tool that ships."""

    @pytest.fixture
    def tool(self):
        """A reader of files."""
        return file_reader("read")

    @pytest.fixture
    def arguments(self, tmp_path):
        """A file that is there."""
        (tmp_path / "a.txt").write_text("one")
        return {"path": str(tmp_path / "a.txt")}

    @pytest.fixture
    def change(self, tmp_path):
        """Write to it."""
        return lambda: (tmp_path / "a.txt").write_text("two, longer")


class TestFakeTool(ToolContract):
    """The fake."""

    @pytest.fixture
    def fake(self):
        """A shelf with one text."""
        return FakeTool("read", {"a": "one"})

    @pytest.fixture
    def tool(self, fake):
        """Its tool."""
        return fake.tool

    @pytest.fixture
    def arguments(self):
        """The text that is there."""
        return {"path": "a"}

    @pytest.fixture
    def change(self, fake):
        """Another text in its place."""
        return lambda: fake.put("a", "two")


class TestMemories(MemoryBackendContract):
    """A full-text index as a backend, and the fake."""

    TEXTS = ("The user lives in Lisbon.", "The cat is called Murr.")

    @pytest.fixture(params=["index", "fake"])
    def backend(self, request):
        """A backend over two texts."""
        if request.param == "fake":
            return FakeMemory(self.TEXTS)
        index = Retriever()
        for number, text in enumerate(self.TEXTS):
            index.put(number, text)
        return lambda query: [self.TEXTS[number] for number in index.search(query, 5)]

    @pytest.fixture
    def known(self):
        """A query that they can answer."""
        return "Lisbon"
