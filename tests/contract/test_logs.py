"""Both storages pass the one contract."""

from __future__ import annotations

import pytest

from clawvm_es.testing.logs import EventLogContract
from tests.contract.places import memory_place, sqlite_place


class TestMemoryLog(EventLogContract):
    """The log in memory."""

    @pytest.fixture
    def place(self):
        """A place for one log."""
        return memory_place()


class TestSQLiteLog(EventLogContract):
    """The log in a file."""

    @pytest.fixture
    def place(self, tmp_path):
        """The place of a journal that is not there yet."""
        return sqlite_place(tmp_path / "journal.db")
