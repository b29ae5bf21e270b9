"""Both logs pass the one contract."""

from __future__ import annotations

import pytest

from clawvm_es.storage import open_log, verify
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import EventLogContract


class TestMemoryLog(EventLogContract):
    """The log in memory."""

    @pytest.fixture
    def log(self):
        """An empty log; it must verify when the test is done with it."""
        log = MemoryLog()
        yield log
        if not log._closed:
            assert verify(log) == ()


class TestSQLiteLog(EventLogContract):
    """The log in a file."""

    @pytest.fixture
    def log(self, tmp_path):
        """An empty journal; its file must verify when the test is done with it."""
        with open_log(tmp_path / "journal.db", wait_s=20) as log:
            yield log
        assert verify(tmp_path / "journal.db") == ()
