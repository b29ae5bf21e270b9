"""One server for all tests of a process that need one."""

from __future__ import annotations

import pytest

from tests.storage.postgres.servers import running


@pytest.fixture(scope="session")
def server():
    """The server; tests are skipped where there is none."""
    with running() as found:
        yield found


@pytest.fixture(scope="session")
def proxy(server):
    """A proxy in front of the server."""
    from tests.storage.postgres.proxy import Proxy

    found = Proxy(server.port)
    yield found
    found.close()


@pytest.fixture
def url(server):
    """The URL of a journal that is not there yet."""
    return server.url()
