"""Claude Code itself through the proxy, against a fake API: what is paged, what is kept, what is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest

from clawvm_es.integrations.proxy.histories import Options
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Cut
from clawvm_es.model.pages import Author, PageType
from tests.integrations.fake_anthropic import ANTHROPIC, Block, calls, says
from tests.integrations.fake_api import FakeApi
from tests.integrations.programs import ClaudeCode, claude_code, clawvm
from tests.integrations.proxies import proxied

pytestmark = pytest.mark.sweep(of="claude-code", sample=1)

FILES = 16
KEPT_PERMILLE = 900
"""Share of each request that is the beginning of the next one, over a session with epochs."""


@attrs.frozen
class Place:
    """The address that Claude Code is given."""

    url: str


def pieces(request: dict[str, Any]) -> list[str]:
    """The blocks of a request's messages in order, without the marks of the cache."""
    found = []
    for message in request["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            rest = {name: value for name, value in block.items() if name != "cache_control"}
            found.append(json.dumps({**rest, "role": message["role"]}, sort_keys=True))
    return found


def kept(before: Sequence[str], after: Sequence[str]) -> int:
    """Characters of a request with which the next one begins."""
    size = 0
    for was, now in zip(before, after, strict=False):
        if was != now:
            break
        size += len(was)
    return size


def reading(work: Path) -> Iterator[list[Block]]:
    """Answers that read one file after the other, and one by a subagent."""
    for number in range(FILES):
        yield [says(f"I read {number}."), calls("Read", file_path=str(work / f"{number}.txt"))]
        yield [says(f"done {number}")]
    yield [calls("Agent", description="look", prompt="look at it", subagent_type="general-purpose")]
    yield [says("I looked.")]
    yield [says("It looked.")]


def test_claude_code_through_the_proxy(tmp_path: Path) -> None:
    """At least 90 % of what was sent begins the next request though results are paged; the journal holds it all."""
    claude = ClaudeCode.at(claude_code(), tmp_path)
    (claude.work / "CLAUDE.md").write_text("# Rules\n- You must never push to main.\n")
    for number in range(FILES):
        lines = (f"file {number}, line {line}: the port is {line * 7}\n" for line in range(120))
        (claude.work / f"{number}.txt").write_text("".join(lines))
    rest = reading(claude.work)
    journal = tmp_path / "j.db"
    with FakeApi(ANTHROPIC, lambda request: next(rest, [says("All right.")])).running() as api:
        with proxied(journal, api.url, Options(budget=42_000, keep=3)) as running:
            results = claude.talk(Place(running.url), [*[f"read {n}" for n in range(FILES)], "let it look"])
            found = running.recorded()
        asked = [request for request in api.requests if "read 0" in json.dumps(request["messages"][:1])]
    assert not any(each["is_error"] for each in results)
    assert len(results) > FILES  # later releases run a subagent beside the session, and go on once more for it
    sent = [pieces(request) for request in asked]
    shares = [(kept(was, now), sum(map(len, was))) for was, now in pairwise(sent)]
    stubs = [text for text in sent[-1] if "clawvm took this result out" in text]
    assert stubs and any(was != whole for was, whole in shares)  # there were epochs
    assert sum(was for was, _ in shares) * 1000 >= KEPT_PERMILLE * sum(whole for _, whole in shares)
    main, aside = sorted(found)
    assert aside == f"{main}/2"
    inputs = found[main]
    pages = [data for data in inputs if isinstance(data, e.PageWritten)]
    users = [page for page in pages if page.author is Author.USER]
    assert len(users) == FILES + 1
    assert len([page for page in pages if page.page_type is PageType.EVIDENCE]) == FILES + 1
    assert any(page.page_type is PageType.BOOTSTRAP for page in pages)  # the system prompt, which no transcript holds
    turns = [data for data in inputs if isinstance(data, e.TurnBegan)]
    assert len(turns) == len(asked) and all(turn.fixed_tokens > 1_000 for turn in turns)
    pruned = [data for data in inputs if isinstance(data, e.BoundaryReached) and data.boundary is Boundary.PRUNE]
    assert pruned and {data.cut for data in pruned} == {Cut.MICRO}
    assert "decisions taken again the same" in clawvm("verify", str(journal), "--redecide", home=claude.home)
