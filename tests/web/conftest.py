"""A journal with two sessions, one forked, and a browser's requests without a browser or a port."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from tests.engine.conftest import FIELDS
from tests.engine.test_shell import busy

pytest.importorskip("starlette", reason="the extra ui is not installed")

TOKEN = "a-token-that-nobody-guesses"
PORT = 8740
HOSTILE = '<img src=x onerror="alert(1)">\u202e"\'/../%00'


@dataclass(frozen=True)
class Got:
    """An answer: status, headers (lower case), body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """Asks an ASGI application as a browser that has the token; `headers` replace the usual ones (None: without)."""

    def __init__(self, app, port: int = PORT) -> None:
        self.app = app
        self.usual = {"host": f"127.0.0.1:{port}", "authorization": f"Bearer {TOKEN}"}

    def get(self, address: str, method: str = "GET", **headers: str | None) -> Got:
        """The whole answer to one request."""
        return asyncio.run(self._ask(address, method, headers))

    async def _ask(self, address: str, method: str, headers: dict[str, str | None]) -> Got:
        path, _, query = address.partition("?")
        given = self.usual | {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.encode(), value.encode("latin-1")) for name, value in given.items() if value is not None
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", PORT),
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = sent[0]
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Got(
            start["status"], {name.decode(): value.decode("latin-1") for name, value in start["headers"]}, body
        )


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """The path of a journal: `s` uses every hook, `f` is a fork of it, and one session's id is markup."""
    path = tmp_path_factory.mktemp("web") / "j.db"
    with Journal.open(path, seed=1, clock=iter(range(1_000_000, 10**12, 1_000)).__next__) as journal:
        with journal.session("s", budget_tokens=700, counter="lines4", settings=Settings(fields=FIELDS)) as session:
            busy(session)
        with journal.fork("s", "f", at=60) as fork:
            fork.user_says("another way " * 40)
            fork.assemble()
        with journal.session("<b>&", budget_tokens=700, counter="lines4") as session:
            session.user_says(f"{HOSTILE} \ud800 \0 </script><script>alert(1)</script>")
            session.assemble()
    return str(path)


@pytest.fixture(scope="module")
def client(journal):
    """The application over that journal."""
    from clawvm_es.web.app import app

    return Client(app(journal, TOKEN, PORT))
