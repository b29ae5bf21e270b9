"""Every hostile journal through the server: an answer, or an error in one line that blames what is at fault."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawvm_es.web.app import app
from clawvm_es.web.sizes import LIMIT
from tests.web.conftest import PORT, TOKEN, Client

TOOLS = str(Path(__file__).resolve().parents[2] / "tools")
ASKED = (
    "map", "map?bins=4", "t/0", "t/1", "t/2/why/p1", "t/2/why/p2", "diff?a=t1&b=t2", "page/p1", "blame/p1",
    "blame/notes", "e/1", "e/9", "store", "grep?q=the", "losses", "whatif?budget=300", "bisect?q=absent(p1)",
)  # fmt: skip
sys.path.insert(0, TOOLS)
try:
    corpus = importlib.import_module("hostile.corpus")
    journals, foreign, nonfiles = (
        importlib.import_module(f"hostile.{each}") for each in ("journals", "foreign", "nonfiles")
    )
    specimens = importlib.import_module("hostile.specimens")
finally:
    sys.path.remove(TOOLS)
CASES = [case for module in (journals, foreign, nonfiles) for case in module.CASES if case[1] in corpus.JOURNALS]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The good files that hostile ones are made from."""
    return specimens.made(tmp_path_factory.mktemp("good"), 1)


def answers(client: Client) -> Iterator[tuple[str, object]]:
    """Each address with its answer: the list's, then those of its first sessions."""
    listed = client.get("/api/sessions")
    yield "/api/sessions", listed
    rows = listed.json["sessions"][:2] if listed.status == 200 else []
    for session in [row["key"] for row in rows] or ["a"]:
        for address in ASKED:
            got = client.get(f"/api/s/{session}/{address}")
            while got.status == 202:
                got = client.get(f"/api/s/{session}/{address}")
            yield address, got


@pytest.mark.sweep(sample=3)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_hostile_journal_is_an_answer_or_one_line(good: object, tmp_path: Path, case: tuple) -> None:
    """No fault of ours, no answer beyond its bound, and the error document where there is no answer."""
    name, _, ending, write = case
    path = tmp_path / (name.replace(" ", "-") + ending)
    write(good, path, importlib.import_module("random").Random(f"1 {name}"))
    for address, got in answers(Client(app(str(path), TOKEN, PORT))):
        assert got.status in (200, 400, 404, 409, 500) and len(got.body) <= LIMIT, address
        if got.status != 200:
            told = got.json
            assert told.keys() == {"error", "hint", "kind"} and told["error"], address
            assert told["kind"] != "InternalError" and "\n" not in told["error"], (address, told)
