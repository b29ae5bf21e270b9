"""What the tests of importers share: a seeded vault in memory, JSON Lines, and a file that a journal follows."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal
from clawvm_es.core.profiles import profile
from clawvm_es.importers import Recording, commands
from clawvm_es.model.commands import Command
from clawvm_es.model.events import SessionOpened
from clawvm_es.observe.edge import Edge
from clawvm_es.representations.counter import counter


class SeededVault:
    """Bodies in memory under commitments that depend on a fixed seed and the body alone."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}

    def commit(self, body: bytes) -> str:
        """Keep a body."""
        salt = hmac.digest(b"seed", hashlib.sha256(body).digest(), "sha256")
        commitment = hmac.digest(salt, body, "sha256").hex()
        self.bodies[commitment] = body
        return commitment

    def seal(self, body: bytes) -> str:
        """Commit to a body without keeping it."""
        return hashlib.sha256(body).hexdigest()

    def open(self, commitment: str) -> bytes | None:
        """The body behind a commitment."""
        return self.bodies.get(commitment)


OPENED = SessionOpened(profile("clawvm"), 16_000, "lines4", 1)


@pytest.fixture
def vault() -> SeededVault:
    """A vault of one test."""
    return SeededVault()


@pytest.fixture
def translate(vault: SeededVault) -> Callable[..., list[Command]]:
    """A recording's commands, bodies in `vault`."""

    def translate(recording: Recording, tally: Counter[str] | None = None) -> list[Command]:
        return list(commands(recording, Edge(vault, counter("lines4")), OPENED, tally))

    return translate


@pytest.fixture
def jsonl() -> Callable[[Iterable[Any]], bytes]:
    """Rows as JSON Lines; strings stand for raw lines."""

    def write(rows: Iterable[Any]) -> bytes:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")

    return write


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A file that grows."""
    return tmp_path / "live.jsonl"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal in a file, whose salts depend on its content alone."""
    with Journal.open(tmp_path / "j.db", seed=1) as found:
        yield found
