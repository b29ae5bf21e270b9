"""The log in PostgreSQL passes the one contract, and the contract fails it with each fault planted."""

from __future__ import annotations

import pytest

from clawvm_es.testing.logs import EventLogContract


class TestPostgresLog(EventLogContract):
    """The log in a schema of a database."""

    @pytest.fixture
    def place(self, server, proxy):
        """The place of a journal that is not there yet."""
        from tests.storage.postgres.places import postgres_place

        return postgres_place(server, proxy)
